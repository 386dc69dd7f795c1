"""Two workers at once, every order of their effects up to a bound: `first` does so many, then the other so many, then
the first goes on to its end, and at last the other. So each of them is overtaken by the other at every instant.

Each effect waits until the schedule lets it go, and the next one goes when nothing is under way any more: what comes
out does not hang on which of two threads or sockets was quicker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from tests.instants.lives import ASKED_AGAIN, BACK, DIRECT, SECOND, SOLD, Life
from tests.instants.run import Run
from tests.instants.seams import Instant
from tests.instants.stage import Stage
from tests.instants.verdict import verdict
from tests.instants.worker import LEASE_MS, Worker, act

MOST_EFFECTS = 60


class Duel(msgspec.Struct, frozen=True):
    """Two things that are done at the same time, by A and by B, after something was made ready; then `after`."""

    name: str
    life: Life
    ready: Callable[[Run], Awaitable[Any]]
    of_a: Callable[[Run, Any], Awaitable[object]]
    of_b: Callable[[Run, Any], Awaitable[object]]
    after: Callable[[Run, Any], Awaitable[object]]


class Played(msgspec.Struct):
    """One schedule: what was done in which order, and what was wrong at the end."""

    duel: str
    switches: tuple[int, int]
    order: list[str]
    wrong: list[str]

    def __str__(self) -> str:
        first, second = self.switches
        lines = [f"duel {self.duel}, B comes between after {first} effects of A, for {second} of its own:"]
        lines += [f"  {one}" for one in self.wrong]
        lines.append("  " + " > ".join(self.order))
        lines.append(
            f"  this one alone: python -m tests.instants duel {self.duel} --switches {first} {second}"
        )
        return "\n".join(lines)


class Referee:
    """Lets the effects of both go, one at a time."""

    def __init__(self, a: Worker, b: Worker) -> None:
        self.order: list[str] = []
        self._workers = {"a": a, "b": b}
        self._waiting: dict[str, deque[tuple[Instant, asyncio.Future[None]]]] = {"a": deque(), "b": deque()}
        for name, worker in self._workers.items():
            worker.seams.pace = partial(self._arrive, name)

    async def play(self, doing: dict[str, asyncio.Task[object]], first: int, second: int) -> int:
        """To the end of both. How many effects B had when its turn was over."""
        await self._let("a", doing, first)
        done = await self._let("b", doing, second)
        await self._let("a", doing, MOST_EFFECTS)
        await self._let("b", doing, MOST_EFFECTS)
        for worker in self._workers.values():
            worker.seams.pace = None
        for waiting in self._waiting.values():  # what is tried again and again until the other is done
            for _, gate in waiting:
                gate.set_result(None)
        await asyncio.wait(doing.values(), timeout=20)
        return done

    async def _let(self, name: str, doing: dict[str, asyncio.Task[object]], most: int) -> int:
        for nth in range(most):
            await self._quiet()
            if not self._waiting[name]:
                return nth
            instant, gate = self._waiting[name].popleft()
            self.order.append(f"{name}: {instant}")
            gate.set_result(None)
        return most

    async def _arrive(self, name: str, instant: Instant) -> None:
        gate = asyncio.get_running_loop().create_future()
        self._waiting[name].append((instant, gate))
        await gate

    async def _quiet(self) -> None:
        for worker in self._workers.values():
            await worker.seams.quiet()


async def play_once(stage: Stage, duel: Duel, first: int, second: int) -> tuple[Played, int]:
    """One schedule; and how many effects B had in its turn."""
    await stage.next_life()
    run = Run(stage, duel.life, None)
    run.contested = True
    await run.begin()
    known = await duel.ready(run)
    referee = Referee(stage.a, stage.b)
    doing = {"a": act(duel.of_a(run, known)), "b": act(duel.of_b(run, known))}
    done = await referee.play(doing, first, second)
    for name, task in doing.items():
        if not task.done():
            run.notes.append(f"what {name} was doing never ended")
            task.cancel()
        elif (error := task.exception()) is not None:
            run.notes.append(f"what {name} was doing broke: {error!r}")
    await duel.after(run, known)
    await run.finish()
    return Played(duel.name, (first, second), referee.order, await verdict(run)), done


async def play(stage: Stage, duel: Duel) -> AsyncIterator[Played]:
    """Every schedule in which each is interrupted once at most."""
    first, more = 0, True
    while more:
        second, done = 0, 0
        while done == second:
            second += 1
            played, done = await play_once(stage, duel, first, second)
            yield played
            more = sum(one.startswith("a: ") for one in played.order) > first
        first += 1


# -- what is done at once ------------------------------------------------------------------------------


async def _posting(run: Run) -> Any:
    return run.a_post(await run.ping())


async def _directing(run: Run) -> Any:
    return run.a_direct()


async def _at_a(run: Run, attempt: Any) -> None:
    await run.send_once(run.stage.a, attempt)


async def _at_b(run: Run, attempt: Any) -> None:
    await run.send_once(run.stage.b, attempt)


async def _again(run: Run, attempt: Any) -> None:
    await run.until_answered(attempt)


async def _fencing(run: Run, attempt: Any) -> None:
    """B holds A for dead, though A's lease stands by its own clock, and finishes what it has in hand."""
    b, mine = run.stage.b, run.stage.a.exchange.lease.worker
    run.stage.gone.add(mine)
    await b.exchange.watching.look()
    while b.exchange.recovery.running:  # noqa: ASYNC110
        await asyncio.sleep(0.0005)


async def _found_out(run: Run, attempt: Any) -> None:
    """A beats, and learns it; then its seller asks again."""
    await run.stage.move(LEASE_MS // 4)
    await run.until_answered(attempt)


async def _sold(run: Run) -> Any:
    said = await run.post(await run.ping())
    return said.body["lead_id"]


async def _returns_at_a(run: Run, lead_id: Any) -> None:
    await run.tell("back-a", by=run.stage.a, lead_id=lead_id, status="returned", reason="wrong_number")


async def _returns_at_b(run: Run, lead_id: Any) -> None:
    await run.tell("back-a", by=run.stage.b, lead_id=lead_id, status="returned", reason="wrong_number")


async def _returned(run: Run, lead_id: Any) -> None:
    await run.tell("back-a", lead_id=lead_id, status="returned", reason="wrong_number")


DUELS: dict[str, Duel] = {
    duel.name: duel
    for duel in (
        Duel("twins", SOLD, _posting, _at_a, _at_b, _again),
        Duel("refused", SECOND, _posting, _at_a, _at_b, _again),
        Duel("directs", DIRECT, _directing, _at_a, _at_b, _again),
        Duel("fenced", SOLD, _posting, _at_a, _fencing, _found_out),
        Duel("fenced-refused", SECOND, _posting, _at_a, _fencing, _found_out),
        Duel("fenced-idempotent", ASKED_AGAIN, _posting, _at_a, _fencing, _found_out),
        Duel("returns", BACK, _sold, _returns_at_a, _returns_at_b, _returned),
    )
}
