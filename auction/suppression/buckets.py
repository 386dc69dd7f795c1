"""A set of prints that is made once and looked into often: 256 sorted runs, by a print's first byte.

Why not a Python set: ten million numbers take 800 MB in one, and every worker has its own. Here they take eight bytes
each, in one file that all workers map. Runs are what the ledger keeps and what a change touches.
"""

from __future__ import annotations

import mmap
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from auction.ledger.suppression_store import BUCKETS

_SHIFT = 56
_ITEM: Literal["Q"] = "Q"
assert array(_ITEM).itemsize == 8


class Buckets:
    """Prints as they are gathered, in any order."""

    def __init__(self) -> None:
        self._runs = [array(_ITEM) for _ in range(BUCKETS)]

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, one: int) -> None:
        """One more; twice is once."""
        self._runs[bucket_of(one)].append(one)

    def run(self, bucket: int) -> array[int]:
        """The prints of one bucket as they came."""
        return self._runs[bucket]


def joined(before: bytes, added: Iterable[int]) -> bytes:
    """A run with more prints in it, sorted, each once."""
    return _packed(sorted({*_unpacked(before), *added}))


def without(before: bytes, removed: Iterable[int]) -> bytes:
    """A run with these prints gone."""
    return _packed(sorted(set(_unpacked(before)).difference(removed)))


def bucket_of(one: int) -> int:
    """The bucket of a print."""
    return one >> _SHIFT


def contains(run: bytes, one: int) -> bool:
    """Whether a run has this print."""
    return one in _unpacked(run)


class PrintFile:
    """Prints in a file, mapped into memory: `in` takes about two microseconds, whatever its length.

    The runs follow each other in the order of their buckets, so the whole file is sorted.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            size = path.stat().st_size
            assert size % 8 == 0, f"{path} was cut short"
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else None
        self._prints = memoryview(self._map if self._map is not None else b"").cast(_ITEM)

    def __len__(self) -> int:
        return len(self._prints)

    def __contains__(self, one: int) -> bool:
        prints = self._prints
        at = bisect_left(prints, one)
        return at < len(prints) and prints[at] == one

    def close(self) -> None:
        """Let go of the file."""
        self._prints.release()
        if self._map is not None:
            self._map.close()


def write_file(path: Path, runs: Iterable[bytes]) -> None:
    """Runs, in the order of their buckets, as the file that `PrintFile` maps. Whole or not there."""
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        for run in runs:
            file.write(_native(run))
    beside.replace(path)


def _packed(prints: Iterable[int]) -> bytes:
    run = array(_ITEM, prints)
    if sys.byteorder == "big":
        run.byteswap()
    return run.tobytes()


def _unpacked(run: bytes) -> Iterator[int]:
    return iter(array(_ITEM, _native(run)))


def _native(run: bytes) -> bytes:
    """A run as this machine reads it; in the ledger all are little-endian."""
    if sys.byteorder == "little":
        return run
    swapped = array(_ITEM, run)
    swapped.byteswap()
    return swapped.tobytes()
