"""The index answers exactly as asking every filter does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.market import eligibility
from auction.market.eligibility import FilterIndex, bits
from auction.market.filters import Filter, parse
from auction.market.model import FieldSpec, FieldValue

FIELDS = {
    spec.name: spec
    for spec in (
        FieldSpec(name="zip", type="us_zip"),
        FieldSpec(name="bill", type="integer"),
        FieldSpec(name="score", type="number"),
        FieldSpec(name="owner", type="boolean"),
        FieldSpec(name="moved", type="date"),
        FieldSpec(name="note", type="text"),
    )
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "zip": st.sampled_from(["75001", "75002", "75101", "02139"]),
    "bill": st.integers(0, 6),
    "score": st.sampled_from([0.0, 0.5, 1.0, 1.5]),
    "owner": st.booleans(),
    "moved": st.sampled_from(["2025-01-01", "2025-06-30", "2026-01-01"]),
    "note": st.sampled_from(["a", "ab", "abc", "abd", "b"]),
}


def operands(name: str) -> dict[str, st.SearchStrategy[Any]]:
    value = VALUES[name]
    several = st.lists(value, min_size=1, max_size=3)
    of: dict[str, st.SearchStrategy[Any]] = {"equals": value, "in": several, "not_in": several}
    of["exists"] = st.booleans()
    if name in ("bill", "score", "moved"):
        of |= {"at_least": value, "at_most": value, "between": st.tuples(value, value).map(sorted)}
    if name in ("zip", "note"):
        of["starts_with"] = st.lists(
            st.tuples(value, st.integers(1, 3)).map(lambda cut: cut[0][: cut[1]]), min_size=1, max_size=3
        )
        of["matches"] = st.sampled_from(["^a", "b$", "0", "^.{2,3}$"])
    return of


CLAUSES = st.one_of(
    [
        st.fixed_dictionaries({"field": st.just(name), operator: operand})
        for name in VALUES
        for operator, operand in operands(name).items()
    ]
)


def several_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    parts = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        parts.map(lambda some: {"all": some}),
        parts.map(lambda some: {"any": some}),
        inner.map(lambda part: {"not": part}),
    )


FILTERS = several_of(several_of(CLAUSES) | CLAUSES) | CLAUSES
LEADS = st.fixed_dictionaries({}, optional=VALUES)


def agrees(filters: list[Filter | None], lead: dict[str, FieldValue], unknown: frozenset[str]) -> int:
    held = FilterIndex(filters, unknown).match(lead)
    expected = [bit for bit, each in enumerate(filters) if each is None or each.holds(lead, unknown)]
    assert list(bits(held)) == expected
    return held


@settings(max_examples=300, deadline=None)
@given(
    raws=st.lists(st.none() | FILTERS, max_size=25),
    leads=st.lists(LEADS, min_size=1, max_size=3),
    unknown=st.frozensets(st.sampled_from(sorted(VALUES)), max_size=2),
)
def test_the_index_agrees_with_every_filter(
    raws: list[dict[str, Any] | None], leads: list[dict[str, FieldValue]], unknown: frozenset[str]
) -> None:
    filters = [None if raw is None else parse(raw, FIELDS) for raw in raws]
    for lead in leads:
        agrees(filters, {name: value for name, value in lead.items() if name not in unknown}, unknown)


@settings(max_examples=60, deadline=None)
@given(clauses=st.lists(CLAUSES, min_size=1, max_size=6), lead=LEADS)
def test_many_orders_share_tables(clauses: list[dict[str, Any]], lead: dict[str, FieldValue]) -> None:
    """Enough orders that tables are kept as masks and bounds have marks."""
    filters = [parse({"all": clauses[: 1 + n % len(clauses)]}, FIELDS) for n in range(150)]
    filters += [parse({"field": "bill", "at_least": n % 7, "at_most": 3 + n % 5}, FIELDS) for n in range(150)]
    agrees([*filters, None], lead, frozenset())


def either(count: int) -> dict[str, Any]:
    """A filter of `count` alternatives, which holds where the bill is below `count`."""
    return {"any": [{"field": "bill", "equals": n} for n in range(count)]}


@pytest.mark.parametrize("lead", [{"bill": 0}, {"bill": 2}, {"bill": 63}, {"bill": 64}, {"bill": 70}, {}])
def test_alternatives_in_layers_behind_them_and_asked_directly(lead: dict[str, FieldValue]) -> None:
    counts = [1, 2, 3, 2, 1, 64, 65, 3, 2, 40, *([1] * 30)]
    agrees([parse(either(count), FIELDS) for count in counts], lead, frozenset())


def test_a_product_of_alternatives_that_is_too_large_is_asked_directly() -> None:
    pairs = [{"any": [{"field": "bill", "equals": n}, {"field": "score", "equals": n}]} for n in range(7)]
    filters: list[Filter | None] = [
        parse({"all": pairs}, FIELDS),
        None,
        parse({"not": {"all": pairs}}, FIELDS),
    ]
    assert agrees(filters, {"bill": 1, "score": 1.0}, frozenset()) == 0b110
    assert agrees(filters, {"score": 1.0}, frozenset({"bill"})) == 0b111


def test_long_lists_are_not_repeated_in_every_alternative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eligibility, "_MOST_LISTED", 5)
    zips = {"field": "zip", "in": ["75001", "75002", "75101"]}
    filters = [parse({"all": [zips, either(2)]}, FIELDS), parse(zips, FIELDS)]
    assert agrees([*filters], {"zip": "75001", "bill": 1}, frozenset()) == 0b11
    assert agrees([*filters], {"zip": "75001", "bill": 2}, frozenset()) == 0b10


def test_what_a_row_asks_twice_must_hold_twice() -> None:
    twice: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
        ({"starts_with": ["ab", "b"]}, {"starts_with": ["a", "abc"]}, ["ab", "abc", "abd"]),
        ({"in": ["a", "ab"]}, {"in": ["ab", "b"]}, ["ab"]),
        ({"in": ["a"]}, {"in": ["b"]}, []),
        ({"starts_with": ["a"]}, {"starts_with": ["b"]}, []),
        ({"matches": "^a"}, {"matches": "b$"}, ["ab"]),
    ]
    for one, other, expected in twice:
        index = FilterIndex([parse({"all": [{"field": "note"} | one, {"field": "note"} | other]}, FIELDS)])
        held = [note for note in ("a", "ab", "abc", "abd", "b") if index.match({"note": note})]
        assert held == expected


@pytest.mark.parametrize("operator", ["at_least", "at_most"])
@pytest.mark.parametrize("bounds", [(2, 4), (4, 2)])
def test_of_two_bounds_the_narrower_holds(operator: str, bounds: tuple[int, int]) -> None:
    raw = {"all": [{"field": "bill", operator: bound} for bound in bounds]}
    opposite = {"all": [{"not": part} for part in raw["all"]]}
    for bill in range(6):
        agrees([parse(raw, FIELDS), parse(opposite, FIELDS)], {"bill": bill}, frozenset())


def test_a_boolean_is_not_a_number_and_numbers_are_numbers() -> None:
    index = FilterIndex(
        [parse({"field": "score", "in": [1]}, FIELDS), parse({"field": "owner", "in": [True]}, FIELDS)]
    )
    assert index.match({"score": 1, "owner": False}) == 0b01
    assert index.match({"score": 1.0, "owner": True}) == 0b11
    assert FilterIndex([]).match({"score": 1}) == 0
