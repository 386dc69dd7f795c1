"""P1 and P8 hold in the schema: these tests write past all code of ours and must be refused."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, exc, insert, select, update

from auction.ledger.engine import transaction
from auction.ledger.records import Taken
from auction.ledger.schema import leads, sales
from auction.ledger.taking import take_lead
from tests.ledger.rows import a_lead, an_offer

ORDERS = ("one-a", "two-a", "three-a", "four-a")
SALE: dict[str, Any] = {
    "lead_id": "lead-1",
    "place": 1,
    "places": 1,
    "exclusive": True,
    "order_id": "one-a",
    "buyer_id": "one",
    "seller": "acme",
    "campaign": "solar-us",
    "price_micros": 10,
    "payout_micros": 8,
    "margin_micros": 2,
    "sold_at_ms": 1,
    "offered_at_ms": 1,
    "test": False,
}


@pytest.fixture
def with_lead(engine: Engine) -> Engine:
    """A ledger that holds one lead, offered to four buyers."""
    with transaction(engine) as conn:
        assert isinstance(take_lead(conn, a_lead(), [an_offer(order) for order in ORDERS]), Taken)
    return engine


def write(engine: Engine, places: int | None, *rows: dict[str, Any]) -> None:
    with transaction(engine) as conn:
        if places is not None:
            conn.execute(update(leads).values(places=places))
        for row in rows:
            conn.execute(insert(sales), SALE | row)


TWO = {"order_id": "two-a", "buyer_id": "two"}
SHARED = {"places": 3, "exclusive": False}


TAKEN_PLACE, SAME_BUYER = "pk_sales", "uq_sales_lead_id_buyer_id"
OTHER_PLACES, NO_OFFER = "fk_sales_lead_id_places", "fk_sales_lead_id_order_id"


@pytest.mark.parametrize(
    ("places", "rows", "constraint"),
    [
        pytest.param(1, [{}, {**TWO}], TAKEN_PLACE, id="exclusive twice"),
        pytest.param(1, [{}, {**TWO, "place": 2}], "ck_sales_place", id="exclusive in place 2"),
        pytest.param(1, [{}, {**TWO, **SHARED, "place": 2}], OTHER_PLACES, id="shared next to exclusive"),
        pytest.param(3, [{**SHARED, "place": 2}, {**TWO}], OTHER_PLACES, id="exclusive next to shared"),
        pytest.param(3, [{"places": 3}], "ck_sales_exclusive", id="exclusive in one of three places"),
        pytest.param(3, [{**SHARED}, {**SHARED, **TWO}], TAKEN_PLACE, id="a place twice"),
        pytest.param(3, [{**SHARED}, {**SHARED, "place": 2}], SAME_BUYER, id="a buyer twice"),
        pytest.param(3, [{**SHARED, "place": 4}], "ck_sales_place", id="a fourth of three"),
        pytest.param(3, [{**SHARED, "place": 0}], "ck_sales_place", id="place 0"),
        pytest.param(None, [{}], OTHER_PLACES, id="a lead not for sale yet"),
        pytest.param(1, [{"order_id": "five-a"}], NO_OFFER, id="never offered"),
        pytest.param(1, [{"margin_micros": 3}], "ck_sales_money", id="the sum is wrong"),
        pytest.param(
            1, [{"payout_micros": 12, "margin_micros": -2}], "ck_sales_positive", id="paid more than got"
        ),
    ],
)
def test_refused(with_lead: Engine, places: int | None, rows: list[dict[str, Any]], constraint: str) -> None:
    with pytest.raises(exc.IntegrityError) as caught:
        write(with_lead, places, *rows)
    if isinstance(caught.value.orig, psycopg.Error):  # SQLite does not always name it
        assert caught.value.orig.diag.constraint_name == constraint
    elif constraint.startswith("ck"):
        assert constraint in str(caught.value)
    else:
        assert constraint.startswith("fk") == ("FOREIGN KEY" in str(caught.value))


def test_allowed(with_lead: Engine) -> None:
    write(with_lead, 3, {**SHARED, "place": 1}, {**SHARED, **TWO, "place": 3})


def test_places_stay_once_something_is_sold(with_lead: Engine) -> None:
    write(with_lead, 3, {**SHARED, "place": 1})
    with pytest.raises(exc.IntegrityError):
        write(with_lead, 1)


row = st.fixed_dictionaries(
    {
        "place": st.integers(1, 4),
        "places": st.integers(1, 3),
        "exclusive": st.booleans(),
        "order_id": st.sampled_from(ORDERS),
    }
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 3), st.lists(row, max_size=8))
def test_whatever_is_tried_p1_holds(with_lead: Engine, places: int, tries: list[dict[str, Any]]) -> None:
    """Any rows in any order, each in a transaction of its own: what is in there keeps the promise."""
    with transaction(with_lead) as conn:
        conn.execute(delete(sales))
    write(with_lead, places)
    for tried in tries:
        try:
            write(with_lead, None, {**tried, "buyer_id": tried["order_id"].partition("-")[0]})
        except exc.IntegrityError:
            continue
    with with_lead.connect() as conn:
        there = conn.execute(select(sales.c.exclusive, sales.c.buyer_id)).all()
    assert len(there) <= places
    assert len({found.buyer_id for found in there}) == len(there)
    assert len(there) == 1 or not any(found.exclusive for found in there)
