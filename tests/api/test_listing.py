from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.api.listing import (
    MOST_VALUES,
    Listing,
    OneOf,
    Reading,
    read_flag,
    read_listing,
    read_text,
    read_whole,
)
from auction.errors import SellerError

FIELDS: dict[str, Reading] = {
    "id": read_whole,
    "distribution_target": read_text,
    "team_id": read_whole,
    "filter": read_text,
    "paused": read_flag,
    "method": OneOf(("Specific Team", "Zipcode")),
}
ROWS: list[dict[str, Any]] = [
    {"id": 1, "distribution_target": "Team Rollout", "team_id": 3, "filter": "Buyer", "paused": False},
    {"id": 2, "distribution_target": "Myself", "team_id": None, "filter": None, "paused": True},
    {"id": 3, "distribution_target": "Team Rollout", "team_id": None, "filter": "Seller", "paused": False},
    {"id": 4, "distribution_target": "None", "team_id": 3},
]


def listing(query: str) -> Listing:
    return read_listing(parse_qsl(query, keep_blank_values=True), FIELDS)


def ids(query: str) -> list[int]:
    return [row["id"] for row in listing(query).page(ROWS).data]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [1, 2, 3, 4]),
        ("distribution_target=Myself", [2]),
        ("distribution_target[$ne]=Team Rollout", [2, 4]),
        ("distribution_target[$ne]=Team+Rollout&distribution_target[$ne]=None", [2]),
        ("$limit=2", [1, 2]),
        ("distribution_target=Team Rollout&$limit=2&$skip=1", [3]),
        ("team_id[$in]=3", [1, 4]),
        ("id[$in]=1&id[$in]=4", [1, 4]),
        ("id[$in][]=1&id[$in][1]=4", [1, 4]),
        ("id[$nin]=1", [2, 3, 4]),
        ("team_id=null", [2, 3]),
        ("team_id[$nin]=null&id[$ne]=4", [1]),
        ("paused=true", [2]),
        ("paused[$ne]=true&filter[$in]=Buyer&filter[$in]=Seller", [1, 3]),
        ("team_id=3&filter=Seller", []),
        ("$skip=9", []),
        ("$limit=0", []),
        ("%24limit=1&team_id%5B%24in%5D=3", [1]),
        ("id=1&id=1", [1]),
    ],
)
def test_what_is_asked_for_is_shown(query: str, expected: list[int]) -> None:
    assert ids(query) == expected


def test_a_page_tells_how_many_there_are() -> None:
    page = listing("distribution_target=Team Rollout&$limit=1&$skip=1").page(ROWS)
    assert (page.total, page.limit, page.skip, len(page.data)) == (2, 1, 1, 1)
    assert listing("").page(ROWS).limit == 10


@pytest.mark.parametrize(
    ("query", "field", "error"),
    [
        ("$limit=-1", "$limit", "expected a whole number from 0 to 1000"),
        ("$limit=1001", "$limit", "expected a whole number from 0 to 1000"),
        ("$skip=", "$skip", "expected a whole number from 0 to 1000000"),
        ("$limit=1&$limit=2", "$limit", "is there twice"),
        ("team=3", "team", "there is no such field; did you mean `team_id`?"),
        ("id[$gt]=3", "id[$gt]", "expected one of the operators $ne, $in and $nin"),
        ("id[$in=3", "id[$in", "there is no such field"),
        ("id=x", "id", "expected a whole number"),
        ("id=٣", "id", "expected a whole number"),
        ("paused=maybe", "paused", "expected true or false"),
        ("id=1&id=2", "id", "is there twice; several values are asked for with $in"),
    ],
)
def test_what_cannot_be_asked_is_named(query: str, field: str, error: str) -> None:
    with pytest.raises(SellerError) as caught:
        listing(query)
    assert (caught.value.status, caught.value.code) == (400, "bad_query")
    (mistake,) = caught.value.mistakes
    assert (mistake.field, mistake.error) == (field, error)


def test_a_word_that_there_is_not_is_told_with_those_that_there_are() -> None:
    assert ids("method=null") == [1, 2, 3, 4]
    assert ids("method=Zipcode") == []
    with pytest.raises(SellerError) as caught:
        listing("method=Zip+code&method[$ne]=zip")
    assert (caught.value.status, caught.value.code) == (422, "bad_fields")
    assert [(one.field, one.error) for one in caught.value.mistakes] == [
        ("method", "expected one of Specific Team, Zipcode; did you mean `Zipcode`?"),
        ("method[$ne]", "expected one of Specific Team, Zipcode"),
    ]
    with pytest.raises(SellerError) as caught:  # what cannot be read at all comes first
        listing("method=x&id=x")
    assert (caught.value.status, len(caught.value.mistakes)) == (400, 2)


def test_all_mistakes_at_once_and_a_crowd_of_values_once() -> None:
    with pytest.raises(SellerError) as caught:
        listing("$limit=x&team=1&paused=2")
    assert len(caught.value.mistakes) == 3
    many = "&".join(f"id[$in]={number}" for number in range(10_000))
    with pytest.raises(SellerError) as caught:
        listing(many)
    assert [mistake.error for mistake in caught.value.mistakes] == [
        "expected at most 1000 values and 64 conditions"
    ]
    assert ids("&".join(f"id[$in]={number}" for number in range(MOST_VALUES))) == [1, 2, 3, 4]


pairs = st.tuples(
    st.sampled_from([*FIELDS, "$limit", "$skip", "x"]).flatmap(
        lambda name: st.sampled_from(["", "[$ne]", "[$in]", "[$nin]", "[$in][]", "[$gt]", "[", "]["]).map(
            lambda end: name + end
        )
    )
    | st.text(max_size=6),
    st.sampled_from(["1", "3", "null", "true", "Buyer", "-1", ""]) | st.text(max_size=4),
)


@given(asked=st.lists(pairs, max_size=5))
def test_anything_is_a_page_or_a_mistake(asked: list[tuple[str, str]]) -> None:
    found = Listing()
    with contextlib.suppress(SellerError):
        found = read_listing(asked, FIELDS)
    page = found.page(ROWS)
    assert len(page.data) <= min(page.total, page.limit)
    for condition in found.conditions:  # the opposite condition finds exactly the others
        alone = Listing((condition,), 1_000)
        rest = [row for row in ROWS if row not in alone.page(ROWS).data]
        wanted = [row for row in ROWS if row.get(condition.field) in condition.values]
        assert rest == (
            wanted if condition.operator in ("$ne", "$nin") else [row for row in ROWS if row not in wanted]
        )
