"""Masks, against sets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.market.masks import Bounds, ByKey, bits, mask_of, pack, unpack

NUMBERS = st.sets(st.integers(0, 10_000), max_size=300) | st.sets(st.integers(0, 200))


@given(numbers=NUMBERS)
def test_a_mask_is_a_set_of_numbers(numbers: set[int]) -> None:
    mask = mask_of(numbers, 10_001)
    assert mask == sum(1 << number for number in numbers)
    assert list(bits(mask)) == sorted(numbers)


@given(numbers=NUMBERS)
def test_what_is_packed_is_short_and_comes_back(numbers: set[int]) -> None:
    mask = mask_of(numbers, 10_001)
    packed = pack(mask)
    assert unpack(packed) == mask
    assert len(packed) <= max(numbers, default=0) // 8 + 1


def test_what_nobody_packed_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        unpack([-1])


@given(
    book=st.dictionaries(
        st.sampled_from("abcdef"), st.lists(st.integers(0, 3_000), max_size=80, unique=True)
    ),
    key=st.sampled_from("abcdefg"),
)
def test_numbers_by_key(book: dict[str, list[int]], key: str) -> None:
    assert set(bits(ByKey(book, 3_001).get(key))) == set(book.get(key, ()))


@settings(max_examples=200)
@given(
    bounds=st.dictionaries(st.integers(0, 500), st.integers(-20, 20) | st.floats(-20, 20), max_size=150),
    value=st.integers(-21, 21) | st.floats(-21, 21),
)
def test_numbers_by_bound(bounds: dict[int, float], value: float) -> None:
    table = Bounds(bounds, 501)
    assert set(bits(table.below(value))) == {number for number, bound in bounds.items() if bound < value}
    assert set(bits(table.at_most(value))) == {number for number, bound in bounds.items() if bound <= value}
