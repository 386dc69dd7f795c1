"""Lanes: whoever answers finds room, whatever others do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from auction.clock import MovedClock
from auction.ledger.postbacks import Due
from auction.postbacks.lanes import LaneLimits, Lanes
from tests.postbacks.dues import AT_MS, a_due


class Hosts:
    """Endpoints that answer well, fail, or hang until they are let go."""

    def __init__(self, **limits: int) -> None:
        self.clock = MovedClock(AT_MS)
        self.drained = asyncio.Event()
        self.sent: list[Due] = []
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.answers: dict[str, bool] = {}
        self.hanging: dict[str, asyncio.Event] = {}
        self.lanes = Lanes(self.step, self.drained.set, self.clock, LaneLimits(**limits))

    async def step(self, due: Due) -> bool:
        host = due.endpoint
        for name in (host, "all"):
            self.at_once[name] += 1
            self.most_at_once[name] = max(self.most_at_once[name], self.at_once[name])
        try:
            await asyncio.sleep(0)
            if host in self.hanging:
                await self.hanging[host].wait()
            self.sent.append(due)
            return self.answers.get(host, True)
        finally:
            for name in (host, "all"):
                self.at_once[name] -= 1

    async def at_rest(self) -> None:
        """Until nothing is being sent, and nobody is about to."""
        await until(lambda: not any(lane.runners for lane in self.lanes._lanes.values()))

    def put(self, host: str, count: int, first: int = 0) -> None:
        dues = [a_due(number, endpoint=host) for number in range(first, first + count)]
        self.lanes.put(host, dues, self.lanes.room(host))


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.fixture
def hosts() -> Hosts:
    return Hosts(per_host=3, in_all=6, failing=2, queued=10, first_rest_ms=1_000, longest_rest_ms=4_000)


async def test_a_host_has_so_many_places_and_its_order(hosts: Hosts) -> None:
    hosts.put("a", 20)
    assert hosts.lanes.queued == 10
    assert hosts.lanes.room("a") == 0
    await until(lambda: len(hosts.sent) == 10)
    assert [due.lead_id for due in hosts.sent] == [f"lead-{number}" for number in range(10)]
    assert hosts.most_at_once["a"] == 3
    await asyncio.wait_for(hosts.drained.wait(), 30)
    await until(lambda: hosts.lanes.queued == 0)


async def test_a_host_that_hangs_is_in_nobodys_way(hosts: Hosts) -> None:
    hosts.hanging = {"dead": asyncio.Event()}
    hosts.put("dead", 10)
    hosts.put("good", 10)
    await until(lambda: len(hosts.sent) == 10)
    assert {due.endpoint for due in hosts.sent} == {"good"}
    hosts.hanging["dead"].set()
    await until(lambda: len(hosts.sent) == 20)


async def test_failing_hosts_keep_one_place_rest_and_share_a_few(hosts: Hosts) -> None:
    names = [f"dead-{number}" for number in range(8)]
    hosts.answers = dict.fromkeys(names, False)
    for name in names:
        hosts.put(name, 10)
    await hosts.at_rest()
    assert all(hosts.lanes.is_failing(name) for name in names)
    assert all(hosts.lanes.room(name) == 0 for name in names), "they rest"
    hosts.clock.move(4_000)
    assert all(hosts.lanes.room(name) == 1 for name in names)
    hosts.most_at_once.clear()
    hosts.hanging = {name: asyncio.Event() for name in names}
    for name in names:
        hosts.put(name, 10, first=100)
    await until(lambda: hosts.at_once["all"] == 2)
    sent = len(hosts.sent)
    hosts.put("good", 10)
    await until(lambda: len(hosts.sent) == sent + 10)
    assert hosts.most_at_once["all"] <= 2 + 3
    hosts.answers = {}
    for one in hosts.hanging.values():
        one.set()
    await until(lambda: not hosts.lanes.queued)
    assert not any(hosts.lanes.is_failing(name) for name in names), "one good answer is enough"
    assert max(hosts.most_at_once[name] for name in names) == 1


async def test_rests_grow(hosts: Hosts) -> None:
    hosts.answers = {"dead": False}
    rests = []
    for number in range(6):
        hosts.put("dead", 1, first=number)
        await hosts.at_rest()
        since_ms = hosts.clock.now_ms()
        while not hosts.lanes.room("dead"):
            hosts.clock.move(500)
        rests.append(hosts.clock.now_ms() - since_ms)
    assert rests == [0, 1_000, 2_000, 4_000, 4_000, 4_000]


async def test_what_was_just_done_is_not_sent_by_an_older_answer(hosts: Hosts) -> None:
    hosts.lanes.about_to_read()
    stale = [a_due(1, endpoint="a"), a_due(2, endpoint="a")]
    hosts.put("a", 2, first=1)
    await until(lambda: len(hosts.sent) == 2 and not hosts.lanes.queued)
    hosts.lanes.put("a", [*stale, a_due(3, endpoint="a")], 10)
    await until(lambda: not hosts.lanes.queued)
    assert [due.lead_id for due in hosts.sent] == ["lead-1", "lead-2", "lead-3"]
    hosts.lanes.about_to_read()
    hosts.lanes.put("a", stale, 10)
    await until(lambda: len(hosts.sent) == 5)


async def test_what_is_being_sent_is_not_put_in_again(hosts: Hosts) -> None:
    hosts.hanging = {"a": asyncio.Event()}
    hosts.put("a", 5)
    hosts.put("a", 5)
    hosts.hanging["a"].set()
    await until(lambda: not hosts.lanes.queued)
    assert len(hosts.sent) == 5


async def test_what_waits_can_be_forgotten_and_closing_waits_a_while(hosts: Hosts) -> None:
    hosts.hanging = {"a": asyncio.Event()}
    hosts.put("a", 10)
    await until(lambda: hosts.lanes.running == 3)
    hosts.lanes.forget_queued()
    assert hosts.lanes.queued == 3
    closing = asyncio.create_task(hosts.lanes.close(5))
    await asyncio.sleep(0)
    hosts.hanging["a"].set()
    await closing
    assert len(hosts.sent) == 3
    hosts.hanging = {"a": asyncio.Event()}
    hosts.put("a", 3, first=50)
    await until(lambda: hosts.lanes.running == 3)
    await hosts.lanes.close(0.01)
    assert (hosts.lanes.running, len(hosts.sent)) == (0, 3)


async def test_hosts_that_are_gone_are_forgotten(hosts: Hosts) -> None:
    hosts.answers = {"dead": False}
    hosts.put("dead", 5)
    await until(lambda: hosts.lanes.is_failing("dead") and not hosts.lanes.queued)
    await asyncio.sleep(0)
    hosts.lanes.keep_only({"other"})
    assert not hosts.lanes.is_failing("dead")
