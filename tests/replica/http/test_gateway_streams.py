"""HTTP Gateway Protocol: bodies that do not fit one message, by callbacks and by ranges."""

from __future__ import annotations

import aiohttp
import pytest

from icmigrate.protocol import candid
from icmigrate.protocol.candid import Types as T
from tests.replica.http.canisters import fixed_http, literal, wasm
from tests.replica.http.client import Answer, Client
from tests.replica.http.http_canisters import (
    CALLBACK,
    PAGE,
    long_streaming_canister,
    ranges_canister,
    response,
    streaming_canister,
)
from tests.replica.http.test_gateway import get

# ------------------------------------------------------------------------------------------- callbacks


async def test_a_streamed_body_is_put_together_with_the_tokens_given_out(client: Client) -> None:
    canister = await client.create()
    parts = (b"first,", b"second,", b"third")
    await client.install(streaming_canister(canister, parts, [("Content-Type", "text/x")]), canister)
    answer = await get(client, canister, raw=True)
    assert (answer.status, answer.body) == (200, b"".join(parts))
    assert (answer.headers["Content-Type"], answer.headers["Content-Length"]) == ("text/x", "18")


async def test_a_short_stream_is_verified_and_a_long_one_passed_on_as_it_comes(client: Client) -> None:
    for parts, status in ((5, 503), (6, 200)):
        canister = await client.create()
        await client.install(long_streaming_canister(canister, parts, 1), canister)
        assert (await get(client, canister)).status == status
        answer = await get(client, canister, raw=True)
        assert answer.body == b"".join(bytes([part]) * PAGE for part in range(parts))


async def test_a_stream_that_breaks_off_is_seen_to_break_off(client: Client) -> None:
    canister = await client.create()
    await client.install(long_streaming_canister(canister, 9, 1, fails_at=3), canister)
    assert (await get(client, canister, raw=True)).status == 503
    await client.manage(
        "install_code",
        {
            "canister_id": canister,
            "mode": {"reinstall": None},
            "wasm_module": long_streaming_canister(canister, 9, 1, fails_at=7),
            "arg": b"",
        },
    )
    with pytest.raises(aiohttp.ClientError):
        await get(client, canister, raw=True)
    assert (await client.get("/api/v2/status")).status == 200


async def test_a_long_stream_has_the_length_that_the_canister_names_or_is_cut(client: Client) -> None:
    async def streamed(length: int) -> Answer:
        canister = await client.create()
        await client.install(long_streaming_canister(canister, 9, 1, length=length), canister)
        return await get(client, canister, raw=True)

    answer = await streamed(9 * PAGE)
    assert (answer.headers["Content-Length"], len(answer.body)) == (str(9 * PAGE), 9 * PAGE)
    with pytest.raises(aiohttp.ClientError):
        await streamed(9 * PAGE + 1)


async def test_a_stream_that_never_ends_is_cut(client: Client) -> None:
    canister = await client.create()
    await client.install(long_streaming_canister(canister, 2_000, 0), canister)
    with pytest.raises(aiohttp.ClientError):
        await get(client, canister, raw=True)


async def test_a_head_of_a_long_stream_reads_no_stream(client: Client) -> None:
    canister = await client.create()
    await client.install(long_streaming_canister(canister, 9, 1, fails_at=7), canister)
    answer = await get(client, canister, raw=True, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


async def test_who_stops_reading_holds_up_nobody(client: Client) -> None:
    canister = await client.create()
    await client.install(long_streaming_canister(canister, 300, 16), canister)
    host = f"{canister.to_str()}.raw.localhost"
    answers = [
        await client.session.get(client.running.url + "/", headers={"Host": host}, read_bufsize=1024) for _ in range(20)
    ]
    assert [answer.status for answer in answers] == [200] * 20
    assert (await client.get("/api/v2/status")).status == 200
    for answer in answers:
        answer.close()
    assert (await get(client, canister, raw=True, method="HEAD")).status == 200


async def test_a_callback_of_another_canister_is_refused(client: Client) -> None:
    canister, other = await client.create(), await client.create()
    await client.install(streaming_canister(other, (b"a", b"b", b"c"), []), canister)
    assert (await get(client, canister, raw=True)).status == 503


async def test_a_part_without_a_token_is_the_last(client: Client) -> None:
    canister = await client.create()
    token = {"key": "", "index": 0, "digest": []}
    first = response(b"first,", streaming_strategy=[{"Callback": {"callback": [canister, "next"], "token": token}}])
    last = candid.encode([T.Record({"body": T.Vec(T.Nat8)})], [{"body": b"last"}])
    module = wasm(
        "msg_reply", "msg_reply_data_append",
        body=f"""
        (func (export "canister_query http_request")
          (call $msg_reply_data_append (i32.const 0) (i32.const {len(first)})) (call $msg_reply))
        (func (export "canister_query next")
          (call $msg_reply_data_append (i32.const {len(first)}) (i32.const {len(last)})) (call $msg_reply))
        (data (i32.const 0) {literal(first + last)})
        """,
    )  # fmt: skip
    await client.install(module, canister)
    assert (await get(client, canister, raw=True)).body == b"first,last"


@pytest.mark.parametrize("fields", [["callback"], ["token"], []])
async def test_half_a_streaming_strategy_is_refused(client: Client, fields: list[str]) -> None:
    canister = await client.create()
    types = {"callback": CALLBACK, "token": T.Text}
    values = {"callback": [canister, "next"], "token": "t"}
    callback = T.Record({field: types[field] for field in fields})
    answer = T.Record(
        {
            "status_code": T.Nat16,
            "headers": T.Vec(T.Tuple(T.Text, T.Text)),
            "body": T.Vec(T.Nat8),
            "streaming_strategy": T.Opt(T.Variant({"Callback": callback})),
        }
    )
    strategy = [{"Callback": {field: values[field] for field in fields}}]
    record = {"status_code": 200, "headers": [], "body": b"", "streaming_strategy": strategy}
    await client.install(fixed_http(candid.encode([answer], [record])), canister)
    assert (await get(client, canister, raw=True)).status == 503


# ------------------------------------------------------------------------------------------- ranges

PARTS = (b"first part ", b"second one ", b"and last")


async def test_parts_that_come_unasked_are_verified_and_joined(client: Client) -> None:
    canister = await client.install(ranges_canister(PARTS))
    for raw in (False, True):
        answer = await get(client, canister, raw=raw)
        assert (answer.status, answer.body) == (200, b"".join(PARTS))
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert answer.headers["Content-Type"] == "video/x" and "Content-Range" not in answer.headers
        assert ("X-Not-Certified" in answer.headers) is raw


async def test_a_range_that_is_asked_for_comes_as_it_is(client: Client) -> None:
    canister = await client.install(ranges_canister(PARTS))
    answer = await get(client, canister, headers={"Range": "bytes=11-"})
    assert (answer.status, answer.body) == (206, PARTS[1])
    assert answer.headers["Content-Range"] == "bytes 11-21/30"
    whole = await get(client, canister, raw=True, headers={"If-Range": '"tag"'})
    assert (whole.status, whole.body) == (206, PARTS[0])


async def test_a_later_part_that_is_forged_is_not_passed_on(client: Client) -> None:
    forged = (PARTS[0], b"something! ", PARTS[2])
    canister = await client.install(ranges_canister(PARTS, forged=forged))
    with pytest.raises(aiohttp.ClientError):
        await get(client, canister)
    assert (await get(client, canister, raw=True)).body == b"".join(forged)
    assert (await get(client, canister, headers={"Range": "bytes=11-"})).status == 503


async def test_a_first_part_that_is_forged_is_refused(client: Client) -> None:
    canister = await client.install(ranges_canister(PARTS, forged=(b"forged part", *PARTS[1:])))
    assert (await get(client, canister)).status == 503


@pytest.mark.parametrize(
    "content_range",
    [
        None,
        "bytes 0-4/*",
        "bytes */5",
        "bits 0-4/5",
        "bytes 0-5/5",
        "bytes 1-5/6",
        "bytes 0-3/9",
        "bytes 4-0/9",
        "bytes -1-4/9",
        "bytes 0-4/5, 0-4/5",
        "bytes 0-4/" + "9" * 5_000,
    ],
)
async def test_a_part_that_does_not_say_which_is_refused(client: Client, content_range: str | None) -> None:
    headers = [] if content_range is None else [("Content-Range", content_range)]
    canister = await client.install(fixed_http(response(b"parts", 206, headers=headers)))
    assert (await get(client, canister, raw=True)).status == 503


async def test_parts_that_do_not_follow_one_another_end_the_answer(client: Client) -> None:
    canister = await client.install(fixed_http(response(b"parts", 206, headers=[("Content-Range", "bytes 0-4/9")])))
    with pytest.raises(aiohttp.ClientError):
        await get(client, canister, raw=True)


async def test_a_single_part_is_the_whole(client: Client) -> None:
    canister = await client.install(fixed_http(response(b"parts", 206, headers=[("Content-Range", "bytes 0-4/5")])))
    answer = await get(client, canister, raw=True)
    assert (answer.status, answer.body) == (200, b"parts")
