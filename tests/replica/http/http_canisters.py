"""Canisters that speak HTTP: one that streams, one that certifies."""

from __future__ import annotations

import base64
import functools
from typing import Any

from icmigrate.protocol import candid, cbor, hash_tree
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.principal import Principal
from tests.replica.http.canisters import literal, wasm
from tests.replica.http.certified_response import RESPONSE_ONLY, hash_of_headers, sha256

BLOB = T.Vec(T.Nat8)
TOKEN = T.Record({"key": T.Text, "index": T.Nat, "digest": T.Opt(BLOB)})
CALLBACK = T.Func([TOKEN], [T.Record({"body": BLOB, "token": T.Opt(TOKEN)})], ["query"])
RESPONSE = T.Record(
    {
        "status_code": T.Nat16,
        "headers": T.Vec(T.Tuple(T.Text, T.Text)),
        "body": BLOB,
        "upgrade": T.Opt(T.Bool),
        "streaming_strategy": T.Opt(T.Variant({"Callback": T.Record({"callback": CALLBACK, "token": TOKEN})})),
    }
)
CALLBACK_RESPONSE = T.Record({"body": BLOB, "token": T.Opt(TOKEN)})


def response(body: bytes = b"", status: int = 200, **fields: Any) -> bytes:
    record = {"status_code": status, "headers": [], "body": body, "upgrade": [], "streaming_strategy": [], **fields}
    return candid.encode([RESPONSE], [record])


def streaming_canister(canister_id: Principal, parts: tuple[bytes, ...], headers: list[tuple[str, str]]) -> bytes:
    """Answers with the first part and a callback for each other; a token's index, its last byte, tells which.

    The callback traps unless the rest of the token's value is what was given out.
    """
    tokens = [{"key": "k", "index": index, "digest": [b"d"]} for index in range(1, len(parts))]
    strategy = {"Callback": {"callback": [canister_id, "next"], "token": tokens[0]}}
    first = response(parts[0], headers=headers, streaming_strategy=[strategy])
    answers = [
        candid.encode([CALLBACK_RESPONSE], [{"body": part, "token": tokens[index + 1 : index + 2]}])
        for index, part in enumerate(parts[1:])
    ]
    value = candid.encode([TOKEN], tokens[:1])[-6:-1]
    places = [8192 + sum(map(len, answers[:index])) for index in range(len(answers) + 1)]
    branches = "".join(
        f"(if (i32.eq (i32.load8_u (i32.sub (local.get $end) (i32.const 1))) (i32.const {index + 1}))"
        f" (then (call $msg_reply_data_append (i32.const {places[index]}) (i32.const {len(answer)}))"
        f" (call $msg_reply) (return)))"
        for index, answer in enumerate(answers)
    )
    same = " ".join(
        f"(if (i32.ne (i32.load8_u (i32.sub (local.get $end) (i32.const {6 - index}))) (i32.const {byte}))"
        f" (then unreachable))"
        for index, byte in enumerate(value)
    )
    return wasm(
        "msg_reply", "msg_reply_data_append", "msg_arg_data_size", "msg_arg_data_copy",
        body=f"""
        (func (export "canister_query http_request")
          (call $msg_reply_data_append (i32.const {places[-1]}) (i32.const {len(first)})) (call $msg_reply))
        (func (export "canister_query next") (local $end i32)
          (call $msg_arg_data_copy (i32.const 2048) (i32.const 0) (call $msg_arg_data_size))
          (local.set $end (i32.add (i32.const 2048) (call $msg_arg_data_size)))
          {same} {branches} unreachable)
        (data (i32.const 8192) {literal(b"".join(answers) + first)})
        """,
    )  # fmt: skip


@functools.cache
def certified_canister(body: bytes, *, forged: bytes | None = None, expression: str = RESPONSE_ONLY) -> bytes:
    """Certifies `body` for every path at its installation, and answers queries with it, or with `forged`.

    The certificate header has the certificate of the query, base64 encoded by the canister.
    """
    covered: list[tuple[str, str | int]] = [("ic-certificateexpression", expression), (":ic-cert-status", 200)]
    if expression == RESPONSE_ONLY:
        covered.append(("cache-control", "no-store"))
    answer_hash = sha256(hash_of_headers(covered) + sha256(body))
    below = {sha256(expression.encode()): {b"": {answer_hash: b""}}}
    tree = hash_tree.build({b"http_expr": {b"<*>": below}})
    encoded_tree = base64.b64encode(cbor.dumps(hash_tree.to_cbor_value(tree))).decode()
    path = base64.b64encode(cbor.dumps(["http_expr", "<*>"])).decode()
    before, after = "certificate=:", f":, tree=:{encoded_tree}:, version=2, expr_path=:{path}:"
    headers = [("IC-CertificateExpression", expression), ("Cache-Control", "no-store")]
    # The message is cut where the header's value stands: head, its length (2 bytes of LEB128) and value, tail.
    marker = "M" * 200
    message = response(forged if forged is not None else body, headers=[*headers, ("IC-Certificate", marker)])
    cut = message.index(marker.encode())
    head, tail = message[: cut - 2], message[cut + len(marker) :]
    places, offset = {}, 0
    for name, data in {
        "digest": hash_tree.digest(tree),
        "head": head,
        "before": before.encode(),
        "after": after.encode(),
        "tail": tail,
        "letters": b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    }.items():
        places[name] = (offset, data)
        offset += len(data)
    assert offset < 16_000
    static = b"".join(data for _, data in places.values())

    def append(name: str) -> str:
        at, data = places[name]
        return f"(call $msg_reply_data_append (i32.const {at}) (i32.const {len(data)}))"

    letters = places["letters"][0]
    return wasm(
        "msg_reply", "msg_reply_data_append", "certified_data_set", "data_certificate_size", "data_certificate_copy",
        body=f"""
        (data (i32.const 0) {literal(static)})
        (func (export "canister_init")
          (call $certified_data_set (i32.const {places["digest"][0]}) (i32.const 32)))
        (func $letter (param $to i32) (param $bits i32)
          (i32.store8 (local.get $to)
            (i32.load8_u (i32.add (i32.const {letters}) (i32.and (local.get $bits) (i32.const 63))))))
        (func (export "canister_query http_request")
          (local $size i32) (local $from i32) (local $to i32) (local $three i32) (local $length i32)
          (local.set $size (call $data_certificate_size))
          (call $data_certificate_copy (i32.const 16384) (i32.const 0) (local.get $size))
          (local.set $to (i32.const 32768))
          (loop $next
            (local.set $three (i32.or (i32.or
              (i32.shl (i32.load8_u (i32.add (i32.const 16384) (local.get $from))) (i32.const 16))
              (i32.shl (i32.load8_u (i32.add (i32.const 16385) (local.get $from))) (i32.const 8)))
              (i32.load8_u (i32.add (i32.const 16386) (local.get $from)))))
            (call $letter (local.get $to) (i32.shr_u (local.get $three) (i32.const 18)))
            (call $letter (i32.add (local.get $to) (i32.const 1)) (i32.shr_u (local.get $three) (i32.const 12)))
            (call $letter (i32.add (local.get $to) (i32.const 2)) (i32.shr_u (local.get $three) (i32.const 6)))
            (call $letter (i32.add (local.get $to) (i32.const 3)) (local.get $three))
            (local.set $from (i32.add (local.get $from) (i32.const 3)))
            (local.set $to (i32.add (local.get $to) (i32.const 4)))
            (br_if $next (i32.lt_u (local.get $from) (local.get $size))))
          ;; padding
          (if (i32.gt_u (local.get $from) (local.get $size))
            (then (i32.store8 (i32.sub (local.get $to) (i32.const 1)) (i32.const 61))))
          (if (i32.gt_u (local.get $from) (i32.add (local.get $size) (i32.const 1)))
            (then (i32.store8 (i32.sub (local.get $to) (i32.const 2)) (i32.const 61))))
          {append("head")}
          (local.set $length
            (i32.add (i32.sub (local.get $to) (i32.const 32768)) (i32.const {len(before) + len(after)})))
          (i32.store8 (i32.const 16000) (i32.or (i32.and (local.get $length) (i32.const 127)) (i32.const 128)))
          (i32.store8 (i32.const 16001) (i32.shr_u (local.get $length) (i32.const 7)))
          (call $msg_reply_data_append (i32.const 16000) (i32.const 2))
          {append("before")}
          (call $msg_reply_data_append (i32.const 32768) (i32.sub (local.get $to) (i32.const 32768)))
          {append("after")} {append("tail")}
          (call $msg_reply))
        """,
    )  # fmt: skip
