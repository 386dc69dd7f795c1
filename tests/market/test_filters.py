"""Filters: read as written, every mistake at once; holding, against a model that walks the raw filter."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.market.filters import MOST_CLAUSES, MOST_MISTAKES, Filter, FilterMistakes, Path, parse
from auction.market.model import FieldSpec, FieldValue

FIELDS = {
    spec.name: spec
    for spec in (
        FieldSpec(name="state", type="us_state"),
        FieldSpec(name="zip", type="us_zip"),
        FieldSpec(name="bill", type="integer", min=0),
        FieldSpec(name="score", type="number"),
        FieldSpec(name="owner", type="boolean"),
        FieldSpec(name="roof", type="choice", choices=("Tile", "Metal")),
        FieldSpec(name="moved", type="date"),
        FieldSpec(name="note", type="text"),
    )
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "zip": st.sampled_from(["75001", "75002", "02139", "90210"]),
    "bill": st.integers(0, 6),
    "owner": st.booleans(),
    "moved": st.sampled_from(["2025-01-01", "2025-06-30", "2026-01-01"]),
    "note": st.sampled_from(["a", "ab", "abc", "b"]),
}


def clauses() -> st.SearchStrategy[dict[str, Any]]:
    def of(name: str) -> st.SearchStrategy[dict[str, Any]]:
        value = VALUES[name]
        operators: dict[str, st.SearchStrategy[Any]] = {
            "equals": value,
            "in": st.lists(value, min_size=1, max_size=3),
            "not_in": st.lists(value, min_size=1, max_size=3),
            "exists": st.booleans(),
        }
        if name in ("bill", "moved"):
            operators |= {"at_least": value, "at_most": value, "between": st.tuples(value, value).map(sorted)}
        if name in ("zip", "note", "moved"):
            beginnings = value.map(lambda text: text[:2])
            operators["starts_with"] = beginnings | st.lists(beginnings, min_size=1, max_size=2)
            operators["matches"] = st.sampled_from(["^a", "b$", "0", "^.{2,3}$"])
        keys = st.lists(st.sampled_from(sorted(operators)), min_size=1, max_size=2, unique=True)
        return keys.flatmap(
            lambda chosen: st.fixed_dictionaries(
                {"field": st.just(name)} | {key: operators[key] for key in chosen}
            )
        )

    return st.sampled_from(sorted(VALUES)).flatmap(of)


RAW = st.recursive(
    clauses(),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts})
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts})
        | inner.map(lambda part: {"not": part})
    ),
    max_leaves=8,
).filter(lambda raw: str(raw).count("'all'") + str(raw).count("'any'") + str(raw).count("'not'") <= 8)
LEADS = st.fixed_dictionaries({}, optional=VALUES)
UNKNOWN = st.frozensets(st.sampled_from(sorted(VALUES)), max_size=2)


def truth(raw: dict[str, Any], values: dict[str, Any], unknown: frozenset[str]) -> float:
    """1 is yes, 0 is no, a half is maybe: Kleene's logic, straight from the raw filter."""
    if "all" in raw:
        return min(truth(part, values, unknown) for part in raw["all"])
    if "any" in raw:
        return max(truth(part, values, unknown) for part in raw["any"])
    if "not" in raw:
        return 1 - truth(raw["not"], values, unknown)
    if raw["field"] in unknown:
        return 0.5
    value = values.get(raw["field"])
    return float(
        all(asks(operator, operand, value) for operator, operand in raw.items() if operator != "field")
    )


def asks(operator: str, operand: Any, value: Any) -> bool:
    if operator == "exists":
        return (value is not None) is operand
    if value is None:
        return operator == "not_in"
    answers: dict[str, Any] = {
        "equals": lambda: value == operand,
        "in": lambda: value in operand,
        "not_in": lambda: value not in operand,
        "at_least": lambda: value >= operand,
        "at_most": lambda: value <= operand,
        "between": lambda: operand[0] <= value <= operand[1],
        "starts_with": lambda: value.startswith(operand if isinstance(operand, str) else tuple(operand)),
        "matches": lambda: re.search(operand, value) is not None,
    }
    return bool(answers[operator]())


@settings(max_examples=250, deadline=None)
@given(raw=RAW, values=LEADS, unknown=UNKNOWN)
def test_a_filter_holds_unless_it_certainly_does_not(
    raw: dict[str, Any], values: dict[str, FieldValue], unknown: frozenset[str]
) -> None:
    read = parse(raw, FIELDS)
    known = {name: value for name, value in values.items() if name not in unknown}
    assert read.holds(known, unknown) is (truth(raw, known, unknown) > 0)
    assert (read.failing(known, unknown) is None) is read.holds(known, unknown)
    assert read.fields <= VALUES.keys()


def holds(raw: object, **values: FieldValue) -> bool:
    return parse(raw, FIELDS).holds(values)


def test_operands_are_spelled_as_the_decoder_spells_values() -> None:
    assert holds({"field": "state", "in": ["texas", "ok"]}, state="TX")
    assert holds({"field": "zip", "equals": 75001}, zip="75001")
    assert holds({"field": "roof", "not_in": ["TILE"]}, roof="Metal")
    assert not holds({"field": "roof", "not_in": ["TILE"]}, roof="Tile")
    assert holds({"field": "moved", "at_least": datetime.date(2026, 1, 1)}, moved="2026-01-01")
    assert holds({"field": "moved", "between": ["1/1/2026", "2026-02-01"]}, moved="2026-01-31")
    assert holds({"field": "score", "at_least": "2.5", "at_most": 3}, score=3.0)
    assert holds({"field": "owner", "equals": "yes"}, owner=True)
    assert not holds({"field": "bill", "at_least": -5})


def test_a_failure_says_what_was_asked_and_what_there_was() -> None:
    def failing(raw: object, **values: FieldValue) -> str | None:
        return parse(raw, FIELDS).failing(values)

    states = {"field": "state", "in": ["TX", "OK"]}
    assert failing({"all": [{"field": "bill", "at_least": 1}, states]}, bill=2, state="CA") == (
        "state in [OK, TX]: was CA"
    )
    assert failing(states) == "state in [OK, TX]: was missing"
    assert failing({"not": states}, state="TX") == "state not in [OK, TX]: was TX"
    assert failing({"any": [states, {"field": "zip", "starts_with": "75"}]}, state="CA", zip="90210") == (
        "none of: state in [OK, TX]: was CA; zip starts_with [75]: was 90210"
    )
    assert failing({"field": "note", "matches": "^a", "exists": True}, note="b") == "note matches ^a: was b"
    assert failing({"field": "note", "exists": False}, note="b") == "note is missing: was b"
    many = [f"{n:05}" for n in range(10_000, 10_009)]
    assert failing({"field": "zip", "in": many}, zip="75001") == (
        "zip in [10000, 10001, 10002, 10003, 10004 and 4 more]: was 75001"
    )
    assert failing({"any": [{"field": "bill", "equals": n} for n in range(7)]}, bill=9) == (
        "none of: " + "; ".join(f"bill in [{n}]: was 9" for n in range(5)) + "; and 2 more"
    )


def mistakes(raw: object) -> list[tuple[Path, str]]:
    with pytest.raises(FilterMistakes) as caught:
        parse(raw, FIELDS)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("raw", "path", "says"),
    [
        (None, (), "expected a clause"),
        ([], (), "expected a clause"),
        ({}, (), "exactly one of all, any and not"),
        ({"all": [], "any": []}, (), "exactly one of all, any and not"),
        ({"al": []}, ("al",), "did you mean all?"),
        ({7: []}, ("7",), "expected all, any, not or field"),
        ({"all": []}, ("all",), "at least one entry"),
        ({"any": {"field": "bill"}}, ("any",), "expected a list"),
        ({"not": [1]}, ("not",), "expected a clause"),
        (
            {"field": "bil", "equals": 1},
            ("field",),
            "'bil' is not a field of the campaign (did you mean bill?)",
        ),
        ({"field": ["bill"], "equals": 1}, ("field",), "is not a field"),
        (
            {"field": "bill"},
            (),
            "expected an operator: equals, in, not_in, exists, at_least, at_most, between",
        ),
        ({"field": "bill", "atleast": 1}, ("atleast",), "did you mean at_least?"),
        ({"field": "bill", True: 1}, ("True",), "is not an operator"),
        (
            {"field": "state", "at_least": "TX"},
            ("at_least",),
            "does not fit state, a us_state: use equals, in",
        ),
        ({"field": "owner", "between": [0, 1]}, ("between",), "does not fit owner"),
        ({"field": "bill", "starts_with": "1"}, ("starts_with",), "does not fit bill"),
        ({"field": "score", "matches": "1"}, ("matches",), "does not fit score"),
        ({"field": "bill", "equals": "lots"}, ("equals",), "expected a whole number, not 'lots'"),
        ({"field": "bill", "equals": True}, ("equals",), "is true: put yes, no, on and off in quotes"),
        ({"field": "roof", "in": ["Tile", False]}, ("in", 1), "is false: put yes"),
        ({"field": "zip", "in": [668]}, ("in", 0), "put a zip with leading zeros in quotes"),
        ({"field": "state", "in": "TX"}, ("in",), "expected a list"),
        ({"field": "state", "in": []}, ("in",), "at least one entry"),
        ({"field": "zip", "in": ["75001"] * 50_001}, ("in",), "at most 50000 entries"),
        ({"field": "bill", "between": [1]}, ("between",), "the lowest and the highest"),
        ({"field": "bill", "between": [5, 1]}, ("between",), "is empty: 5 is above 1"),
        ({"field": "bill", "between": [1, "x"]}, ("between", 1), "expected a whole number"),
        ({"field": "note", "exists": "yes"}, ("exists",), "expected true or false"),
        ({"field": "zip", "starts_with": 75}, ("starts_with",), "expected a list"),
        (
            {"field": "zip", "starts_with": [75]},
            ("starts_with", 0),
            "in quotes if it is made of digits, not 75",
        ),
        ({"field": "zip", "starts_with": [""]}, ("starts_with", 0), "expected text"),
        ({"field": "note", "matches": 5}, ("matches",), "expected a regular expression"),
        ({"field": "note", "matches": "(a+)+"}, ("matches",), "cannot repeat without end"),
    ],
)
def test_a_mistake_is_named_with_its_place(raw: object, path: Path, says: str) -> None:
    ((found, sentence),) = mistakes(raw)
    assert found == path
    assert says in sentence


def test_all_mistakes_are_named_at_once() -> None:
    raw = {
        "all": [
            {"field": "state", "in": ["TX", "XX", "YY"], "at_most": 5},
            {"not": {"any": [{"field": "zap", "equals": 1}, {"field": "bill", "in": [1, "x"]}]}},
            "what",
        ]
    }
    assert [path for path, _ in mistakes(raw)] == [
        ("all", 0, "in", 1),
        ("all", 0, "in", 2),
        ("all", 0, "at_most"),
        ("all", 1, "not", "any", 0, "field"),
        ("all", 1, "not", "any", 1, "in", 1),
        ("all", 2),
    ]


def nested(levels: int) -> dict[str, Any]:
    raw: dict[str, Any] = {"field": "bill", "equals": 1}
    for _ in range(levels):
        raw = {"not": raw}
    return raw


def test_bounds_of_a_filter() -> None:
    assert isinstance(parse(nested(8), FIELDS), Filter)
    assert "deeper than 8" in mistakes(nested(9))[0][1]
    assert "deeper than 8" in mistakes(nested(5_000))[0][1]
    clause = {"field": "bill", "equals": 1}
    assert holds({"any": [clause] * MOST_CLAUSES}, bill=1)
    halves = {"all": [{"any": [clause] * 501}, {"any": [clause] * 500}]}
    assert "at most 1000 clauses" in mistakes(halves)[0][1]
    assert len(mistakes({"field": "state", "in": ["XX"] * 5_000})) == MOST_MISTAKES
