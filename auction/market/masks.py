"""Sets of small numbers as big integers: bit `i` is set when `i` is in the set.

An AND or OR of two masks of 10,000 bits costs about 0.1 µs, which is why the market thinks in masks. But a
mask costs its whole width in memory however few bits are set, so what is kept in large tables is packed: a
tuple of numbers where few are set, a mask where many are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from struct import unpack as unpack_words
from typing import Any

Packed = int | tuple[int, ...]
"""A set of numbers: a mask, or the numbers themselves."""

_FEW = 16
"""So many numbers are set one by one faster than a mask is worth keeping."""


def bits(mask: int) -> list[int]:
    """The numbers in `mask`, ascending. Works in 64-bit words, so each number costs the same in any width."""
    found: list[int] = []
    words, below = (mask.bit_length() + 63) // 64, -1
    for word in unpack_words(f"<{words}Q", mask.to_bytes(words * 8, "little")):
        while word:
            low = word & -word
            found.append(below + low.bit_length())
            word ^= low
        below += 64
    return found


def mask_of(numbers: Iterable[int], width: int) -> int:
    """The mask of these numbers, all below `width`."""
    octets = bytearray((width + 7) // 8)
    for number in numbers:
        octets[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(octets, "little")


def pack(mask: int) -> bytes | list[int]:
    """The shorter of two ways to write a mask down: the numbers, or the bits as little-endian bytes."""
    if not mask:
        return b""
    octets = (mask.bit_length() + 7) // 8
    if mask.bit_count() * 2 <= octets:
        return bits(mask)
    return mask.to_bytes(octets, "little")


def unpack(packed: bytes | list[int]) -> int:
    """The mask that `pack` wrote down. Raises `ValueError` for a negative number."""
    if isinstance(packed, bytes):
        return int.from_bytes(packed, "little")
    return sum(1 << number for number in set(packed))


class ByKey:
    """A set of numbers for each key."""

    __slots__ = ("_sets", "_width")

    def __init__(self, numbers: Mapping[Any, Sequence[int]], width: int) -> None:
        dense = max(_FEW, width // 128)  # from there on a tuple takes more memory than a mask
        self._width = width
        self._sets: dict[Any, Packed] = {
            key: mask_of(those, width) if len(those) > dense else tuple(those)
            for key, those in numbers.items()
        }

    def get(self, key: Hashable) -> int:
        """The mask of this key's numbers; empty for an unknown key."""
        found = self._sets.get(key, 0)
        return found if isinstance(found, int) else mask_of(found, self._width)


class Bounds:
    """Numbers, each with a bound: which of them have a bound below a value?

    Masks of all bounds up to a point are kept only at every so many numbers and the few between are set one
    by one, so memory grows with the count of numbers and not with its square.
    """

    __slots__ = ("_bounds", "_marks", "_masks", "_numbers", "_width")

    def __init__(self, bounds: Mapping[int, Any], width: int) -> None:
        self._numbers = sorted(bounds, key=bounds.__getitem__)
        self._bounds = [bounds[number] for number in self._numbers]
        self._width = width
        self._marks = [0]
        self._masks = [0]
        for at in range(1, len(bounds) + 1):
            since = at - self._marks[-1]
            if since >= _FEW and (at == len(bounds) or self._bounds[at] != self._bounds[at - 1]):
                self._masks.append(self._up_to(at))
                self._marks.append(at)

    def below(self, value: Any) -> int:
        """The mask of numbers whose bound is less than `value`."""
        return self._up_to(bisect_left(self._bounds, value))

    def at_most(self, value: Any) -> int:
        """The mask of numbers whose bound is `value` or less."""
        return self._up_to(bisect_right(self._bounds, value))

    def _up_to(self, at: int) -> int:
        mark = bisect_right(self._marks, at) - 1
        rest = self._numbers[self._marks[mark] : at]
        return self._masks[mark] | mask_of(rest, self._width) if rest else self._masks[mark]
