"""A worker acts only while its last beat vouches for it."""

from __future__ import annotations

import asyncio

import pytest

from auction.errors import HouseError
from auction.post.lease import Lease, elapsed_s


class Time:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def lease(time: Time) -> Lease:
    lease = Lease(10_000, time)
    lease.begin("w1", time.now_s)
    return lease


async def test_it_stands_for_less_than_the_others_wait(lease: Lease, time: Time) -> None:
    assert lease.stands("w1")
    time.now_s += 7.9
    assert lease.stands("w1")
    time.now_s += 0.2
    assert not lease.stands("w1"), "there is a time at which neither acts"
    lease.renew(time.now_s)
    assert lease.stands("w1")


async def test_a_beat_counts_from_when_its_write_began(lease: Lease, time: Time) -> None:
    began_s = time.now_s
    time.now_s += 9
    lease.renew(began_s)
    assert not lease.stands("w1")


async def test_nobody_acts_under_a_name_that_ended(lease: Lease, time: Time) -> None:
    lease.end()
    assert not lease.stands("w1")
    assert not lease.stands("")
    lease.begin("w2", time.now_s)
    assert lease.stands("w2")
    assert not lease.stands("w1")
    assert not await lease.wait("w1"), "at once"


async def test_whose_lease_has_lapsed_waits_for_the_next_beat(lease: Lease, time: Time) -> None:
    time.now_s += 60
    waiting = asyncio.create_task(lease.wait("w1"))
    await asyncio.sleep(0)
    assert not waiting.done()
    lease.renew(time.now_s)
    assert await waiting


async def test_and_gives_up_when_it_is_fenced(lease: Lease, time: Time) -> None:
    time.now_s += 60
    waiting = asyncio.create_task(lease.wait("w1"))
    await asyncio.sleep(0)
    lease.end()
    assert not await waiting


async def test_no_lead_is_taken_in_without_a_beat_for_a_lease() -> None:
    lease = Lease(500)
    lease.begin("w1", elapsed_s() - 60)
    with pytest.raises(HouseError) as caught:
        await lease.holder()
    assert caught.value.code == "ledger_unavailable"
    lease.renew(elapsed_s())
    assert await lease.holder() == "w1"
