"""Kills, freezes and ends processes by a seed: those that this process started, and their children. No other.

Two things live here. `schedule` is pure: the same seed gives the same blows at the same moments. `Own` is the hand
that strikes: it knows the processes below this one, keeps each with the moment at which it began, and refuses any
other. So a process id that became somebody else's is never signalled. Whatever it froze, it thaws.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Literal

import psutil  # type: ignore[import-untyped]
from msgspec import Struct

Act = Literal["kill", "freeze", "term"]
ACTS: tuple[Act, ...] = ("kill", "freeze", "term")


class NotOurs(Exception):  # noqa: N818  (it says what was asked)
    """A process that this one did not start was to be signalled."""


class Blow(Struct, frozen=True):
    """At `at_s`, one of a kind of victims is struck. `pick` (0 … 1) chooses among those there are then.

    `for_s`: how long it stays frozen; or how long a killed one stays dead, where we are to start it again.
    """

    at_s: float
    victim: str
    act: Act
    for_s: float
    pick: float


Odds = Mapping[str, Mapping[Act, int]]
"""For each kind of victim, the weight of each act."""


def schedule(
    seed: int, over_s: float, count: int, odds: Odds, for_s: tuple[float, float] = (0.3, 4.0)
) -> tuple[Blow, ...]:
    """`count` blows over `over_s` seconds, one in each equal part of it. Every pair of victim and act in `odds`
    comes in its share, and none is left out where there are as many blows as pairs."""
    rng = Random(f"killer:{seed}")
    pairs = [(victim, act) for victim, acts in odds.items() for act in acts]
    weights = [odds[victim][act] for victim, act in pairs]
    chosen = pairs[:count] + rng.choices(pairs, weights, k=max(0, count - len(pairs)))
    rng.shuffle(chosen)
    step_s = over_s / max(1, count)
    return tuple(
        Blow(
            at_s=round((at + rng.random()) * step_s, 3),
            victim=victim,
            act=act,
            for_s=round(rng.uniform(*for_s), 3),
            pick=rng.random(),
        )
        for at, (victim, act) in enumerate(chosen)
    )


class Own:
    """The processes below this one. Everything that is signalled goes through here.

    A child whose parent died stays ours, once it was seen (`look`).
    """

    def __init__(self) -> None:
        self._seen: dict[int, psutil.Process] = {}
        self._frozen: dict[int, psutil.Process] = {}

    def look(self) -> list[psutil.Process]:
        """Those that run now."""
        self._seen = {pid: one for pid, one in self._seen.items() if one.is_running()}
        for one in psutil.Process().children(recursive=True):
            self._seen.setdefault(one.pid, one)
        return list(self._seen.values())

    def below(self, pid: int) -> list[psutil.Process]:
        """This process of ours and those that it started, itself first."""
        one = self.get(pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            return [one, *(child for child in one.children(recursive=True) if self._is_ours(child))]
        return [one]

    def get(self, pid: int) -> psutil.Process:
        """A process of ours by its id. Raises `NotOurs`."""
        self.look()
        one = self._seen.get(pid)
        if one is None:
            raise NotOurs(f"process {pid} was not started here")
        return one

    def signal(self, one: psutil.Process, number: signal.Signals) -> bool:
        """False if it is gone. Raises `NotOurs`."""
        if not self._is_ours(one):
            if not one.is_running():
                return False
            raise NotOurs(f"process {one.pid} was not started here")
        try:
            one.send_signal(number)  # psutil looks first whether it is still the same process
        except psutil.NoSuchProcess:
            return False
        if number == signal.SIGSTOP:
            self._frozen[one.pid] = one
        elif number == signal.SIGCONT:
            self._frozen.pop(one.pid, None)
        return True

    async def freeze(self, processes: Sequence[psutil.Process], for_s: float) -> bool:
        """They stand still for so long. False if none was there."""
        try:
            stopped = [one for one in processes if self.signal(one, signal.SIGSTOP)]
            if stopped:
                await asyncio.sleep(for_s)
        finally:
            for one in processes:
                self.thaw(one)
        return bool(stopped)

    @asynccontextmanager
    async def frozen(self, processes: Sequence[psutil.Process]) -> AsyncIterator[None]:
        """They stand still in the block, from its first moment: a busy machine may take a while to stop one."""
        try:
            for one in processes:
                self.signal(one, signal.SIGSTOP)
            async with asyncio.timeout(20):
                while not all(map(_stands_still, processes)):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            yield
        finally:
            for one in processes:
                self.thaw(one)

    def thaw(self, one: psutil.Process) -> None:
        """It goes on, if it was frozen and is there."""
        if self._frozen.get(one.pid) == one:
            self.signal(one, signal.SIGCONT)
            self._frozen.pop(one.pid, None)

    def thaw_all(self) -> None:
        """Nothing stays frozen."""
        for one in tuple(self._frozen.values()):
            self.thaw(one)

    def kill_all(self) -> int:
        """The end of everything that was started below us: how many there were."""
        ours = self.look()
        return sum(self.signal(one, signal.SIGKILL) for one in ours)

    @contextmanager
    def thawing(self) -> Iterator[None]:
        """Nothing is left frozen at the end of the block, however it ends."""
        try:
            yield
        finally:
            self.thaw_all()

    def _is_ours(self, one: psutil.Process) -> bool:
        if self._seen.get(one.pid) != one:
            self.look()
        return bool(self._seen.get(one.pid) == one)


def _stands_still(one: psutil.Process) -> bool:
    """Or is gone."""
    try:
        return bool(one.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return True


def picked(processes: Sequence[psutil.Process], pick: float) -> psutil.Process | None:
    """The one that a blow's `pick` chooses; by their ids in order, so that it hangs on nothing else."""
    ordered = sorted(processes, key=lambda one: one.pid)
    return ordered[min(int(pick * len(ordered)), len(ordered) - 1)] if ordered else None
