"""The few places through which a worker acts on the outside, counted as they are passed, and broken at one of them.

A step on the counters, a write to the ledger, a read, bytes to a buyer, the answer to the seller: each is an *effect*.
The nth effect of a name is an *instant*, and at each instant a worker can end or fail in each *manner*. Between two
effects a worker only computes, so whatever it does there, nobody outside can tell it from having done nothing.

An instant has a name and not a number in the row: where two offers are out at once, which comes first is chance.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from enum import StrEnum
from typing import TypeVar

import msgspec

T = TypeVar("T")

counted: ContextVar[bool] = ContextVar("counted", default=False)
"""Whether what is done here belongs to the life that is looked at. (Beats and looks of the test's own do not.)"""
TURNS_OF_QUIET = 25
"""So many turns of the loop without an effect under way: whatever the worker could do by itself is done."""


class Manner(StrEnum):
    """What befalls a worker at an instant."""

    DIES_BEFORE = "dies before"
    DIES_AFTER = "dies after"
    FREEZES_BEFORE = "freezes before"
    FREEZES_AFTER = "freezes after"
    OVERSLEEPS_BEFORE = "oversleeps before"
    OVERSLEEPS_AFTER = "oversleeps after"
    FAILS_UNDONE = "fails, not done"
    FAILS_DONE = "fails, done"

    @property
    def before(self) -> bool:
        """The effect does not take place, or not yet."""
        return self in _BEFORE

    @property
    def fails(self) -> bool:
        """The worker lives on, and hears of an error."""
        return self in (Manner.FAILS_UNDONE, Manner.FAILS_DONE)

    @property
    def dies(self) -> bool:
        """It does nothing more, ever."""
        return self in (Manner.DIES_BEFORE, Manner.DIES_AFTER)

    @property
    def oversleeps(self) -> bool:
        """It is frozen until the lead is finished and all that was unknown of it is settled; if it only freezes, it
        wakes when another worker has finished the lead."""
        return self in (Manner.OVERSLEEPS_BEFORE, Manner.OVERSLEEPS_AFTER)


_BEFORE = frozenset(
    {Manner.DIES_BEFORE, Manner.FREEZES_BEFORE, Manner.OVERSLEEPS_BEFORE, Manner.FAILS_UNDONE}
)


class Instant(msgspec.Struct, frozen=True):
    """The nth time that something is done."""

    effect: str
    nth: int = 1

    def __str__(self) -> str:
        return self.effect if self.nth == 1 else f"{self.effect} #{self.nth}"

    @classmethod
    def read(cls, text: str) -> Instant:
        """As it is written."""
        effect, mark, nth = text.rpartition(" #")
        return cls(effect, int(nth)) if mark else cls(text)

    @property
    def only_asks(self) -> bool:
        """Nothing is changed by it: done and not done are one."""
        return self.effect.startswith("ledger: read") or self.effect.startswith("counters: offer_of")


class Fault(msgspec.Struct, frozen=True):
    """What befalls the worker, and when."""

    manner: Manner
    instant: Instant

    def __str__(self) -> str:
        return f"{self.manner} {self.instant!s}"


def faults_at(instant: Instant) -> list[Fault]:
    """Every manner that makes a difference at this instant."""
    without = (Manner.DIES_AFTER, Manner.FAILS_DONE) if instant.only_asks else ()
    return [Fault(manner, instant) for manner in Manner if manner not in without]


class Seams:
    """One worker's. `trace` is what passed since `begin`; `stopped` is set when the worker dies or freezes.

    `pace`, where it is set, is awaited before each counted effect: a scheduler's way to let them go one by one.
    """

    def __init__(self) -> None:
        self.trace: list[Instant] = []
        self.stopped = asyncio.Event()
        self.struck = False
        self.pace: Callable[[Instant], Awaitable[None]] | None = None
        self.inside = 0
        self._fault: Fault | None = None
        self._state = "lives"
        self._seen = Counter[str]()
        self._awake = asyncio.Event()
        self._held: set[asyncio.Future[None]] = set()

    def begin(self, fault: Fault | None) -> None:
        """A new life is counted from here."""
        self.trace, self.struck, self._fault = [], False, fault
        self._seen.clear()

    def disarm(self) -> None:
        """Nothing befalls it any more."""
        self._fault = None

    @property
    def dead(self) -> bool:
        """Nothing of this worker happens any more."""
        return self._state not in ("lives", "frozen")

    @property
    def frozen(self) -> bool:
        """It stands still, and may wake."""
        return self._state == "frozen"

    def wake(self) -> None:
        """It goes on with whatever it was doing."""
        assert self.frozen
        self._state = "lives"
        self.stopped.clear()
        self._awake.set()

    def bury(self) -> None:
        """What hangs in a dead worker is let go, and gets nowhere."""
        self._state = "buried"
        self._awake.set()
        for held in tuple(self._held):
            held.cancel()

    def close(self) -> None:
        """From now on whatever is tried fails at once: the worker is taken apart."""
        self._state = "closed"

    async def through(self, effect: str, do: Callable[[], Awaitable[T]], lost: Callable[[], Exception]) -> T:
        """Do it, unless something befalls the worker here. `lost` is what it hears where the effect fails."""
        await self._standing(lost)
        fault = None
        if counted.get():
            instant = self._numbered(effect)
            if self.pace is not None:
                await self.pace(instant)
            if self._fault is not None and not self.struck and self._fault.instant == instant:
                fault, self.struck = self._fault.manner, True
        if fault is not None and fault.before:
            await self._befall(fault, lost)
        self.inside += 1
        try:
            done = await do()
        finally:
            self.inside -= 1
        if fault is not None and not fault.before:
            await self._befall(fault, lost)
        await self._standing(lost)
        return done

    async def quiet(self) -> None:
        """Returns when nothing is under way, and has not been for a while."""
        turns = 0
        while turns < TURNS_OF_QUIET:
            turns = 0 if self.inside else turns + 1
            await asyncio.sleep(0 if not self.inside else 0.0005)

    async def _befall(self, manner: Manner, lost: Callable[[], Exception]) -> None:
        if manner.fails:
            raise lost()
        self._state = "dead" if manner.dies else "frozen"
        self._awake.clear()
        self.stopped.set()
        await self._standing(lost)

    async def _standing(self, lost: Callable[[], Exception]) -> None:
        """Returns while the worker lives. Of a dead one nothing returns."""
        while self._state == "frozen":
            await self._awake.wait()
        if self._state == "closed":
            raise lost()
        if self._state == "buried":
            raise asyncio.CancelledError
        if self._state == "dead":
            held = asyncio.get_running_loop().create_future()
            self._held.add(held)
            try:
                await held
            finally:
                self._held.discard(held)

    def _numbered(self, effect: str) -> Instant:
        self._seen[effect] += 1
        instant = Instant(effect, self._seen[effect])
        self.trace.append(instant)
        return instant
