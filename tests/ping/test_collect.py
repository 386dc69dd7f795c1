"""One fan-out's clock: whose time is up when, and when the auction closes."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from auction.market.reasons import Reason
from auction.ping.auction import Auction
from auction.ping.collect import Collecting
from tests.builders import terms, traded_order

BID = b'{"bid":2.5}'
SHORT_MS = 20.0


def collecting(auction: Auction, *names: str, left_s: float) -> Collecting:
    made = Collecting(auction, asyncio.get_running_loop(), left_s)
    auction.ask_all([traded_order(name, most=10) for name in names])
    return made


def reasons(auction: Auction) -> list[Reason]:
    return [outcome.reason for outcome in auction.outcomes]


async def test_one_whose_time_is_up_leaves_the_others_theirs() -> None:
    auction = Auction(terms())
    ear = collecting(auction, "short", "patient", left_s=60.0)
    done = ear.wait_for([(0, SHORT_MS)])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(done), 4 * SHORT_MS / 1000)
    assert not auction.is_open(0)
    assert auction.is_open(1)
    ear.answered(1, 200, BID, 900)
    await asyncio.wait_for(done, 20)
    assert reasons(auction) == [Reason.TIMEOUT, Reason.OUTBID]


async def test_the_last_whose_time_is_up_closes() -> None:
    auction = Auction(terms())
    ear = collecting(auction, "a", "b", left_s=60.0)
    await asyncio.wait_for(ear.wait_for([(0, SHORT_MS), (1, 2 * SHORT_MS)]), 20)
    assert ear.closed
    assert reasons(auction) == [Reason.TIMEOUT, Reason.TIMEOUT]


async def test_nobody_waits_longer_than_the_auction() -> None:
    auction = Auction(terms())
    ear = collecting(auction, "a", "b", left_s=SHORT_MS / 1000)
    began_s = perf_counter()
    await asyncio.wait_for(ear.wait_for([]), 20)
    assert perf_counter() - began_s >= SHORT_MS / 1000 - 0.002
    assert reasons(auction) == [Reason.TIMEOUT, Reason.TIMEOUT]


async def test_an_answer_before_all_asks_are_out_closes_nothing() -> None:
    auction = Auction(terms())
    ear = collecting(auction, "a", left_s=60.0)
    ear.answered(0, 200, BID, 1)
    assert not ear.done.done()
    await asyncio.wait_for(ear.wait_for([]), 20)
    assert ear.closed
