"""Every move that a seller is told stands in the outbox, from the very transaction of the move; and no other does."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from auction.ledger import history
from auction.ledger.engine import transaction
from auction.ledger.faults import ImpossibleMove
from auction.ledger.forgetting import Words, forget_leads
from auction.ledger.lead_queries import lead_history_of
from auction.ledger.leads import add_offers
from auction.ledger.outbox import Event, any_new, drop_old_events, events_of, mark_addressed, new_events
from auction.ledger.postbacks import Due, Tried, address, due_postbacks, record_try
from auction.ledger.records import OfferResult
from auction.ledger.taking import take_back, take_lead, void_lead
from tests.ledger.rows import AT_MS, a_lead, an_offer, sold
from tests.ledger.told import events, later, let_hear, move, sell, take

PAYOUT = 25_200_000


def test_every_move_is_told_with_its_place_in_the_history(engine: Engine) -> None:
    let_hear(engine, "acme")
    take(engine)
    assert events(engine) == [], "that it is offered is nobody's business"
    move(engine, sold())
    move(engine, later(1, "delivered"))
    move(engine, later(1, "converted", detail={"value": 1.5}))
    move(engine, later(1, "returned", payout_micros=0, reason="bad_number"))
    assert events(engine) == [
        ("lead-1", 3, "sold", PAYOUT),
        ("lead-1", 4, "delivered", PAYOUT),
        ("lead-1", 5, "converted", PAYOUT),
        ("lead-1", 6, "returned", 0),
    ]
    with engine.connect() as conn:
        lines = {moment.seq: (moment.state, moment.at_ms) for moment in lead_history_of(conn, "lead-1")}
        told = events_of(conn, "lead-1")
    assert {one.seq: (one.state, one.at_ms) for one in told}.items() <= lines.items()
    assert [one.event_id for one in told] == ["lead-1-3", "lead-1-4", "lead-1-5", "lead-1-6"]


def test_a_post_that_is_refused_at_once_is_told(engine: Engine) -> None:
    let_hear(engine, "acme")
    take(engine, a_lead(1, suppressed_by="dnc", test=True))
    assert events(engine) == [("lead-1", 2, "rejected", 0)]
    take(engine, a_lead(2, lead_id="lead-2", ping_id="ping-1"))
    assert len(events(engine)) == 1, "a repeated post is no change"


def test_pending_and_what_it_came_to_are_told(engine: Engine) -> None:
    let_hear(engine, "acme")
    take(engine)
    unknown = OfferResult(order_id="sunrise-tx", state="unknown", answered_at_ms=AT_MS + 40)
    known: dict[str, Any] = {"results": (unknown,), "sales": (), "payout_micros": 0}
    move(engine, sold(state="pending", **known))
    assert [state for _, _, state, _ in events(engine)] == ["pending"]
    move(engine, sold(from_states=("pending",)))
    assert [state for _, _, state, _ in events(engine)] == ["pending", "sold"]


def test_what_changes_nothing_for_the_seller_is_not_told(engine: Engine) -> None:
    let_hear(engine, "acme")
    sell(engine)
    move(engine, later(1, "sold", quiet=True))
    assert len(events(engine)) == 1


def test_sellers_without_postbacks_cost_no_statement(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    let_hear(engine, "globex", deaf=("acme",))
    for statement in ("tell", "tell_who_hears"):
        monkeypatch.setattr(history, statement, None)
    sell(engine)
    assert events(engine) == []


def test_the_catalogue_of_now_says_who_hears(engine: Engine) -> None:
    take(engine)
    take(engine, a_lead(2))
    let_hear(engine, "acme")
    move(engine, sold())
    let_hear(engine, deaf=("acme",))
    move(engine, sold(2))
    let_hear(engine, "acme")
    move(engine, later(2, "returned"))
    assert [(lead, state) for lead, _, state, _ in events(engine)] == [
        ("lead-1", "sold"),
        ("lead-2", "returned"),
    ]


def test_a_move_that_is_not_made_is_not_told(engine: Engine) -> None:
    let_hear(engine, "acme")
    sell(engine)
    with pytest.raises(ImpossibleMove):
        move(engine, sold())
    with transaction(engine) as conn, pytest.raises(ImpossibleMove):
        add_offers(conn, "lead-1", "w1", [], [an_offer("helios-1")], AT_MS)
    assert len(events(engine)) == 1


def test_what_is_taken_back_is_not_told(engine: Engine) -> None:
    let_hear(engine, "acme")
    with transaction(engine) as conn:
        take_back(conn, a_lead(suppressed_by="dnc"), [])
    assert events(engine) == []
    with transaction(engine) as conn:
        take_lead(conn, a_lead(suppressed_by="dnc"), [])
        (one,) = new_events(conn, 10)
        address(conn, one, ["acme:1"], AT_MS)
        assert void_lead(conn, "lead-1", "w1")
    assert events(engine) == []


def test_new_events_come_one_a_lead_and_go_when_they_are_addressed(engine: Engine) -> None:
    let_hear(engine, "acme")
    sell(engine, 1)
    move(engine, later(1, "delivered", at_ms=AT_MS - 1))  # a clock that was set back
    sell(engine, 2)

    def ids(conn: Connection) -> set[str]:
        return {one.event_id for one in new_events(conn, 10)}

    with transaction(engine) as conn:
        assert any_new(conn)
        assert ids(conn) == {"lead-1-3", "lead-2-3"}
        assert len(new_events(conn, 1)) == 1
        mark_addressed(conn, new_events(conn, 10), AT_MS)
        assert ids(conn) == {"lead-1-4"}
        mark_addressed(conn, new_events(conn, 10), AT_MS)
        assert not any_new(conn)
        mark_addressed(conn, [], AT_MS)


def test_old_events_go_when_they_are_done_with(engine: Engine) -> None:
    let_hear(engine, "acme")
    for number in range(4):
        sell(engine, number)
    before_ms = AT_MS + 10_000
    with transaction(engine) as conn:
        assert drop_old_events(conn, before_ms, 10) == 0, "they are not addressed yet"
        told: list[Event] = new_events(conn, 10)
        for one in told:
            address(conn, one, ["acme:1"], AT_MS)
        mark_addressed(conn, told, AT_MS)
        assert drop_old_events(conn, before_ms, 10) == 0, "they are on their way"
        dues: list[Due] = due_postbacks(conn, "acme:1", AT_MS, 3)
        for due, state in zip(dues, ("delivered", "given_up", "waiting"), strict=True):
            tried = Tried(state=state, next_at_ms=AT_MS if state == "waiting" else None)  # type: ignore[arg-type]
            record_try(conn, due, tried, AT_MS)
        assert drop_old_events(conn, AT_MS, 10) == 0, "they are not old"
        assert drop_old_events(conn, before_ms, 1) == 1
        assert drop_old_events(conn, before_ms, 10) == 1
    assert len(events(engine)) == 2


def test_what_is_forgotten_leaves_no_answer(engine: Engine) -> None:
    let_hear(engine, "acme")
    sell(engine)
    with transaction(engine) as conn:
        (one,) = new_events(conn, 10)
        address(conn, one, ["acme:1"], AT_MS)
        (due,) = due_postbacks(conn, "acme:1", AT_MS, 10)
        record_try(conn, due, Tried(state="delivered", status=200, answer="thanks"), AT_MS)
        words = Words(lambda _, answer: answer, lambda detail: detail)
        assert forget_leads(conn, ["lead-1"], words, AT_MS, duplicates_too=True).leads == 1
        found = conn.exec_driver_sql("SELECT status, answer FROM postbacks").all()
    assert [tuple(row) for row in found] == [(200, None)]
    assert len(events(engine)) == 1, "that it was forgotten is no change of its status"
