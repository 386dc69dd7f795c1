"""What was sold since a window began, against leads taken and settled as the house does."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from auction.ledger.engine import is_postgresql, transaction
from auction.ledger.leads import settle, take_lead
from auction.ledger.records import LeadState, OfferResult, OfferState
from auction.ledger.sold import _SOLD, MOST_OWNERS, Sold, sold_since
from tests.ledger.rows import AT_MS, a_lead, a_sale, an_offer, sold

ONE = Sold(1, 31_500_000)


def sell(engine: Engine, number: int, order: str = "sunrise-tx", at_ms: int = AT_MS, **more: Any) -> None:
    """One lead offered to this order at `at_ms`, and sold a little later."""
    take(engine, number, order, at_ms, **more)
    sales = (a_sale(order, offered_at_ms=at_ms),)
    with transaction(engine) as conn:
        settle(conn, sold(number, order, sales=sales, at_ms=at_ms + 50))


def take(engine: Engine, number: int, order: str = "sunrise-tx", at_ms: int = AT_MS, **more: Any) -> None:
    with transaction(engine) as conn:
        take_lead(conn, a_lead(number, created_at_ms=at_ms, **more), [an_offer(order)])


def since(engine: Engine, owner: Any, ids: list[str], since_ms: int = AT_MS) -> dict[str, Sold]:
    with engine.connect() as conn:
        return sold_since(conn, owner, ids, since_ms)


def test_sales_are_added_up_by_order_and_by_buyer(engine: Engine) -> None:
    for number, order in enumerate(["sunrise-tx", "sunrise-tx", "sunrise-ca", "helios-1"]):
        sell(engine, number, order)
    assert since(engine, "order", ["sunrise-tx", "sunrise-ca", "none"]) == {
        "sunrise-tx": Sold(2, 63_000_000),
        "sunrise-ca": ONE,
    }
    assert since(engine, "buyer", ["sunrise", "helios"]) == {"sunrise": Sold(3, 94_500_000), "helios": ONE}
    assert since(engine, "buyer", []) == {}


def test_a_sale_counts_in_the_window_that_it_was_offered_in(engine: Engine) -> None:
    sell(engine, 1)  # sold 50 ms later
    assert since(engine, "order", ["sunrise-tx"], AT_MS) == {"sunrise-tx": ONE}
    assert since(engine, "order", ["sunrise-tx"], AT_MS + 1) == {}


def test_test_leads_do_not_count(engine: Engine) -> None:
    sell(engine, 1, test=True)
    take(engine, 2, test=True)
    assert since(engine, "order", ["sunrise-tx"]) == since(engine, "buyer", ["sunrise"]) == {}


@pytest.mark.parametrize(
    ("state", "offer", "counts"),
    [
        (None, None, True),
        ("pending", "unknown", True),
        ("pending", "rejected", False),
        ("rejected", "rejected", False),
    ],
)
def test_an_offer_counts_while_it_may_be_a_sale(
    engine: Engine, state: LeadState | None, offer: OfferState | None, counts: bool
) -> None:
    take(engine, 1)
    if state is not None and offer is not None:
        result = OfferResult(order_id="sunrise-tx", state=offer, answered_at_ms=AT_MS + 40)
        with transaction(engine) as conn:
            settle(conn, sold(state=state, results=(result,), sales=(), places=None, payout_micros=0))
    expected = {"sunrise-tx": ONE} if counts else {}
    assert since(engine, "order", ["sunrise-tx"]) == expected
    assert since(engine, "buyer", ["sunrise"]) == ({"sunrise": ONE} if counts else {})
    assert since(engine, "order", ["sunrise-tx"], AT_MS + 1) == {}


def test_as_many_owners_as_one_question_takes(engine: Engine) -> None:
    sell(engine, 1)
    ids = [f"order-{number}" for number in range(MOST_OWNERS - 1)]
    assert since(engine, "order", [*ids, "sunrise-tx"]) == {"sunrise-tx": ONE}


@pytest.mark.parametrize("owner", ["order", "buyer"])
def test_no_table_is_read_from_end_to_end(engine: Engine, owner: Any) -> None:
    asked = {"ids": ["a", "b"], "since_ms": AT_MS}
    with engine.connect() as conn:
        if is_postgresql(conn):  # on empty tables it would take them for cheapest
            conn.exec_driver_sql("SET enable_seqscan = off")
        statement = _SOLD[owner].params(asked)
        text = statement.compile(
            conn, compile_kwargs={"literal_binds": True, "render_postcompile": True}
        ).string
        explain = "EXPLAIN " if is_postgresql(conn) else "EXPLAIN QUERY PLAN "
        plan = "\n".join(str(row) for row in conn.exec_driver_sql(explain + text))
    assert f"ix_sales_{owner}_id_offered_at_ms" in plan
    assert "ix_leads_unsettled" in plan
