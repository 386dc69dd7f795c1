"""What the parts of a run take of the machine, second by second: sellers and buyers must not be what is measured."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

import msgspec
import psutil  # type: ignore[import-untyped]

EVERY_S = 1.0
WARM_SHARE = 0.25
"""Growth of memory is counted from here on: what fills in the beginning is no leak."""

Members = Callable[[], Mapping[str, Iterable[psutil.Process]]]
"""Who belongs to each part just now: processes come and go."""


class Use(msgspec.Struct, frozen=True):
    """What one part took: CPU as a share of one core, memory (resident) of all its processes together."""

    name: str
    processes: int
    cpu: float
    busiest_cpu: float
    first_mb: float
    """When a quarter of the run was over."""
    last_mb: float


class _Sample(msgspec.Struct, frozen=True):
    at_s: float
    used_s: float
    """CPU since the sample before."""
    processes: int
    resident_mb: float


class Watch:
    """Looks once a second, from `with` to the end of the block; `uses` tells afterwards."""

    def __init__(self, members: Members, every_s: float = EVERY_S) -> None:
        self._members = members
        self._every_s = every_s
        self._samples: dict[str, list[_Sample]] = {}
        self._cpu_s: dict[int, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_always, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def uses(self) -> list[Use]:
        """What each part took, in the order that `members` names them."""
        return [_use(name, samples, self._every_s / 2) for name, samples in self._samples.items()]

    def _look_always(self) -> None:
        while not self._over.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        for name, processes in self._members().items():
            used_s, resident, count = 0.0, 0, 0
            for process in processes:
                try:
                    with process.oneshot():
                        times, memory = process.cpu_times(), process.memory_info()
                except psutil.Error:  # it has ended meanwhile
                    continue
                cpu_s = times.user + times.system
                used_s += cpu_s - self._cpu_s.get(process.pid, 0.0)
                self._cpu_s[process.pid] = cpu_s
                if not memory.rss:  # it has ended, and nobody has taken notice yet
                    continue
                resident += memory.rss
                count += 1
            sample = _Sample(time.monotonic(), used_s, count, resident / 1e6)
            self._samples.setdefault(name, []).append(sample)


def family(pid: int) -> list[psutil.Process]:
    """The process and all below it; nobody if it has ended."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.Error:
        return []


def _use(name: str, samples: list[_Sample], least_span_s: float) -> Use:
    most = max(sample.processes for sample in samples)
    # some may have ended before the others
    whole = [sample for sample in samples if sample.processes == most]
    warm_s = samples[0].at_s + WARM_SHARE * (samples[-1].at_s - samples[0].at_s)
    warm = next((sample for sample in whole if sample.at_s >= warm_s), whole[-1])
    spans = [
        (after.used_s, after.at_s - before.at_s)
        for before, after in itertools.pairwise(samples)
        if after.at_s > before.at_s
    ]
    seconds = sum(span for _, span in spans)
    return Use(
        name=name,
        processes=most,
        cpu=sum(used for used, _ in spans) / seconds if seconds else 0.0,
        busiest_cpu=max((used / span for used, span in spans if span >= least_span_s), default=0.0),
        first_mb=warm.resident_mb,
        last_mb=whole[-1].resident_mb,
    )
