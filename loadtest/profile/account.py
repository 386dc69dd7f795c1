"""Samples and CPU clocks put together: microseconds of CPU per request, by stage and by function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import TypeVar

import msgspec

from loadtest.profile.sampling import Samples, Stack
from loadtest.profile.stages import CALLER, STAGES, Frame, rule_of, stage_of

MAIN_THREAD = "MainThread"

Key = TypeVar("Key", bound=Hashable)


class Part(msgspec.Struct, frozen=True):
    """What one stage, or one function itself, takes of a request's CPU."""

    name: str
    share: float
    cpu_us: float
    note: str = ""


class Costs(msgspec.Struct, frozen=True):
    """CPU per request where nobody looked: of the loop's thread, and of all others together."""

    main_us: float
    others_us: float

    @property
    def whole_us(self) -> float:
        """Of the process."""
        return self.main_us + self.others_us


def by_stage(samples: Samples, costs: Costs) -> list[Part]:
    """Every stage that was met, in the order of the way."""
    spent = _shared_out(samples, costs, lambda stack: stage_of(stack.thread, stack.frames))
    return [_part(name, spent[name], costs, note) for name, note in STAGES.items() if name in spent]


def by_function(samples: Samples, costs: Costs, most: int = 25) -> list[Part]:
    """The functions that took most by themselves: what they call into C is theirs, what they call in Python is not."""
    spent = _shared_out(
        samples, costs, lambda stack: (_innermost(stack), stage_of(stack.thread, stack.frames))
    )
    ordered = sorted(spent.items(), key=lambda item: -item[1])[:most]
    return [_part(f"{frame.function} ({frame.path})", us, costs, stage) for (frame, stage), us in ordered]


def by_symbol(samples: Samples, costs: Costs, most: int = 15) -> list[Part]:
    """The innermost frames of a recording with C frames, by library: what the kernel and the C code take."""
    spent = _shared_out(samples, costs, lambda stack: stack.frames[-1])
    ordered = sorted(spent.items(), key=lambda item: -item[1])[:most]
    return [_part(f"{frame.function} ({frame.path})", us, costs) for frame, us in ordered]


def unplaced(samples: Samples) -> list[str]:
    """Files of ours that the table does not name: they have to be put into it."""
    files = {
        frame.path
        for stack in samples
        for frame in stack.frames
        if frame.path.startswith("auction/") and rule_of(frame) not in (*STAGES, CALLER)
    }
    return sorted(files)


def _shared_out(samples: Samples, costs: Costs, key: Callable[[Stack], Key]) -> dict[Key, float]:
    """The CPU of the loop's thread shared out over its samples, that of all others over theirs."""
    sums: dict[bool, Counter[Key]] = {True: Counter(), False: Counter()}
    for stack, count in samples.items():
        sums[stack.thread == MAIN_THREAD][key(stack)] += count
    spent: dict[Key, float] = {}
    for main, cpu_us in ((True, costs.main_us), (False, costs.others_us)):
        whole = sums[main].total()
        for name, count in sums[main].items():
            spent[name] = spent.get(name, 0.0) + cpu_us * count / whole
    return spent


def _innermost(stack: Stack) -> Frame:
    return stack.frames[-1]


def _part(name: str, cpu_us: float, costs: Costs, note: str = "") -> Part:
    return Part(name, cpu_us / costs.whole_us, cpu_us, note)
