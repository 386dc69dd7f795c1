"""A lead's way: taken once, moved only from where it was, sold within P1, never a duplicate."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from auction.ledger.duplicates import DAY_MS
from auction.ledger.engine import open_engine, transaction
from auction.ledger.faults import ImpossibleMove, SaleRefused
from auction.ledger.lead_queries import (
    find_lead,
    find_lead_by_key,
    find_lead_by_ping,
    lead_history_of,
    offers_of,
    sales_of,
)
from auction.ledger.leads import add_offers, settle
from auction.ledger.records import AlreadyTaken, NewLead, OfferResult, Refused, Settlement, Taken
from auction.ledger.takeover import count_unsettled
from auction.ledger.taking import take_lead, void_lead
from auction.ledger.writer import Writer
from tests.ledger.rows import AT_MS, a_lead, a_sale, an_offer, sold


def take(engine: Engine, lead: NewLead, *orders: str) -> Taken | AlreadyTaken | Refused:
    with transaction(engine) as conn:
        return take_lead(conn, lead, [an_offer(order) for order in orders or ("sunrise-tx",)])


def do_settle(engine: Engine, settlement: Settlement) -> None:
    with transaction(engine) as conn:
        settle(conn, settlement)


def test_taken_is_the_intent(engine: Engine) -> None:
    assert take(engine, a_lead(sub_id="fb-7"), "sunrise-tx", "helios-1") == Taken(lead_id="lead-1")
    with engine.connect() as conn:
        lead = find_lead(conn, "lead-1")
        assert lead is not None
        assert lead == find_lead_by_ping(conn, "ping-1")
        assert (lead.state, lead.answer, lead.places, lead.sub_id) == ("offered", None, None, "fb-7")
        assert lead.ping_fields == {"state": "TX", "electric_bill": 120}
        assert (lead.sealed, lead.body_hash, lead.test) == (b"sealed", b"hash", False)
        sent = [(offer.seq, offer.order_id, offer.state) for offer in offers_of(conn, "lead-1")]
        assert sent == [(1, "sunrise-tx", "sent"), (2, "helios-1", "sent")]
        assert [moment.state for moment in lead_history_of(conn, "lead-1")] == ["received", "offered"]
        assert find_lead(conn, "lead-2") is None
        assert find_lead_by_ping(conn, "ping-2") is None


def test_a_ping_is_taken_once(engine: Engine) -> None:
    take(engine, a_lead())
    again = a_lead(lead_id="lead-other", body_hash=b"other")
    expected: dict[str, Any] = {
        "lead_id": "lead-1",
        "ping_id": "ping-1",
        "reason": None,
        "body_hash": b"hash",
    }
    assert take(engine, again) == AlreadyTaken(state="offered", answer=None, **expected)
    do_settle(engine, sold())
    assert take(engine, again) == AlreadyTaken(state="sold", answer='{"status":"sold"}', **expected)
    with engine.connect() as conn:
        assert find_lead(conn, "lead-other") is None
        assert len(offers_of(conn, "lead-1")) == 1


def test_a_lead_id_under_another_ping_is_refused(engine: Engine) -> None:
    take(engine, a_lead())
    with pytest.raises(ImpossibleMove):
        take(engine, a_lead(ping_id="ping-other"))


def test_a_key_takes_one_lead_whichever_ping_it_is_sold_by(engine: Engine) -> None:
    def by_key(keyed: str) -> str | None:
        with engine.connect() as conn:
            found = find_lead_by_key(conn, keyed)
            return None if found is None else found.lead_id

    first = a_lead(1, keyed="key")
    assert take(engine, first) == Taken(lead_id="lead-1")
    again = take(engine, a_lead(2, keyed="key", people=(b"p" * 16,)))
    assert isinstance(again, AlreadyTaken)
    assert (again.lead_id, again.ping_id) == ("lead-1", "ping-1")
    with engine.connect() as conn:
        assert find_lead_by_ping(conn, "ping-2") is None
    assert take(engine, a_lead(3, keyed="other")) == Taken(lead_id="lead-3")
    assert (by_key("key"), by_key("other"), by_key("ping-1")) == ("lead-1", "lead-3", "lead-1")
    with transaction(engine) as conn:  # what is taken back leaves its key free
        assert void_lead(conn, "lead-1", first.worker)
    assert by_key("key") is None
    assert take(engine, a_lead(2, keyed="key")) == Taken(lead_id="lead-2")


async def test_of_many_takes_of_one_key_one_is_taken(engine: Engine, ledger_url: str) -> None:
    other_engine = open_engine(ledger_url)
    takes = [
        asyncio.to_thread(take, (engine, other_engine)[number % 2], a_lead(number, keyed="key"))
        for number in range(1, 9)
    ]
    outcomes = await asyncio.gather(*takes)
    other_engine.dispose()
    (taken,) = [one for one in outcomes if isinstance(one, Taken)]
    others = {one.lead_id for one in outcomes if isinstance(one, AlreadyTaken)}
    assert (others, len(outcomes)) == ({taken.lead_id}, 8)


async def test_of_many_takes_of_one_ping_one_is_taken(engine: Engine, ledger_url: str) -> None:
    other_engine = open_engine(ledger_url)
    writers = [Writer(engine), Writer(other_engine)]
    results = await asyncio.gather(
        *[
            writers[number % 2].write(
                partial(take_lead, lead=a_lead(number, ping_id="ping-1"), new_offers=[an_offer()])
            )
            for number in range(40)
        ]
    )
    taken = [result for result in results if isinstance(result, Taken)]
    assert len(taken) == 1
    others = {result.lead_id for result in results if isinstance(result, AlreadyTaken)}
    assert others == {taken[0].lead_id}
    for writer in writers:
        await writer.close()
    other_engine.dispose()


def test_a_voided_lead_never_came(engine: Engine) -> None:
    """Nor does it make the next one a duplicate; and what is sold cannot be voided."""
    take(engine, a_print(1))
    for _ in range(2):
        with transaction(engine) as conn:
            void_lead(conn, "lead-1", "w1")
            assert not void_lead(conn, "lead-1", "w1")
    assert everything(engine) == [None, [], [], []]
    assert take(engine, a_print(1)) == Taken(lead_id="lead-1")
    do_settle(engine, sold())
    before = everything(engine)
    with transaction(engine) as conn:
        assert not void_lead(conn, "lead-1", "w1")
    assert everything(engine) == before


def test_settling_writes_everything(engine: Engine) -> None:
    take(engine, a_lead(), "sunrise-tx")
    do_settle(engine, sold())
    with engine.connect() as conn:
        lead = find_lead(conn, "lead-1")
        assert lead is not None
        assert (lead.state, lead.payout_micros, lead.answer) == ("sold", 25_200_000, '{"status":"sold"}')
        assert (lead.places, lead.updated_at_ms) == (1, AT_MS + 50)
        (offer,) = offers_of(conn, "lead-1")
        assert (offer.state, offer.answered_at_ms) == ("accepted", AT_MS + 40)
        (sale,) = sales_of(conn, "lead-1")
        assert (sale.seller, sale.campaign, sale.exclusive) == ("acme", "solar-us", True)
        assert sale.margin_micros == sale.price_micros - sale.payout_micros == 6_300_000
        moment = lead_history_of(conn, "lead-1")[-1]
        assert (moment.seq, moment.state) == (3, "sold")
        assert moment.detail == {"offers": {"sunrise-tx": "accepted"}}


def test_a_runner_up_buys(engine: Engine) -> None:
    take(engine, a_lead(), "sunrise-tx")
    with transaction(engine) as conn:
        add_offers(conn, "lead-1", "w1", [], [an_offer("helios-1")], AT_MS + 20)
    refused = OfferResult(
        order_id="sunrise-tx", state="rejected", reason="duplicate", answered_at_ms=AT_MS + 10
    )
    accepted = OfferResult(
        order_id="helios-1",
        state="accepted",
        answered_at_ms=AT_MS + 40,
        buyer_lead_id="h-9",
        redirect_url="https://helios.example/thanks",
    )
    do_settle(engine, sold(results=(refused, accepted), sales=(a_sale("helios-1"),)))
    with engine.connect() as conn:
        first, second = offers_of(conn, "lead-1")
        assert (first.state, first.reason) == ("rejected", "duplicate")
        assert (second.seq, second.sent_at_ms, second.buyer_lead_id) == (2, AT_MS + 20, "h-9")
        assert second.redirect_url == "https://helios.example/thanks"
        assert [moment.state for moment in lead_history_of(conn, "lead-1")] == [
            "received",
            "offered",
            "offered",
            "sold",
        ]


def test_a_pending_lead_is_settled_later_and_keeps_what_is_not_said(engine: Engine) -> None:
    take(engine, a_lead())
    unknown = OfferResult(order_id="sunrise-tx", state="unknown", reason="timeout")
    pending = sold(
        state="pending", results=(unknown,), sales=(), places=None, payout_micros=None, answer="{}"
    )
    do_settle(engine, pending)
    with engine.connect() as conn:
        assert count_unsettled(conn) == (1, 1)
    do_settle(engine, sold(from_states=("pending",), at_ms=AT_MS + DAY_MS, answer=None))
    with engine.connect() as conn:
        lead = find_lead(conn, "lead-1")
        assert lead is not None
        assert (lead.state, lead.answer, lead.payout_micros) == ("sold", "{}", 25_200_000)
        assert count_unsettled(conn) == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(sold(), id="sold twice"),
        pytest.param(sold(from_states=("pending", "offered")), id="from several states"),
        pytest.param(sold(2), id="an unknown lead"),
        pytest.param(sold(from_states=("sold",), sales=()), id="an offer answered twice"),
        pytest.param(sold(from_states=("sold",), sales=(), order="nobody-1"), id="an order never asked"),
    ],
)
def test_an_impossible_move_changes_nothing(engine: Engine, wrong: Settlement) -> None:
    take(engine, a_lead())
    do_settle(engine, sold())
    before = everything(engine)
    with pytest.raises(ImpossibleMove):
        do_settle(engine, wrong)
    assert everything(engine) == before


def test_no_more_offers_once_it_is_settled(engine: Engine) -> None:
    take(engine, a_lead())
    do_settle(engine, sold())
    with pytest.raises(ImpossibleMove) as caught, transaction(engine) as conn:
        add_offers(conn, "lead-1", "w1", [], [an_offer("helios-1")], AT_MS)
    assert (caught.value.found, caught.value.wanted) == ("sold", "offered")


def test_a_shared_lead_is_sold_into_its_places_and_no_further(engine: Engine) -> None:
    take(engine, a_lead(), "one-a", "two-a", "two-b", "three-a")

    def sell(order: str, place: int, places: int = 2, exclusive: bool = False) -> None:
        result = OfferResult(order_id=order, state="accepted", answered_at_ms=AT_MS)
        sale = a_sale(order, place, exclusive=exclusive)
        states: Any = ("offered", "sold")
        do_settle(engine, sold(results=(result,), sales=(sale,), places=places, from_states=states))

    sell("two-a", 1)
    before = everything(engine)
    for order, place, places, exclusive in (
        ("two-b", 2, 2, False),  # the same buyer
        ("one-a", 1, 2, False),  # a place that is taken
        ("one-a", 3, 3, False),  # a place that the lead does not have
        ("one-a", 1, 1, True),  # exclusively, next to a shared sale
    ):
        with pytest.raises(SaleRefused):
            sell(order, place, places, exclusive)
        assert everything(engine) == before
    sell("one-a", 2)
    with engine.connect() as conn:
        assert [sale.buyer_id for sale in sales_of(conn, "lead-1")] == ["two", "one"]


def a_print(number: int, **more: Any) -> NewLead:
    known: dict[str, Any] = {"fingerprint": b"f" * 32, "duplicate_days": 30, "refused_answer": "{}"}
    return a_lead(number, **(known | more))


def test_a_duplicate_is_rejected_and_says_of_what(engine: Engine) -> None:
    assert take(engine, a_print(1)) == Taken(lead_id="lead-1")
    assert take(engine, a_print(2)) == Refused(lead_id="lead-2", reason="duplicate", of_lead_id="lead-1")
    assert take(engine, a_print(1)) == AlreadyTaken(
        lead_id="lead-1", ping_id="ping-1", state="offered", reason=None, answer=None, body_hash=b"hash"
    )
    with engine.connect() as conn:
        lead = find_lead(conn, "lead-2")
        assert lead is not None
        assert (lead.state, lead.reason, lead.answer) == ("rejected", "duplicate", "{}")
        assert offers_of(conn, "lead-2") == []
        moment = lead_history_of(conn, "lead-2")[-1]
        assert (moment.state, moment.detail) == ("rejected", {"reason": "duplicate", "of": "lead-1"})


@pytest.mark.parametrize(
    "different",
    [
        pytest.param({"campaign": "roofing-us"}, id="another campaign"),
        pytest.param({"fingerprint": b"g" * 32}, id="another lead"),
        pytest.param({"fingerprint": None}, id="no rule"),
        pytest.param({"test": True}, id="a test"),
        pytest.param({"created_at_ms": AT_MS + 30 * DAY_MS + 1}, id="later than the rule reaches"),
    ],
)
def test_not_a_duplicate(engine: Engine, different: dict[str, Any]) -> None:
    take(engine, a_print(1))
    assert take(engine, a_print(2, **different)) == Taken(lead_id="lead-2")


@pytest.mark.parametrize(
    ("state", "stands"),
    [
        ("sold", True),
        ("pending", True),
        ("delivered", True),
        ("converted", True),
        ("rejected", False),
        ("returned", False),
    ],
)
def test_which_leads_stand(engine: Engine, state: Any, stands: bool) -> None:
    take(engine, a_print(1))
    do_settle(engine, Settlement(lead_id="lead-1", from_states=("offered",), state=state, at_ms=AT_MS))
    result = take(engine, a_print(2, created_at_ms=AT_MS + 30 * DAY_MS))
    assert isinstance(result, Refused if stands else Taken)


async def test_of_many_equal_leads_at_once_one_is_taken(engine: Engine, ledger_url: str) -> None:
    """Exact under concurrency: two processes' writers, each with batches full of the same person."""
    other_engine = open_engine(ledger_url)
    writers = [Writer(engine, max_batch=5), Writer(other_engine, max_batch=5)]
    results = await asyncio.gather(
        *[
            writers[number % 2].write(partial(take_lead, lead=a_print(number), new_offers=[an_offer()]))
            for number in range(40)
        ]
    )
    taken = [result for result in results if isinstance(result, Taken)]
    assert len(taken) == 1
    of = {result.of_lead_id for result in results if isinstance(result, Refused)}
    assert of == {taken[0].lead_id}
    for writer in writers:
        await writer.close()
    other_engine.dispose()


def everything(engine: Engine) -> list[object]:
    def of(conn: Connection) -> list[object]:
        return [
            find_lead(conn, "lead-1"),
            offers_of(conn, "lead-1"),
            sales_of(conn, "lead-1"),
            lead_history_of(conn, "lead-1"),
        ]

    with engine.connect() as conn:
        return of(conn)
