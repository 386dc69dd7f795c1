"""Walks through a life, instant by instant: first undisturbed, to see which there are, then once for each manner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from tests.instants.lives import Life
from tests.instants.run import Run
from tests.instants.seams import Fault, Instant, Manner, faults_at
from tests.instants.stage import Stage
from tests.instants.verdict import verdict

AROUND = 4


class Case(msgspec.Struct):
    """One run and what was wrong with it."""

    life: str
    fault: Fault | None
    trace: list[Instant]
    wrong: list[str]

    def __str__(self) -> str:
        lines = [f"life {self.life}, A {self.fault or 'is not disturbed'}:"]
        lines += [f"  {one}" for one in self.wrong]
        lines.append("  " + " > ".join(self._around()))
        if self.fault is not None:
            said = f'"{self.fault.manner}" "{self.fault.instant}"'
            lines.append(f"  this one alone: python -m tests.instants {self.life} {said}")
        return "\n".join(lines)

    def _around(self) -> list[str]:
        fault = self.fault
        if fault is None or fault.instant not in self.trace:
            return [str(one) for one in self.trace]
        at = self.trace.index(fault.instant)
        near = self.trace[max(0, at - AROUND) : at + AROUND + 1]
        return [f"[{one}]" if one == fault.instant else str(one) for one in near]


async def run_once(stage: Stage, life: Life, fault: Fault | None) -> Case:
    """One life. `wrong` is empty where all is as it has to be."""
    await stage.next_life()
    run = Run(stage, life, fault)
    await run.begin()
    try:
        await life.live(run)
    except AssertionError as failed:
        run.notes.append(str(failed))
    await run.finish()
    return Case(life.name, fault, run.trace, await verdict(run))


async def explore(stage: Stage, life: Life, manners: Sequence[Manner] = tuple(Manner)) -> AsyncIterator[Case]:
    """Every instant of this life, in each of these manners; the undisturbed one first."""
    plain = await run_once(stage, life, None)
    yield plain
    if plain.wrong:
        return
    for instant in plain.trace:
        for fault in faults_at(instant):
            if fault.manner in manners:
                yield await run_once(stage, life, fault)
