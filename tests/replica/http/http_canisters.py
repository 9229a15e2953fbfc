"""Canisters that speak HTTP: some that stream, some that certify."""

from __future__ import annotations

import base64
import functools
import re
from dataclasses import dataclass, replace
from typing import Any

from icmigrate.protocol import candid, cbor, hash_tree
from icmigrate.protocol.candid import Types as T
from icmigrate.protocol.leb128 import encode_unsigned
from icmigrate.protocol.principal import Principal
from tests.replica.http.canisters import literal, wasm
from tests.replica.http.certified_response import RESPONSE_ONLY, hash_of_headers, sha256

BLOB = T.Vec(T.Nat8)
HEADERS = T.Vec(T.Tuple(T.Text, T.Text))
TOKEN = T.Record({"key": T.Text, "index": T.Nat, "digest": T.Opt(BLOB)})
CALLBACK = T.Func([TOKEN], [T.Record({"body": BLOB, "token": T.Opt(TOKEN)})], ["query"])
RESPONSE = T.Record(
    {
        "status_code": T.Nat16,
        "headers": HEADERS,
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


PAGE = 65_536


@functools.cache
def long_streaming_canister(
    canister_id: Principal, parts: int, pages: int, *, fails_at: int | None = None, length: int | None = None
) -> bytes:
    """Streams `parts` parts of so many pages, part number n of bytes n; the callback traps at part `fails_at`.

    `length` is what it calls the Content-Length.
    """
    token_type, token, body = T.Nat64, b"TTTTTTTT", b"B" * 300
    marker = int.from_bytes(token, "little")
    callback = T.Func([token_type], [T.Record({"body": BLOB, "token": T.Opt(token_type)})], ["query"])
    strategy = T.Variant({"Callback": T.Record({"callback": callback, "token": token_type})})
    first_type = T.Record(
        {"status_code": T.Nat16, "headers": HEADERS, "body": BLOB, "streaming_strategy": T.Opt(strategy)}
    )
    first = candid.encode(
        [first_type],
        [
            {
                "status_code": 200,
                "headers": [] if length is None else [("Content-Length", str(length))],
                "body": body,
                "streaming_strategy": [{"Callback": {"callback": [canister_id, "next"], "token": marker}}],
            }
        ],
    )
    part_type = T.Record({"body": BLOB, "token": T.Opt(token_type)})
    further = candid.encode([part_type], [{"body": body, "token": [marker]}])
    last = candid.encode([part_type], [{"body": body, "token": []}])
    static, code = b"", []
    for message in (first, further, last):
        instructions = ""
        for piece in re.split(b"(%b|%b)" % (encode_unsigned(len(body)) + body, token), message):
            if piece == token:
                instructions += "(call $msg_reply_data_append (i32.const 32768) (i32.const 8))"
                continue
            is_body = piece.endswith(body)
            literally = encode_unsigned(pages * PAGE) if is_body else piece
            instructions += f"(call $msg_reply_data_append (i32.const {len(static)}) (i32.const {len(literally)}))"
            instructions += f"(call $msg_reply_data_append (i32.const {PAGE}) (i32.const {PAGE}))" * pages * is_body
            static += literally
        code.append(instructions + "(call $msg_reply)")
    return wasm(
        "msg_reply", "msg_reply_data_append", "msg_arg_data_size", "msg_arg_data_copy",
        body=f"""
        (data (i32.const 0) {literal(static)})
        (func (export "canister_query http_request")
          (i64.store (i32.const 32768) (i64.const 1))
          {code[0]})
        (func (export "canister_query next") (local $part i64)
          (call $msg_arg_data_copy (i32.const 32768) (i32.sub (call $msg_arg_data_size) (i32.const 8)) (i32.const 8))
          (local.set $part (i64.load (i32.const 32768)))
          (if (i64.eq (local.get $part) (i64.const {fails_at or -1})) (then unreachable))
          (memory.fill (i32.const {PAGE}) (i32.wrap_i64 (local.get $part)) (i32.const {PAGE}))
          (i64.store (i32.const 32768) (i64.add (local.get $part) (i64.const 1)))
          (if (i64.lt_u (local.get $part) (i64.const {parts - 1}))
            (then {code[1]})
            (else {code[2]})))
        """,
    )  # fmt: skip


RANGES = (
    "default_certification(ValidationArgs{certification:Certification{request_certification:RequestCertification"
    '{certified_request_headers:["Range"],certified_query_parameters:[]},response_certification:'
    'ResponseCertification{certified_response_headers:ResponseHeaderList{headers:["Content-Range","Content-Type"]}}}})'
)


def ranges_canister(parts: tuple[bytes, ...], *, forged: tuple[bytes, ...] | None = None) -> bytes:
    """Answers with the first part and 206, and with each other one to the range that begins with it; certified.

    What is sent is `forged`, of the same lengths, where given.
    """
    total, answers, first = sum(map(len, parts)), {}, 0
    for part, sent in zip(parts, forged or parts, strict=True):
        content_range = f"bytes {first}-{first + len(part) - 1}/{total}"
        headers = [("Content-Range", content_range), ("Content-Type", "video/x"), ("X-Not-Certified", "1")]
        answers[first] = CertifiedAnswer(206, headers, part, sent)
        first += len(part)
    return _certifying(RANGES, answers)


def certified_canister(body: bytes, *, forged: bytes | None = None, expression: str = RESPONSE_ONLY) -> bytes:
    """Certifies `body` for every path, and answers queries with it, or with `forged`."""
    headers = [("Cache-Control", "no-store"), ("X-Not-Certified", "1")]
    return _certifying(expression, {0: CertifiedAnswer(200, headers, body, body if forged is None else forged)})


@dataclass(frozen=True)
class CertifiedAnswer:
    """A response that certifies `body`, and sends `sent`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    sent: bytes

    def certified_hash(self, expression: str) -> bytes:
        covered: list[tuple[str, str | int]] = [("ic-certificateexpression", expression)]
        covered += [(name.lower(), value) for name, value in self.headers if f'"{name}"' in expression]
        return sha256(hash_of_headers([*covered, (":ic-cert-status", self.status)]) + sha256(self.body))


def _request_hash(expression: str, first: int) -> bytes:
    if "no_request_certification" in expression or "no_certification" in expression:
        return b""
    covered: list[tuple[str, str | int]] = [("range", f"bytes={first}-")] if first else []
    return sha256(hash_of_headers([*covered, (":ic-cert-method", "GET")]) + sha256(b""))


def _certifying(expression: str, answers: dict[int, CertifiedAnswer]) -> bytes:
    """Certifies the answers for every path, by version 2."""
    below: dict[bytes, Any] = {
        _request_hash(expression, first): {answer.certified_hash(expression): b""} for first, answer in answers.items()
    }
    tree = hash_tree.build({b"http_expr": {b"<*>": {sha256(expression.encode()): below}}})
    path = base64.b64encode(cbor.dumps(["http_expr", "<*>"])).decode()
    with_expression = {
        first: replace(answer, headers=[("IC-CertificateExpression", expression), *answer.headers])
        for first, answer in answers.items()
    }
    return _with_certificate(tree, f", version=2, expr_path=:{path}:", with_expression)


def first_version_canister(body: bytes, status: int = 200) -> bytes:
    """Certifies `body` for the path / as version 1 does, and answers queries with it."""
    tree = hash_tree.build({b"http_assets": {b"/": sha256(body)}})
    headers = [("Cache-Control", "no-store"), ("Location", "/elsewhere")]
    return _with_certificate(tree, "", {0: CertifiedAnswer(status, headers, body, body)})


def _with_certificate(tree: hash_tree.HashTree, fields: str, answers: dict[int, CertifiedAnswer]) -> bytes:
    """Certifies a tree at its installation; which answer is given says the request's "bytes=", 0 without it.

    The certificate header has the certificate of the query, base64 encoded by the canister, the tree, and `fields`.
    """
    encoded_tree = base64.b64encode(cbor.dumps(hash_tree.to_cbor_value(tree))).decode()
    before, after = "certificate=:", f":, tree=:{encoded_tree}:{fields}"
    # Each message is cut where the header's value stands: head, its length (2 bytes of LEB128) and value, tail.
    marker = b"M" * 200
    pieces = {
        "digest": hash_tree.digest(tree),
        "before": before.encode(),
        "after": after.encode(),
        "letters": b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    }
    for first, answer in answers.items():
        headers = [*answer.headers, ("IC-Certificate", marker.decode())]
        head, tail = response(answer.sent, answer.status, headers=headers).split(marker)
        pieces |= {f"head {first}": head[:-2], f"tail {first}": tail}
    static = b"".join(pieces.values())
    assert len(static) < 16_000
    names = list(pieces)

    def place(name: str) -> int:
        return sum(len(pieces[other]) for other in names[: names.index(name)])

    def append(name: str) -> str:
        return f"(call $msg_reply_data_append (i32.const {place(name)}) (i32.const {len(pieces[name])}))"

    def choose(part: str) -> str:
        return " ".join(
            f"(if (i32.eq (local.get $first) (i32.const {first})) (then {append(f'{part} {first}')}))"
            for first in answers
        )

    return wasm(
        "msg_reply", "msg_reply_data_append", "msg_arg_data_size", "msg_arg_data_copy",
        "certified_data_set", "data_certificate_size", "data_certificate_copy",
        body=f"""
        (data (i32.const 0) {literal(static)})
        (func (export "canister_init")
          (call $certified_data_set (i32.const {place("digest")}) (i32.const 32)))
        {_NUMBER_AFTER_BYTES}
        (func $letter (param $to i32) (param $bits i32)
          (i32.store8 (local.get $to)
            (i32.load8_u (i32.add (i32.const {place("letters")}) (i32.and (local.get $bits) (i32.const 63))))))
        (func (export "canister_query http_request")
          (local $size i32) (local $from i32) (local $to i32) (local $three i32) (local $length i32) (local $first i32)
          (local.set $first (call $number_after_bytes))
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
          {choose("head")}
          (local.set $length
            (i32.add (i32.sub (local.get $to) (i32.const 32768)) (i32.const {len(before) + len(after)})))
          (i32.store8 (i32.const 16000) (i32.or (i32.and (local.get $length) (i32.const 127)) (i32.const 128)))
          (i32.store8 (i32.const 16001) (i32.shr_u (local.get $length) (i32.const 7)))
          (call $msg_reply_data_append (i32.const 16000) (i32.const 2))
          {append("before")}
          (call $msg_reply_data_append (i32.const 32768) (i32.sub (local.get $to) (i32.const 32768)))
          {append("after")} {choose("tail")}
          (call $msg_reply))
        """,
    )  # fmt: skip


# The number behind "bytes=" in the message's argument, 0 without it.
_NUMBER_AFTER_BYTES = """
    (func $number_after_bytes (result i32) (local $at i32) (local $end i32) (local $number i32) (local $digit i32)
      (local.set $at (i32.const 65536))
      (local.set $end (i32.add (local.get $at) (call $msg_arg_data_size)))
      (call $msg_arg_data_copy (local.get $at) (i32.const 0) (call $msg_arg_data_size))
      (loop $search
        (if (i32.and  ;; "byte", "tes="
              (i32.eq (i32.load (local.get $at)) (i32.const 0x65747962))
              (i32.eq (i32.load offset=2 (local.get $at)) (i32.const 0x3d736574)))
          (then
            (local.set $at (i32.add (local.get $at) (i32.const 6)))
            (loop $digits
              (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
              (if (i32.lt_u (local.get $digit) (i32.const 10))
                (then
                  (local.set $number (i32.add (i32.mul (local.get $number) (i32.const 10)) (local.get $digit)))
                  (local.set $at (i32.add (local.get $at) (i32.const 1)))
                  (br $digits))))
            (return (local.get $number))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $search (i32.lt_u (local.get $at) (local.get $end))))
      (i32.const 0))
"""
