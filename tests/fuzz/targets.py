"""What is fed with arbitrary bytes, the errors it may answer with, and inputs to begin from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cbor2
import wasmtime
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from icmigrate.errors import CandidError, CborError, CertificateError, EnvelopeError
from icmigrate.protocol import candid, cbor, certificate, envelope, hash_tree
from icmigrate.protocol.candid.extract import extract
from icmigrate.protocol.identity import AnonymousIdentity, Ed25519Identity
from icmigrate.replica.engine.wasmtime_c_api import shared_engine
from icmigrate.replica.errors.canister_errors import InvalidModule
from icmigrate.replica.gateway import request as gateway_request
from icmigrate.replica.gateway import response as gateway_response
from icmigrate.replica.gateway import response_verification
from icmigrate.replica.gateway.certificate_expression import ExpressionError, parse_expression
from icmigrate.replica.gateway.errors import GatewayError
from icmigrate.replica.http.authentication import authenticated
from icmigrate.replica.http.requests import BadRequest, EffectiveId, parse_call
from icmigrate.replica.management import candid_types as management_types
from icmigrate.replica.state.limits import Limits
from icmigrate.replica.wasm.module import check
from tests.replica.execution.planner import PLANNER
from tests.replica.http import certified_response as certified
from tests.replica.http.http_canisters import response

NOW = 1_700_000_000_000_000_000
EXPIRY = NOW + 60_000_000_000


@dataclass(frozen=True)
class Target:
    """`run` takes any bytes and raises nothing but `refusals`."""

    run: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]


def request(data: bytes) -> None:
    parsed = authenticated(data, "call", NOW, certified.ROOT_KEY)
    parse_call(parsed, EffectiveId(parsed.sender))


def read_cbor(data: bytes) -> None:
    value = cbor.loads(data)
    assert repr(cbor.loads(cbor.dumps(value))) == repr(value)  # repr, for NaN


def read_like_another(data: bytes) -> None:
    """What we read, another implementation reads alike."""
    value = cbor.loads(data)
    with contextlib.suppress(cbor2.CBORDecodeError):
        assert type(cbor2.loads(data)) is type(value) or isinstance(value, dict | list)


def read_candid(data: bytes) -> None:
    for type_ in (
        management_types.CANISTER_SETTINGS,
        management_types.INSTALL_CODE,
        management_types.PROVISIONAL_CREATE,
    ):
        with contextlib.suppress(CandidError):
            candid.decode(data, [type_])
    (value,) = candid.decode(data, [management_types.PROVISIONAL_CREATE])
    encoded = candid.encode([management_types.PROVISIONAL_CREATE], [value])
    assert candid.decode(encoded, [management_types.PROVISIONAL_CREATE]) == [value]


def install(data: bytes) -> None:
    """What passes is rewritten to something that is valid as well."""
    _, _, rewritten = check(data, Limits(module_size=1 << 20))
    wasmtime.Module.validate(shared_engine(), rewritten.wasm)


def tree(data: bytes) -> None:
    hash_tree.digest(hash_tree.from_cbor_value(cbor.loads(data, max_depth=hash_tree.MAX_DEPTH + 1)))


def certificates(data: bytes) -> None:
    certificate.verify_undated(data, certified.ROOT_KEY, effective_canister_id=certified.CANISTER)


def gateway_headers(data: bytes) -> None:
    """Of a response that a canister made: certificate and expression header, split by a line feed."""
    head, _, expression = data.decode("latin-1").partition("\n")
    exchange = certified.exchange()
    headers = [*exchange.headers, ("IC-Certificate", head), ("IC-CertificateExpression", expression)]
    response_verification.verify(
        response_verification.HttpExchange("GET", "/", [], b"", 200, headers, b""),
        canister_id=certified.CANISTER,
        root_key=certified.ROOT_KEY,
        now_ns=NOW,
    )


def gateway_request_head(data: bytes) -> None:
    """Of a request that anybody may send: host, path and referer, split by line feeds."""
    host, path, referer, *_ = [*data.decode("latin-1").split("\n"), "", "", ""]
    headers = CIMultiDictProxy(CIMultiDict({"Host": host, "Referer": referer}))
    path, _, query = path.partition("?")
    gateway_request.target(headers, URL.build(path="/" + path, query_string=query, encoded=True))


def gateway_answer(data: bytes) -> None:
    response = gateway_response.decode_response(data, certified.CANISTER)
    gateway_response.require_well_formed(response.status_code, response.headers)
    response.content_range()


def _requests() -> tuple[bytes, ...]:
    content = {
        "request_type": "call", "canister_id": certified.CANISTER.bytes, "method_name": "m", "arg": b"DIDL\0\0",
        "ingress_expiry": EXPIRY, "nonce": b"n",
    }  # fmt: skip
    return (
        envelope.sign(content, AnonymousIdentity()),
        envelope.sign(content, Ed25519Identity.generate()),
        cbor.dumps({"content": content, "sender_delegation": [{"delegation": {"pubkey": b"", "expiration": EXPIRY}}]}),
    )


_SETTINGS: dict[str, list[object]] = {name: [] for name in management_types.SETTING_TYPES}
_TREE = hash_tree.build({b"a": {b"b": b"c"}, b"d": b"e"})

TARGETS = {
    "request": Target(request, (BadRequest, EnvelopeError), _requests()),
    "cbor": Target(read_cbor, (CborError,), (*_requests(), bytes.fromhex("bf6161fb3ff8000000000000ff"))),
    "cbor alike": Target(read_like_another, (CborError,), _requests()),
    "candid": Target(
        read_candid,
        (CandidError,),
        (
            candid.encode(
                [management_types.PROVISIONAL_CREATE],
                [
                    {
                        "amount": [7],
                        "settings": [{**_SETTINGS, "controllers": [[certified.CANISTER]], "memory_allocation": [9]}],
                        "specified_id": [certified.CANISTER],
                        "sender_canister_version": [1],
                    }
                ],
            ),
            b"DIDL\x01\x6d\x7f\x01\x00\xff\xff\x03",
        ),
    ),
    "candid extract": Target(
        lambda data: extract(data, ["streaming_strategy", "Callback", "token"]),
        (CandidError,),
        (b"DIDL\x01\x6c\x00\x01\x00",),
    ),
    "module": Target(install, (InvalidModule,), (PLANNER, Path("tests/wasm/programmable.wasm.gz").read_bytes())),
    "hash tree": Target(tree, (CborError, CertificateError), (cbor.dumps(hash_tree.to_cbor_value(_TREE)),)),
    "certificate": Target(certificates, (CertificateError,), (certificate.create(_TREE, certified.KEY),)),
    "expression": Target(
        lambda data: parse_expression(data.decode("latin-1")),
        (ExpressionError,),
        (certified.NO_CERTIFICATION.encode(), certified.RESPONSE_ONLY.encode(), certified.FULL.encode()),
    ),
    "gateway request head": Target(
        gateway_request_head,
        (GatewayError,),
        (
            b"ryjl3-tyaaa-aaaaa-aaaba-cai.raw.localhost:80\n/\n",
            b"localhost\na?canisterId=ryjl3-tyaaa-aaaaa-aaaba-cai\n",
            b"[::1]:80\na?b\nhttp://ryjl3-tyaaa-aaaaa-aaaba-cai.localhost:80/?canisterId=aaaaa-aa",
        ),
    ),
    "gateway answer": Target(
        gateway_answer,
        (GatewayError,),
        (
            response(b"part", 206, headers=[("Content-Range", "bytes 0-3/9")]),
            response(
                streaming_strategy=[
                    {
                        "Callback": {
                            "callback": [certified.CANISTER, "next"],
                            "token": {"key": "", "index": 0, "digest": []},
                        }
                    }
                ]
            ),
        ),
    ),
    "gateway headers": Target(
        gateway_headers,
        (response_verification.VerificationError,),
        (f"{certified.signed_tree(_TREE)}\n{certified.FULL}".encode(),),
    ),
}


def feed(name: str, data: bytes) -> None:
    """Runs a target; whatever it may not raise comes out."""
    target = TARGETS[name]
    with contextlib.suppress(*target.refusals):
        target.run(data)
