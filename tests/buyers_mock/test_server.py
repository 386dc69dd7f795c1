"""The mock over real sockets: every fault as a client sees it, order, bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httptools
import pytest

from buyers_mock import server
from buyers_mock.manner import HUGE_BYTES
from buyers_mock.stage import MOST_REQUEST_BYTES
from tests.buyers_mock.client import Opener, request


async def test_a_ping_gets_a_bid_and_a_post_is_taken(play: Opener) -> None:
    client = await (await play({"sunrise": {"bid": {"price": 31.5}}})).connect()
    bid = await client.ping("sunrise")
    assert (bid.status, bid.headers["content-type"]) == (200, "application/json")
    assert bid.said == {"bid": 31.5, "bid_id": "sunrise-1", "expires_in": 60}
    taken = await client.post("sunrise", "lead-1")
    assert taken.said == {"status": "accepted", "buyer_lead_id": "sunrise-2", "redirect_url": None}


async def test_the_same_seed_gives_the_same_answers(play: Opener) -> None:
    buyers = {
        "sunrise": {"bid": {"price": {"normal": [42, 6]}, "share_no_bid": 0.3}, "post": {"accept": 0.5}}
    }

    async def answers(seed: int) -> list[tuple[int, bytes]]:
        client = await (await play(buyers, seed=seed)).connect()
        pings = [await client.ping("sunrise") for _ in range(20)]
        posts = [await client.post("sunrise", str(n)) for n in range(20)]
        return [(answer.status, answer.body) for answer in pings + posts]

    first = await answers(7)
    assert first == await answers(7)
    assert first != await answers(8)


async def test_wrong_doors(play: Opener) -> None:
    client = await (await play({"sunrise": {}})).connect()
    for method, path, status in (
        ("POST", "/helios/ping", 404),
        ("POST", "/sunrise/pong", 404),
        ("POST", "/", 404),
        ("GET", "/sunrise/ping", 405),
        ("GET", "/_nothing", 404),
    ):
        answer = await client.ask(method, path)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_other_credentials_are_not_answered(play: Opener) -> None:
    client = await (await play({"sunrise": {"auth": {"value": "Bearer x"}}})).connect()
    assert (await client.ping("sunrise")).status == 401
    assert (await client.ping("sunrise", Authorization="Bearer y")).status == 401
    assert (await client.ping("sunrise", Authorization="Bearer x")).status == 200


async def test_a_repeated_key_gets_the_same_answer_and_is_logged_each_time(play: Opener) -> None:
    mock = await play({"sunrise": {"post": {"accept": 0.5}}})
    client = await mock.connect()
    first = [(await client.post("sunrise", f"l{n}", key=f"k{n}")).body for n in range(10)]
    again = [(await client.post("sunrise", f"l{n}", key=f"k{n}")).body for n in range(10)]
    assert first == again
    counts = (await mock.stats())["buyers"]["sunrise"]
    assert (counts["posts"], counts["repeats"]) == (10, 10)
    assert counts["accepted"] + counts["rejected"] == 10
    entries = (await client.ask("GET", "/_log")).said["entries"]
    assert [entry["repeat"] for entry in entries] == [False] * 10 + [True] * 10


# faults, as seen from outside


async def faulty(play: Opener, fault: str) -> Any:
    return await play({"sunrise": {"bid": {"price": 30}, "faults": {fault: 1.0}}})


async def test_error_500(play: Opener) -> None:
    client = await (await faulty(play, "error_500")).connect()
    assert [(await client.ping("sunrise")).status for _ in range(2)] == [500, 500]


async def test_garbage(play: Opener) -> None:
    client = await (await faulty(play, "garbage")).connect()
    answer = await client.ping("sunrise")
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)


async def test_bad_http(play: Opener) -> None:
    client = await (await faulty(play, "bad_http")).connect()
    client.send("POST", "/sunrise/ping", {})
    with pytest.raises(httptools.HttpParserError):
        httptools.HttpResponseParser(object()).feed_data(await client.reader.read())


async def test_half_an_answer(play: Opener) -> None:
    client = await (await faulty(play, "half_answer")).connect()
    client.send("POST", "/sunrise/ping", {})
    with pytest.raises(asyncio.IncompleteReadError) as raised:
        await client.answer()
    assert raised.value.partial.startswith(b'{"bid":30')


async def test_a_huge_answer(play: Opener) -> None:
    client = await (await faulty(play, "huge")).connect()
    assert len((await client.ping("sunrise")).body) > HUGE_BYTES
    assert len((await client.ping("sunrise")).body) > HUGE_BYTES


async def test_a_reset(play: Opener) -> None:
    client = await (await faulty(play, "reset")).connect()
    client.send("POST", "/sunrise/ping", {})
    with pytest.raises(ConnectionResetError):
        await client.reader.read()


async def test_a_close(play: Opener) -> None:
    client = await (await faulty(play, "close")).connect()
    client.send("POST", "/sunrise/ping", {})
    assert await client.reader.read() == b""


async def test_a_negative_bid(play: Opener) -> None:
    client = await (await faulty(play, "negative")).connect()
    assert (await client.ping("sunrise")).said["bid"] < 0


async def test_a_slow_drip(play: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DRIP_MS", 1)
    client = await (await faulty(play, "slow_drip")).connect()
    sent = client.send("POST", "/sunrise/ping", {})
    first = await client.reader.read(10_000)
    assert b"\r\n\r\n" not in first
    client.writer.write(sent)  # the connection lives on, and the next answer waits for this one's end
    rest = first + await client.reader.readuntil(b"}")
    assert rest.count(b"HTTP/1.1") == 1
    assert json.loads(rest.partition(b"\r\n\r\n")[2])["bid_id"] == "sunrise-1"
    assert (await client.answer()).said["bid_id"] == "sunrise-2"


async def test_a_hang_lasts_until_the_connection_closes(play: Opener) -> None:
    mock = await faulty(play, "hang")
    client = await mock.connect()
    client.send("POST", "/sunrise/ping", {})
    while (await mock.stats())["pending"] != 1:
        pass
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.reader.read(1), 0.1)
    client.writer.close()
    while (await mock.stats())["pending"]:
        pass
    counts = (await mock.stats())["buyers"]["sunrise"]
    assert (counts["bids"], counts["faults"]) == (1, {"hang": 1})


# order and bytes


async def test_pipelined_answers_keep_their_order(play: Opener) -> None:
    client = await (
        await play({"slow": {"latency_ms": 40}, "slower": {"latency_ms": 80}, "fast": {}})
    ).connect()
    buyers = ["fast", "slower", "fast", "slow", "fast", "fast"]
    client.writer.write(b"".join(request("POST", f"/{buyer}/ping", {}) for buyer in buyers))
    answers = [(await client.answer()).said["bid_id"] for _ in buyers]
    assert answers == ["fast-1", "slower-1", "fast-2", "slow-1", "fast-3", "fast-4"]


@pytest.mark.parametrize("size", [1, 7, 60])
async def test_requests_may_come_in_any_pieces(play: Opener, size: int) -> None:
    client = await (await play({"sunrise": {"auth": {"value": "Bearer x"}}})).connect()
    headers = {"Authorization": "Bearer x", "Idempotency-Key": "k"}
    sent = request("POST", "/sunrise/post", {"lead_id": "l"}, headers) + request("GET", "/_stats?")
    for at in range(0, len(sent), size):
        client.writer.write(sent[at : at + size])
        await client.writer.drain()
        await asyncio.sleep(0)
    assert (await client.answer()).said["status"] == "accepted"
    assert (await client.answer()).said["buyers"]["sunrise"]["leads"] == 1


async def test_a_connection_is_closed_where_the_client_asks_for_it(play: Opener) -> None:
    mock = await play({"sunrise": {}, "slow": {"latency_ms": 30}})
    for buyer in ("sunrise", "slow"):
        client = await mock.connect()
        assert (await client.ping(buyer, Connection="close")).status == 200
        assert await client.reader.read() == b""


async def test_an_upgrade_is_refused(play: Opener) -> None:
    client = await (await play({"sunrise": {}})).connect()
    headers = {"Connection": "Upgrade", "Upgrade": "h2c"}
    assert (await client.ask("POST", "/sunrise/ping", {}, headers)).status == 400
    assert await client.reader.read() == b""


async def test_what_is_no_http_is_refused_after_what_came_before(play: Opener) -> None:
    client = await (await play({"slow": {"latency_ms": 30}})).connect()
    client.writer.write(request("POST", "/slow/ping", {}) + b"\x16\x03\x01\x00\r\n\r\n")
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 400
    assert await client.reader.read() == b""


# bounds


async def test_a_request_has_a_bound(play: Opener) -> None:
    mock = await play({"sunrise": {}})
    client = await mock.connect()
    half = b"x" * (MOST_REQUEST_BYTES // 2)
    assert (await client.ask("POST", "/sunrise/ping", half)).status == 200
    assert (await client.ask("POST", "/sunrise/ping", half)).status == 200
    endless = await mock.connect()
    head = b"POST /sunrise/ping HTTP/1.1\r\nContent-Length: 900000000\r\n\r\n"
    endless.writer.write(one_too_many(head, b"x"))
    assert (await endless.answer()).status == 413
    assert await endless.reader.read() == b""
    assert (await mock.stats())["turned_away"]["large"] == 1


async def test_endless_headers_have_a_bound(play: Opener) -> None:
    client = await (await play({"sunrise": {}})).connect()
    client.writer.write(one_too_many(b"POST /sunrise/ping HTTP/1.1\r\n", b"a: b\r\n"))
    assert (await client.answer()).status == 413


def one_too_many(start: bytes, more: bytes) -> bytes:
    """One byte more than a request may have: all of it is read before it is refused, so no reset hides the answer."""
    return (start + more * MOST_REQUEST_BYTES)[: MOST_REQUEST_BYTES + 1]


async def test_pending_answers_have_a_bound(play: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_PENDING", 2)
    mock = await faulty(play, "hang")
    for _ in range(2):
        (await mock.connect()).send("POST", "/sunrise/ping", {})
    while (await mock.stats())["pending"] != 2:
        pass
    third = await mock.connect()
    third.send("POST", "/sunrise/ping", {})
    assert await third.reader.read() == b""
    assert (await mock.stats())["turned_away"]["pending"] == 1


async def test_connections_have_a_bound(play: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 1)
    mock = await play({"sunrise": {}})
    client = await mock.connect()
    assert (await client.ping("sunrise")).status == 200
    second = await mock.connect()
    assert await second.reader.read() == b""
    assert (await client.ask("GET", "/_stats")).said["turned_away"]["connections"] == 1


async def test_several_ports_lead_to_the_same_buyers(play: Opener) -> None:
    mock = await play({"sunrise": {}}, ports=(0, 0))
    assert len(set(mock.mock.urls)) == 2
    for n, url in enumerate(mock.mock.urls, 1):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(request("POST", "/sunrise/ping", {}))
        await reader.readuntil(b"\r\n\r\n")
        assert json.loads(await reader.readuntil(b"}"))["bid_id"] == f"sunrise-{n}"
        writer.close()
