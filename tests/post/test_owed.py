"""Steps that are owed: in their order, until they are done, bounded."""

from __future__ import annotations

import asyncio
import logging

import pytest

from auction.errors import HouseError
from auction.post import owed
from auction.post.owed import BATCH, Owed


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owed, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(owed, "LONGEST_PAUSE_S", 0.002)


class Store:
    """Fails the first `times` calls as a store does that is away."""

    def __init__(self, times: int = 0) -> None:
        self.times = times
        self.calls: list[int] = []
        self.did: list[int] = []

    async def do(self, what: int) -> None:
        self.calls.append(what)
        if self.times:
            self.times -= 1
            raise HouseError("away", "Away.")
        self.did.append(what)


def owe(steps: Owed, store: Store, *numbers: int) -> None:
    for number in numbers:
        steps.add(lambda number=number: store.do(number))  # type: ignore[misc]


async def drained(steps: Owed) -> None:
    async with asyncio.timeout(20):
        while steps.waiting or steps._paying:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("times", [0, 1, 5])
async def test_every_step_is_done_in_the_end(times: int) -> None:
    store, steps = Store(times), Owed("store")
    owe(steps, store, 1, 2, 3)
    await drained(steps)
    assert sorted(store.did) == [1, 2, 3]
    assert steps.done == 3
    owe(steps, store, 4)
    await drained(steps)
    assert steps.done == 4


async def test_a_store_that_is_away_is_not_asked_for_everything_at_once() -> None:
    store, steps = Store(times=10**9), Owed("store")
    owe(steps, store, *range(10 * BATCH))
    await asyncio.sleep(0.01)
    assert set(store.calls) == set(range(BATCH)), "the oldest first, again and again"
    store.times = 0
    await drained(steps)
    assert store.did == list(range(10 * BATCH))


async def test_what_is_too_much_is_counted() -> None:
    store, steps = Store(times=10**9), Owed("store", most=3)
    owe(steps, store, 1, 2, 3, 4, 5)
    assert (steps.waiting, steps.dropped) == (3, 2)
    store.times = 0
    await drained(steps)
    assert store.did == [1, 2, 3]


async def test_a_store_that_refuses_before_there_is_anything_to_await_is_asked_again() -> None:
    """The ledger's writer, with its queue full."""
    store, steps = Store(), Owed("store")
    refusals = iter([True, False])

    def step() -> asyncio.Future[None]:
        if next(refusals):
            raise HouseError("full", "Full.")
        return asyncio.ensure_future(store.do(1))

    steps.add(step)
    await drained(steps)
    assert store.did == [1]


async def test_a_bug_is_logged_once_and_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    store, steps = Store(), Owed("store")

    async def broken() -> None:
        raise ZeroDivisionError

    steps.add(broken)
    owe(steps, store, 1)
    await drained(steps)
    assert store.did == [1]
    assert [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.ERROR] == [
        "owed_step_failed"
    ]


async def test_at_the_end_it_tries_a_last_while_and_says_what_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, steps = Store(times=2), Owed("store")
    owe(steps, store, 1)
    await steps.close()
    assert store.did == [1]
    store.times = 10**9
    owe(steps, store, 2)
    await steps.close(within_s=0.01)
    assert steps.waiting == 1
    assert "steps_left_undone" in caplog.text
    await Owed("nothing").close()
