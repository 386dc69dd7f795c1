"""What was sold since a window began, against leads taken and settled as the house does."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from auction.ledger.afterwards import (
    _BOUGHT,
    _FREED,
    _KNOWN_AS,
    _RETURNED,
    Freed,
    bought_at_least,
    freed_since,
    returned_since,
    tell_sale,
)
from auction.ledger.engine import is_postgresql, transaction
from auction.ledger.faults import ImpossibleMove
from auction.ledger.lead_queries import sales_of
from auction.ledger.leads import settle
from auction.ledger.records import LeadState, OfferResult, OfferState
from auction.ledger.sold import (
    _LOST,
    _OF_LEADS_OUT,
    _OFFERS_OF,
    _SOLD,
    MOST_OWNERS,
    OpenOffer,
    Sold,
    open_offers,
    sold_between,
    verdicts,
)
from auction.ledger.taking import take_lead
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


def give_back(engine: Engine, number: int, *, cap_freed: bool = False) -> None:
    with transaction(engine) as conn:
        (sale,) = sales_of(conn, f"lead-{number}")
        tell_sale(conn, sale, "return", AT_MS + 500, reason="duplicate", cap_freed=cap_freed)


def between(
    engine: Engine, owner: Any, ids: list[str], start_ms: int = AT_MS, end_ms: int = AT_MS + 1_000
) -> dict[str, Sold]:
    with engine.connect() as conn:
        return sold_between(conn, owner, ids, start_ms, end_ms)


def still_open(engine: Engine, *buyer_ids: str) -> list[str]:
    """The orders whose offers may still be sales."""
    with engine.connect() as conn:
        return sorted(offer.order_id for offer in open_offers(conn, buyer_ids))


def said_of(engine: Engine, *places: str) -> list[str]:
    with engine.connect() as conn:
        said = verdicts(conn, places)
    assert said.keys() == set(places)
    return [said[place].verdict for place in places]


def test_sales_are_added_up_by_order_and_by_buyer(engine: Engine) -> None:
    for number, order in enumerate(["sunrise-tx", "sunrise-tx", "sunrise-ca", "helios-1"]):
        sell(engine, number, order)
    assert between(engine, "order", ["sunrise-tx", "sunrise-ca", "none"]) == {
        "sunrise-tx": Sold(2, 63_000_000),
        "sunrise-ca": ONE,
    }
    assert between(engine, "buyer", ["sunrise", "helios"]) == {"sunrise": Sold(3, 94_500_000), "helios": ONE}
    assert between(engine, "buyer", []) == {}


def test_a_sale_counts_in_the_window_that_it_was_offered_in(engine: Engine) -> None:
    sell(engine, 1)  # sold 50 ms later
    assert between(engine, "order", ["sunrise-tx"], AT_MS, AT_MS + 1) == {"sunrise-tx": ONE}
    assert between(engine, "order", ["sunrise-tx"], AT_MS + 1) == {}
    assert between(engine, "order", ["sunrise-tx"], AT_MS - 9, AT_MS) == {}


def test_a_sale_that_was_returned_counts_unless_its_return_frees_the_cap(engine: Engine) -> None:
    for number in (1, 2, 3):
        sell(engine, number)
    give_back(engine, 1, cap_freed=False)
    give_back(engine, 2, cap_freed=True)
    assert between(engine, "order", ["sunrise-tx"]) == {"sunrise-tx": Sold(2, 63_000_000)}
    assert between(engine, "buyer", ["sunrise"]) == {"sunrise": Sold(2, 63_000_000)}
    assert said_of(engine, *(f"ping-{number}/sunrise-tx" for number in (1, 2, 3))) == [
        "sold",
        "refused",
        "sold",
    ]
    with engine.connect() as conn:
        assert freed_since(conn, ["sunrise", "helios"], AT_MS + 500) == [
            Freed("ping-2", "sunrise-tx", "sunrise", 31_500_000, AT_MS, AT_MS + 500)
        ]
        assert freed_since(conn, ["sunrise"], AT_MS + 501) == freed_since(conn, ["helios"], 0) == []


def test_what_an_order_bought_and_returned_in_a_window(engine: Engine) -> None:
    for number in range(6):
        sell(engine, number, at_ms=AT_MS + number, test=number == 5)
    sell(engine, 9, "sunrise-ca")
    for number in (0, 3, 5):
        give_back(engine, number)
    with engine.connect() as conn:
        assert [returned_since(conn, "sunrise-tx", AT_MS + since) for since in (0, 1, 3, 4)] == [2, 1, 1, 0]
        for since, bought in ((0, 5), (2, 3), (5, 0)):
            asked = [
                bought_at_least(conn, "sunrise-tx", AT_MS + since, needed) for needed in (bought, bought + 1)
            ]
            assert asked == [True, False]


def test_a_sale_is_told_of_once(engine: Engine) -> None:
    sell(engine, 1)
    give_back(engine, 1)
    with pytest.raises(ImpossibleMove):
        give_back(engine, 1)
    with engine.connect() as conn:
        (sale,) = sales_of(conn, "lead-1")
    for told in ("deliver", "convert"):
        with pytest.raises(ImpossibleMove), transaction(engine) as conn:
            tell_sale(conn, sale, told, AT_MS + 900)


def test_test_leads_do_not_count(engine: Engine) -> None:
    sell(engine, 1, test=True)
    take(engine, 2, test=True)
    assert between(engine, "order", ["sunrise-tx"]) == between(engine, "buyer", ["sunrise"]) == {}
    assert still_open(engine, "sunrise") == []


@pytest.mark.parametrize(
    ("state", "offer", "verdict"),
    [
        (None, None, "open"),
        ("pending", "unknown", "open"),
        ("pending", "rejected", "refused"),
        ("rejected", "rejected", "refused"),
        ("sold", "accepted", "sold"),
        ("sold", "rejected", "refused"),
        ("sold", "unknown", "open"),  # a shared lead that another bought
    ],
)
def test_an_offer_is_open_while_it_may_be_a_sale(
    engine: Engine, state: LeadState | None, offer: OfferState | None, verdict: str
) -> None:
    take(engine, 1)
    if state is not None and offer is not None:
        result = OfferResult(order_id="sunrise-tx", state=offer, answered_at_ms=AT_MS + 40)
        with transaction(engine) as conn:
            settle(conn, sold(state=state, results=(result,), sales=(), places=None, payout_micros=0))
    assert still_open(engine, "sunrise", "helios") == (["sunrise-tx"] if verdict == "open" else [])
    assert still_open(engine, "helios") == []
    places = ("ping-1/sunrise-tx", "ping-1/helios-1", "ping-2/sunrise-tx")
    assert said_of(engine, *places) == [verdict, "gone", "gone"]


def test_an_open_offer_tells_what_its_place_takes(engine: Engine) -> None:
    take(engine, 1)
    with engine.connect() as conn:
        assert open_offers(conn, ["sunrise"]) == [
            OpenOffer("ping-1", "sunrise-tx", "sunrise", 31_500_000, AT_MS, False)
        ]


def test_as_many_owners_as_one_question_takes(engine: Engine) -> None:
    sell(engine, 1)
    ids = [f"order-{number}" for number in range(MOST_OWNERS - 1)]
    assert between(engine, "order", [*ids, "sunrise-tx"]) == {"sunrise-tx": ONE}
    places = [f"ping-{number}/none" for number in range(2, MOST_OWNERS + 9)]
    assert said_of(engine, *places, "ping-1/sunrise-tx") == ["gone"] * len(places) + ["sold"]


@pytest.mark.parametrize(
    ("statement", "indexes"),
    [
        (_SOLD["order"], ["ix_sales_order_id_offered_at_ms"]),
        (_SOLD["buyer"], ["ix_sales_buyer_id_offered_at_ms"]),
        (_OF_LEADS_OUT, ["ix_leads_unsettled"]),
        (_LOST, ["ix_offers_unknown"]),
        (_OFFERS_OF, ["ping_id"]),
        (_FREED, ["ix_sales_freed"]),
        (_RETURNED, ["ix_sales_returned"]),
        (_BOUGHT, ["ix_sales_order_id_offered_at_ms"]),
        (_KNOWN_AS, ["ix_offers_buyer_lead_id"]),
    ],
)
def test_no_table_is_read_from_end_to_end(engine: Engine, statement: Any, indexes: list[str]) -> None:
    with engine.connect() as conn:
        if is_postgresql(conn):  # on empty tables it would take them for cheapest
            conn.exec_driver_sql("SET enable_seqscan = off")
        asked = {
            "ids": ["a", "b"],
            "start_ms": AT_MS,
            "end_ms": AT_MS + 1,
            "since_ms": AT_MS,
            "order_id": "a",
        }
        asked |= {"needed": 9, "buyer_id": "a", "known_as": "b"}
        known = {name: asked[name] for name in statement.compile().params if name in asked}
        text = (
            statement.params(known)
            .compile(conn, compile_kwargs={"literal_binds": True, "render_postcompile": True})
            .string
        )
        explain = "EXPLAIN " if is_postgresql(conn) else "EXPLAIN QUERY PLAN "
        plan = "\n".join(str(row) for row in conn.exec_driver_sql(explain + text))
    assert all(index in plan for index in indexes), plan
    assert "SCAN leads" not in plan.replace("SCAN leads USING INDEX", "")
