"""Clients that speak HTTP oddly, slowly, in pieces, many at once, or not to the end."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from auction.api.front import FrontLimits
from tests.api.conftest import OpenDoors, Traces
from tests.api.wired import KEY_LINE, Wired, request, until, wired
from tests.house import PERSON, PING, House

JSON = b"content-type: application/json"
BODY = msgspec.json.encode(PING)
MOST = 65_536
CHUNKED = (JSON, b"transfer-encoding: chunked")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def padded(size: int) -> bytes:
    """A good ping of exactly this many bytes."""
    return BODY + b" " * (size - len(BODY))


async def sale_of(house: House, ping_id: str) -> dict[str, Any]:
    """What the house itself says of the lead of this ping, once it is settled."""
    lead: dict[str, Any] = {}

    async def settled() -> bool:
        await house.exchange.writer.flush()
        _, ping = await house.get(f"/pings/{ping_id}")
        lead.update((await house.get(f"/leads/{ping['lead_id']}"))[1])
        return bool(lead["status"] != "offered")

    await until(settled)
    return lead


async def test_a_body_up_to_the_limit_and_one_byte_more(line: Wired, traces: Traces) -> None:
    assert (await line.send("/ping", padded(MOST))).status == 200
    line.write(
        request("/ping", headers=CHUNKED), chunk(padded(MOST)[:9]), chunk(padded(MOST)[9:]), b"0\r\n\r\n"
    )
    assert (await line.answer()).status == 200
    before = await traces.taken()
    answer = await line.send("/ping", padded(MOST + 1))
    assert (answer.status, answer.code) == (413, "too_large")
    answer = await line.send("/post", b"x" * 1_000_000)
    assert (answer.status, answer.code) == (413, "too_large")
    line.write(request("/ping", headers=CHUNKED), chunk(padded(MOST)), chunk(b" "), b"0\r\n\r\n")
    answer = await line.answer()
    assert (answer.status, answer.code) == (413, "too_large")
    assert await traces.taken() == before
    assert (await line.send("/ping", BODY)).status == 200, "the connection lives on"


@pytest.mark.parametrize("length", [b"65537", b"9999999999999999999"])
async def test_a_declared_length_is_believed_before_a_byte_has_come(line: Wired, length: bytes) -> None:
    line.write(b"POST /ping HTTP/1.1\r\nhost: x\r\ncontent-length: %b\r\n" % length, KEY_LINE, b"\r\n")
    answer = await line.answer()
    assert (answer.status, answer.code) == (413, "too_large")


async def test_an_endless_chunked_body_is_refused_when_it_is_too_large(house: House, line: Wired) -> None:
    line.write(request("/ping", headers=CHUNKED))
    for _ in range(70):
        line.write(chunk(b" " * 1_000))
    answer = await line.answer()
    assert (answer.status, answer.code) == (413, "too_large")
    assert house.app.native.bodies.too_large == 1


async def test_a_body_in_many_pieces(line: Wired) -> None:
    whole = request("/ping", BODY)
    for at in range(len(whole)):
        line.write(whole[at : at + 1])
        await asyncio.sleep(0)
        if at % 16 == 0:
            await line.writer.drain()
    assert (await line.answer()).json["status"] == "offer"
    line.write(
        request("/ping", headers=CHUNKED),
        *(chunk(BODY[at : at + 1]) for at in range(len(BODY))),
        b"0\r\n\r\n",
    )
    assert (await line.answer()).json["status"] == "offer"


async def test_expect_100_continue(line: Wired) -> None:
    head = request("/ping", BODY, headers=(JSON, b"expect: 100-continue"))[: -len(BODY)]
    line.write(head)
    assert (await line.answer()).status == 100
    line.write(BODY)
    assert (await line.answer()).status == 200
    refused = request("/ping", BODY, key=b"", headers=(JSON, b"expect: 100-continue"))[: -len(BODY)]
    line.write(refused)
    assert (await line.answer()).status == 401, "nobody asks for a body that will not be read"


async def test_pings_one_behind_the_other_without_waiting(line: Wired) -> None:
    """HTTP pipelining: good and bad mixed, answered in their order."""
    bodies = [msgspec.json.encode({**PING, "sub_id": f"s{n}"}) if n % 3 else b"{" for n in range(30)]
    line.write(*(request("/ping", body) for body in bodies))
    answers = [await line.answer() for _ in bodies]
    assert [answer.status for answer in answers] == [200 if n % 3 else 400 for n in range(30)]
    ids = [answer.json["ping_id"] for answer in answers if answer.status == 200]
    assert len(set(ids)) == 20


async def test_a_slow_body_is_told_so_and_a_slow_connection_ends(house: House, open_doors: OpenDoors) -> None:
    house.front.limits = FrontLimits(body_s=0.1, sweep_s=0.02)
    for start in (b"", BODY[:10]):
        async with wired(house.url) as slow, wired(house.url) as quick:
            slow.write(request("/ping", BODY)[: -len(BODY)], start)
            for _ in range(3):
                assert (await quick.send("/ping", BODY)).status == 200
            answer = await slow.answer()
            assert (answer.status, answer.code) == (408, "too_slow")
            assert answer.headers["connection"] == "close"
            assert await slow.closed()
    assert house.front.refused == {"slow_body": 2}


async def test_a_client_that_goes_in_the_middle_of_its_body(house: House, traces: Traces) -> None:
    offer = await house.ping()
    before = await traces.taken()
    body = msgspec.json.encode({"ping_id": offer["ping_id"], "lead": PERSON})
    for sent in (0, 1, len(body) - 1):
        async with wired(house.url) as line:
            line.write(request("/post", body)[: -len(body)], body[:sent])
            await line.writer.drain()
    await until(lambda: house.app.native.bodies.cut_off == 3)
    assert await traces.taken() == before
    assert (await house.sell(offer["ping_id"]))["status"] == "sold"


@pytest.mark.parametrize("reset", [False, True])
async def test_a_post_whose_client_has_gone_is_finished_and_its_answer_kept(
    open_doors: OpenDoors, reset: bool
) -> None:
    house = await open_doors(
        manners={"a-co": {"bid": {"price": 30}, "post": {"latency_ms": 100}}}, auction={"tmax_ms": 2_000}
    )
    offer = await house.ping()
    body = msgspec.json.encode({"ping_id": offer["ping_id"], "lead": PERSON})
    async with wired(house.url) as line:
        line.write(request("/post", body))
        await line.writer.drain()

        async def offered() -> bool:
            return bool(await house.seen("a-co", "post"))

        await until(offered)
        if reset:
            line.writer.transport.abort()
    assert (await sale_of(house, offer["ping_id"]))["status"] == "sold"
    answer = await house.sell(offer["ping_id"])
    assert (answer["status"], answer["payout"]) == ("sold", 30)
    assert len(await house.seen("a-co", "post")) == 1


async def test_a_ping_whose_client_has_gone_leaves_nothing_open(open_doors: OpenDoors) -> None:
    house = await open_doors(manners={"a-co": {"bid": {"price": 30}, "latency_ms": 1_000}})
    async with wired(house.url) as line:
        line.write(request("/ping", BODY))
        await line.writer.drain()
        await until(lambda: house.exchange.pings.running == 1)
    await until(lambda: house.exchange.pings.running == 0)
    await house.change_manner("a-co", {"bid": {"price": 30}})
    assert (await house.ping())["status"] == "offer"


async def test_bytes_that_are_no_http_end_their_own_connection_alone(house: House, line: Wired) -> None:
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /ping\r\n\r\n",
        b"POST /p\xffng HTTP/1.1\r\n\r\n",
        b"POST /ping HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /ping HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /ping HTTP/1.1\r\ncontent-length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"POST /ping HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ):
        async with wired(house.url) as broken:
            broken.write(nonsense)
            async with asyncio.timeout(30):
                first = await broken._reader.readline()
            assert first.startswith(b"HTTP/1.1 4"), nonsense
    assert (await line.send("/ping", BODY)).status == 200


async def test_http_1_0_and_close(house: House) -> None:
    async with wired(house.url) as old:
        old.write(request("/ping", BODY).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await old.answer()).status == 200
        assert await old.closed()
    async with wired(house.url) as one:
        assert (await one.send("/ping", BODY, headers=(JSON, b"connection: close"))).status == 200
        assert await one.closed()
