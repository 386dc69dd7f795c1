"""Anything that a buyer may answer, byte by byte: the fan-out tells each slot once, and no answer raises."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.buyers.delivery import Delivery, PostRequest
from auction.buyers.fanout import Fanout, FanoutLimits
from auction.buyers.protocol import (
    URL_LIMIT,
    Accepted,
    NoBid,
    NotSent,
    Offered,
    Refused,
    Rejected,
    Unknown,
    read_bids,
)
from auction.market.reasons import Reason
from tests.buyers.served import Line, Served, Told
from tests.fuzz.effort import tries

MOST_MICROS = 80_000_000
WORDS = ["bid", "bids", "price", "status", "accepted", "rejected", "reason", "expires_in", "exclusive"]

texts = st.text(max_size=8) | st.sampled_from([*WORDS, "https://a.example/x", "x" * 3_000])
numbers = st.integers() | st.floats() | st.sampled_from([10**400, 2**63, 1e300, 79.99995, -0.0])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
bodies = st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode())
heads = st.lists(
    st.sampled_from(
        [
            b"Content-Type: application/json",
            b"Content-Length: 5",
            b"Content-Length: 99999999999999999999",
            b"Content-Length: -1",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"Connection: close",
            b"Connection: upgrade",
            b"Upgrade: h2c",
            b"X: " + b"y" * 20_000,
            b" folded",
            b": nameless",
            b"\x00: \xff",
        ]
    ),
    max_size=4,
)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A response with something wrong in it, or nothing, or no response at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    status = draw(st.sampled_from([b"200", b"204", b"100", b"101", b"302", b"404", b"500", b"999", b"x"]))
    lines, body = draw(heads), draw(bodies)
    if draw(st.booleans()):
        lines = [*lines, b"Content-Length: %d" % len(body)]
    if b"Transfer-Encoding: chunked" in lines and draw(st.booleans()):
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    written = bytearray(b"\r\n".join([b"HTTP/1.1 %b OK" % status, *lines, b"", body]))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        start = draw(st.integers(0, len(written)))
        written[start : start + draw(st.integers(0, 6))] = draw(st.binary(max_size=4))
    return bytes(written)


class Scripted:
    """A buyer whose every connection answers its first request with `said`, in pieces, and hangs up."""

    def __init__(self) -> None:
        self.said = b""
        self.piece = 1

    async def answer(self, line: Line) -> None:
        await line.request()
        for at in range(0, len(self.said), self.piece):
            await line.write(self.said[at : at + self.piece])
            if self.piece < len(self.said) <= 64:
                await asyncio.sleep(0)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One loop for all examples, for a server each would be slow."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def stage(loop: asyncio.Runner) -> Iterator[tuple[Scripted, Served, Fanout, Delivery]]:
    """The buyer, and the two clients that speak to buyers."""
    scripted = Scripted()
    served = Served(scripted.answer)
    loop.run(served.start(None))
    limits = FanoutLimits(sweep_s=0.02, longest_s=2, idle_s=0.001, openings_per_s=10**6, openings_burst=10**6)
    fanout, delivery = Fanout(limits, allow_private=True), Delivery(allow_private=True)
    loop.run(fanout.prepare([served.target()]))
    yield scripted, served, fanout, delivery
    for closing in (fanout.close, delivery.close, served.stop):
        loop.run(closing())


@tries(150)
@given(said=responses(), piece=st.integers(1, 4_000))
def test_a_ping_answered_with_anything(
    loop: asyncio.Runner, stage: tuple[Scripted, Served, Fanout, Delivery], said: bytes, piece: int
) -> None:
    scripted, served, fanout, _ = stage
    scripted.said, scripted.piece = said, piece

    async def ask() -> Told:
        told = Told()
        fanout.ask(served.target(), b"{}", told, 0)
        await told.all_of(1)
        return told

    told = loop.run(ask())
    assert len(told.answers) + len(told.failures) == 1
    for status, body in told.answers.values():
        read = read_bids(status, body, order_exclusive=True, max_micros=MOST_MICROS)
        assert isinstance(read, Offered | NoBid | Refused)
        if isinstance(read, Offered):
            assert status == 200
            assert all(0 < bid.price_micros <= MOST_MICROS for bid in read.bids)
    for reason in told.failures.values():
        assert reason in (Reason.BAD_HTTP, Reason.TOO_LARGE, Reason.CONNECTION_LOST, Reason.TIMEOUT)


@tries(100)
@given(said=responses(), piece=st.integers(1, 4_000))
def test_a_post_answered_with_anything(
    loop: asyncio.Runner, stage: tuple[Scripted, Served, Fanout, Delivery], said: bytes, piece: int
) -> None:
    scripted, served, _, delivery = stage
    scripted.said, scripted.piece = said, piece
    request = PostRequest(
        url=f"http://127.0.0.1:{served.port}/post", body=b"{}", idempotency_key="l:o", timeout_ms=2_000
    )
    told: Any = loop.run(delivery.post(request))
    # The whole request was read, so "nothing was sent" would be a lie; and only a readable yes is a yes.
    assert isinstance(told, Accepted | Rejected | Unknown)
    assert not isinstance(told, NotSent)
    if isinstance(told, Accepted):
        assert b"accepted" in said
        assert told.redirect_url is None or len(told.redirect_url) <= URL_LIMIT
