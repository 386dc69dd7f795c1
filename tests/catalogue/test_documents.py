from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.catalogue.documents import KINDS, Kind, from_document, to_document
from auction.errors import OperatorError
from auction.market.entry import Entry
from auction.market.model import AuctionRules, Cap, Catalogue, Order, Price, Seller
from auction.market.money import Budget, Micros
from tests.catalogue.catalogues import catalogues


def entries(catalogue: Catalogue) -> list[tuple[Kind, Entry]]:
    found: list[tuple[Kind, Entry]] = [("exchange", catalogue.exchange)]
    found += [("campaign", campaign) for campaign in catalogue.campaigns]
    found += [("seller", seller) for seller in catalogue.sellers]
    found += [("buyer", buyer) for buyer in catalogue.buyers]
    return found + [("order", order) for order in catalogue.orders]


@settings(max_examples=60, deadline=None)
@given(catalogues())
def test_a_document_is_the_entry_even_through_json(catalogue: Catalogue) -> None:
    for kind, entry in entries(catalogue):
        assert from_document(kind, json.loads(json.dumps(to_document(entry)))) == entry


@given(st.integers(0, 10**10))
def test_money_is_exact_in_documents(ticks: int) -> None:
    order = Order(id="a", buyer="b", campaign="c", price=Price(fixed_micros=Micros(ticks * 100)))
    assert from_document("order", json.loads(json.dumps(to_document(order)))) == order


def test_a_document_has_the_shape_of_the_file_and_no_defaults() -> None:
    order = Order(
        id="sunrise-tx",
        buyer="sunrise",
        campaign="solar-us",
        filter={"field": "state", "in": ["TX"]},
        price=Price(live=True, max_micros=Micros(80_000_000)),
        caps=(Cap(per="day", spend_micros=Budget(12_345_600)),),
        priority=0,
    )
    assert to_document(order) == {
        "id": "sunrise-tx",
        "buyer": "sunrise",
        "campaign": "solar-us",
        "filter": {"field": "state", "in": ["TX"]},
        "price": {"live": True, "max": 80.0},
        "caps": [{"per": "day", "spend": 12.3456}],
    }


def test_equal_entries_have_equal_documents() -> None:
    """A default is left out because it is equal, not because it is the same object."""
    assert to_document(AuctionRules(floor_micros=Micros(int("0")), tmax_ms=int("500"))) == {}


@pytest.mark.parametrize(
    ("kind", "document", "sentence"),
    [
        ("seller", {"id": "a", "colour": "red"}, "colour"),
        ("seller", {"id": "A"}, r"matching regex .* at `\$.id`|\$\.id"),
        ("order", {"id": "a", "buyer": "b", "campaign": "c", "price": {"fixed": 1.00001}}, "four decimals"),
        ("order", [], "object"),
    ],
)
def test_a_bad_document_is_an_operators_error(kind: Kind, document: object, sentence: str) -> None:
    with pytest.raises(OperatorError, match=sentence):
        from_document(kind, document)


def test_every_kind_has_its_entry() -> None:
    assert tuple(KINDS) == get_args(Kind)
    assert from_document("seller", {"id": "a"}) == Seller(id="a")
