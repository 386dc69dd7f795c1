"""Workers in the ledger: they beat, are fenced once and only if silent, and their leads change hands one by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from auction.ledger import takeover
from auction.ledger.engine import open_engine, transaction
from auction.ledger.faults import ImpossibleMove, TakenOver
from auction.ledger.lead_queries import find_lead, lead_history_of, offers_of
from auction.ledger.leads import add_offers, settle
from auction.ledger.records import NewLead, OfferResult, Settlement, Stray, Worker
from auction.ledger.takeover import (
    count_unsettled,
    forget_fenced,
    leads_in_hand,
    stray_leads,
    take_over,
    unknown_offers,
)
from auction.ledger.taking import take_back, take_lead, void_lead
from auction.ledger.workers import all_workers, beat, fence, leave, register
from tests.ledger.rows import AT_MS, a_lead, an_offer, sold


def worker(name: str, **more: Any) -> Worker:
    return Worker(id=name, host="here", pid=1, started_at_ms=AT_MS, **more)


def do(engine: Engine, step: Any, *arguments: Any, **named: Any) -> Any:
    with transaction(engine) as conn:
        return step(conn, *arguments, **named)


def begin(engine: Engine, *names: str) -> None:
    for name in names:
        do(engine, register, worker(name))


def take(engine: Engine, number: int = 1, **more: Any) -> NewLead:
    lead = a_lead(number, **more)
    do(engine, take_lead, lead, [an_offer()])
    return lead


def test_a_beat_moves_and_a_fenced_worker_has_none(engine: Engine) -> None:
    begin(engine, "w1", "w2")
    assert do(engine, beat, "w1")
    assert [(one.id, one.beats) for one in do(engine, all_workers)] == [("w1", 1), ("w2", 0)]
    assert not do(engine, fence, "w1", beats=0), "it has beaten since"
    assert do(engine, fence, "w1", beats=1)
    assert not do(engine, fence, "w1", beats=1), "one of all fences it"
    assert not do(engine, beat, "w1")
    assert not do(engine, beat, "nobody")
    assert do(engine, beat, "w2")


def test_leads_of_workers_that_are_fenced_or_gone_are_strays(engine: Engine) -> None:
    begin(engine, "w1", "w2")
    for number, of in enumerate(("w1", "w2", "never-known"), 1):
        take(engine, number, worker=of, created_at_ms=AT_MS - number)
    assert do(engine, stray_leads) == [Stray(lead_id="lead-3", worker="never-known")]
    do(engine, fence, "w1", beats=0)
    do(engine, leave, "w2")
    assert [one.lead_id for one in do(engine, stray_leads)] == ["lead-3", "lead-2", "lead-1"]
    assert len(do(engine, stray_leads, most=2)) == 2
    do(engine, settle, sold(2))
    assert [one.lead_id for one in do(engine, stray_leads)] == ["lead-3", "lead-1"], "that one is settled"


def test_a_lead_is_taken_over_by_one(engine: Engine) -> None:
    begin(engine, "w2", "w3")
    take(engine, worker="w1")
    stray = Stray(lead_id="lead-1", worker="w1")
    assert do(engine, take_over, stray, "w2", AT_MS + 9)
    assert not do(engine, take_over, stray, "w3", AT_MS + 9)
    lead = do(engine, find_lead, "lead-1")
    assert (lead.worker, lead.state, lead.updated_at_ms) == ("w2", "offered", AT_MS + 9)
    assert do(engine, lead_history_of, "lead-1")[-1].detail == {"taken_over_from": "w1"}
    assert do(engine, stray_leads) == []


def test_who_is_fenced_itself_takes_nothing_over(engine: Engine) -> None:
    begin(engine, "w2")
    take(engine, worker="w1")
    do(engine, fence, "w2", beats=0)
    assert not do(engine, take_over, Stray(lead_id="lead-1", worker="w1"), "w2", AT_MS)
    assert not do(engine, take_over, Stray(lead_id="lead-1", worker="w1"), "unregistered", AT_MS)


def test_many_race_to_take_over_many_leads(engine: Engine, ledger_url: str) -> None:
    """Each lead is one worker's, and each of the race thinks so of the right ones."""
    names = [f"racer-{number}" for number in range(4)]
    begin(engine, *names)
    for number in range(20):
        take(engine, number, worker="dead")
    strays = do(engine, stray_leads)

    def race(name: str) -> list[str]:
        own = open_engine(ledger_url, busy_ms=20_000)
        won = [stray.lead_id for stray in strays if do(own, take_over, stray, name, AT_MS)]
        own.dispose()
        return won

    with ThreadPoolExecutor(len(names)) as pool:
        won = dict(zip(names, pool.map(race, names), strict=True))
    assert sorted(lead for leads in won.values() for lead in leads) == sorted(one.lead_id for one in strays)
    for name, leads in won.items():
        assert {one.lead_id for one in do(engine, leads_in_hand, name, AT_MS + 1)} == set(leads)


def _settle(conn: Connection) -> None:
    settle(conn, sold(worker="w1"))


def _add(conn: Connection) -> None:
    add_offers(conn, "lead-1", "w1", [], [an_offer("helios-1")], AT_MS)


@pytest.mark.parametrize("step", [_settle, _add])
def test_what_the_old_worker_still_writes_is_refused(engine: Engine, step: Any) -> None:
    begin(engine, "w1", "w2")
    lead = take(engine)
    do(engine, fence, "w1", beats=0)
    do(engine, take_over, Stray(lead_id="lead-1", worker="w1"), "w2", AT_MS)
    for _ in range(2):
        with pytest.raises(TakenOver):
            do(engine, step)
        assert not do(engine, void_lead, "lead-1", "w1")
        do(engine, take_back, lead, [an_offer()])
        assert len(do(engine, offers_of, "lead-1")) == 1
        found = do(engine, find_lead, "lead-1")
        assert found.worker == "w2"
        if found.state == "offered":
            do(engine, settle, sold(worker="w2"))


def test_a_lead_that_is_in_its_hands_is_refused_for_its_state_alone(engine: Engine) -> None:
    take(engine)
    do(engine, settle, sold(worker="w1"))
    with pytest.raises(ImpossibleMove) as caught:
        do(engine, settle, sold(worker="w1"))
    assert not isinstance(caught.value, TakenOver)


def test_the_answers_so_far_are_durable_with_the_next_intent(engine: Engine) -> None:
    """So another worker does not take a certain refusal for an unknown."""
    take(engine)
    refused = OfferResult(order_id="sunrise-tx", state="rejected", reason="duplicate", answered_at_ms=AT_MS)
    do(engine, add_offers, "lead-1", "w1", [refused], [an_offer("helios-1")], AT_MS + 5)
    first, second = do(engine, offers_of, "lead-1")
    assert (first.state, first.reason, second.state) == ("rejected", "duplicate", "sent")
    accepted = OfferResult(order_id="helios-1", state="accepted", answered_at_ms=AT_MS + 9)
    do(engine, settle, sold(order="helios-1", results=(refused, accepted), worker="w1"))
    assert do(engine, find_lead, "lead-1").state == "sold"


def test_an_answer_that_was_durable_cannot_be_told_otherwise(engine: Engine) -> None:
    take(engine)
    refused = OfferResult(order_id="sunrise-tx", state="rejected", answered_at_ms=AT_MS)
    do(engine, add_offers, "lead-1", "w1", [refused], [an_offer("helios-1")], AT_MS + 5)
    with pytest.raises(ImpossibleMove):
        do(engine, settle, sold(worker="w1"))


def test_a_plan_is_kept_while_somebody_may_need_it(engine: Engine) -> None:
    take(engine, plan=b"plan")
    assert do(engine, find_lead, "lead-1").plan == b"plan"
    do(engine, settle, sold())
    assert do(engine, find_lead, "lead-1").plan is None


def test_fenced_workers_are_forgotten_when_they_left_nothing(engine: Engine) -> None:
    begin(engine, "w1", "w2", "w3")
    take(engine)
    for name in ("w1", "w2"):
        do(engine, fence, name, beats=0)
    assert do(engine, forget_fenced) == 1
    assert [one.id for one in do(engine, all_workers)] == ["w1", "w3"]
    do(engine, settle, sold())
    assert do(engine, forget_fenced) == 1


def test_no_question_reads_all_leads(sqlite_ledger: str) -> None:
    """Each goes by a partial index, which holds the few that are not settled."""
    asked = {
        takeover._STRAYS: "ix_leads_unsettled",
        takeover._OF_WORKER: "ix_leads_unsettled",
        takeover._COUNT_PENDING: "ix_leads_unsettled",
        takeover._UNKNOWN: "ix_offers_unknown",
        takeover._COUNT_UNKNOWN: "ix_offers_unknown",
    }
    engine = open_engine(sqlite_ledger)
    with engine.connect() as conn:
        for statement, index in asked.items():
            words = statement.compile(engine)
            plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", (1,) * len(words.positiontup or ()))
            assert index in " ".join(row.detail for row in plan), statement
    engine.dispose()


def test_unknown_offers_are_listed_and_counted(engine: Engine) -> None:
    def unknown(order: str) -> OfferResult:
        return OfferResult(order_id=order, state="unknown", answered_at_ms=AT_MS, reason="timeout")

    take(engine, 1)
    take(engine, 2)
    take(engine, 3)
    pending = partial(Settlement, from_states=("offered",), state="pending", at_ms=AT_MS)
    do(engine, settle, pending(lead_id="lead-1", results=(unknown("sunrise-tx"),)))
    do(engine, add_offers, "lead-2", "w1", [], [an_offer("helios-1")], AT_MS + 5)
    accepted = OfferResult(order_id="sunrise-tx", state="accepted", answered_at_ms=AT_MS)
    do(engine, settle, sold(2, results=(accepted, unknown("helios-1"))))
    assert [(one.lead_id, one.state, one.order_id, one.reason) for one in do(engine, unknown_offers, 9)] == [
        ("lead-1", "pending", "sunrise-tx", "timeout"),
        ("lead-2", "sold", "helios-1", "timeout"),
    ]
    assert len(do(engine, unknown_offers, 1)) == 1
    assert do(engine, count_unsettled) == (1, 2)
