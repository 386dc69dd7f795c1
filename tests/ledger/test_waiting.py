"""Leads that wait, in the ledger: who may try them when, and that each leaves the wait by one write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any, TypeVar

import pytest
from sqlalchemy import Engine, select

from auction.ledger.engine import open_engine, transaction
from auction.ledger.faults import ImpossibleMove
from auction.ledger.lead_queries import find_lead, lead_history_of, offers_of
from auction.ledger.leads import settle
from auction.ledger.records import AlreadyTaken, Due, Lead, NewLead, Refused, Settlement, Taken, Unsold
from auction.ledger.schema import fingerprints, leads, people, waits
from auction.ledger.taking import take_back_unsold, take_lead, take_unsold
from auction.ledger.waiting import (
    any_due,
    count_waiting,
    hasten,
    hasten_one,
    offer_waiting,
    refuse_waiting,
    take_due,
    wait_again,
)
from tests.ledger.rows import AT_MS, a_lead, an_offer

T = TypeVar("T")
UNSOLD = Unsold(reason="no_bid", answer="told", next_at_ms=AT_MS + 60, until_ms=AT_MS + 1_000)
REFUSED = Unsold(reason="no_bid", answer="told")


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    opened = open_engine(ledger_url)
    yield opened
    opened.dispose()


def do(engine: Engine, op: Callable[..., T], *known: Any, **named: Any) -> T:
    with transaction(engine) as conn:
        return op(conn, *known, **named)


def waiting(engine: Engine, number: int = 1, **more: Any) -> NewLead:
    lead = a_lead(number, **more)
    assert isinstance(do(engine, take_unsold, lead, UNSOLD), Taken)
    return lead


def due(engine: Engine, at_ms: int, wait_ms: int = 100) -> list[Due]:
    return do(engine, take_due, at_ms, 9, lambda _: wait_ms)


def lead_of(engine: Engine, lead_id: str = "lead-1") -> Lead:
    lead = do(engine, find_lead, lead_id)
    assert lead is not None
    return lead


def offered(engine: Engine, worker: str = "w2", at_ms: int = AT_MS + 70) -> bool:
    lead = a_lead(1, worker=worker, plan=b"plan")
    return do(engine, offer_waiting, lead, [an_offer("a")], at_ms) is not None


def test_it_comes_in_and_has_its_turn(engine: Engine) -> None:
    waiting(engine)
    lead = lead_of(engine)
    assert (lead.state, lead.answer, lead.reason) == ("waiting", "told", None)
    assert [one.state for one in do(engine, lead_history_of, "lead-1")] == ["received", "waiting"]
    assert not do(engine, any_due, AT_MS + 59)
    assert due(engine, AT_MS + 59) == []
    assert do(engine, any_due, AT_MS + 60)
    assert due(engine, AT_MS + 60) == [
        Due(lead_id="lead-1", tries=1, next_at_ms=AT_MS + 160, until_ms=AT_MS + 1_000)
    ]
    assert due(engine, AT_MS + 60) == []
    assert due(engine, AT_MS + 990)[0].next_at_ms == AT_MS + 1_000  # no later than its time is over
    assert due(engine, AT_MS + 1_000)[0].next_at_ms == AT_MS + 1_100
    assert do(engine, count_waiting) == 1


def test_one_that_is_not_to_wait_is_refused(engine: Engine) -> None:
    taken = do(engine, take_unsold, a_lead(1, fingerprint=b"f", duplicate_days=1), REFUSED)
    assert taken == Refused(lead_id="lead-1", reason="no_bid")
    lead = lead_of(engine)
    assert (lead.state, lead.answer, lead.reason) == ("rejected", "told", "no_bid")
    assert do(engine, count_waiting) == 0
    with engine.connect() as conn:  # it makes no other a duplicate
        assert conn.execute(select(fingerprints)).all() == []


def test_suppressed_and_duplicate_leads_do_not_wait(engine: Engine) -> None:
    known = {"fingerprint": b"f", "duplicate_days": 1, "refused_answer": "no"}
    waiting(engine, 1, **known)
    for number, why, more in ((2, "duplicate", {}), (3, "suppressed", {"suppressed_by": "dnc"})):
        taken = do(engine, take_unsold, a_lead(number, **known, **more), UNSOLD)
        assert isinstance(taken, Refused)
        assert taken.reason == why
        assert lead_of(engine, f"lead-{number}").answer == "no"
    assert do(engine, count_waiting) == 1
    assert isinstance(do(engine, take_lead, a_lead(4, **known), [an_offer("a")]), Refused)


def test_one_lead_of_a_ping(engine: Engine) -> None:
    waiting(engine)
    again = do(engine, take_unsold, a_lead(2, ping_id="ping-1"), UNSOLD)
    assert isinstance(again, AlreadyTaken)
    assert (again.lead_id, again.state, again.answer) == ("lead-1", "waiting", "told")


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("unsold", [UNSOLD, REFUSED])
def test_it_is_taken_back_without_a_trace(engine: Engine, written: bool, unsold: Unsold) -> None:
    lead = a_lead(1, fingerprint=b"f", duplicate_days=1, people=(b"p",))
    if written:
        do(engine, take_unsold, lead, unsold)
    do(engine, take_back_unsold, lead, unsold)
    with engine.connect() as conn:
        for table in (leads, waits, fingerprints, people):
            assert conn.execute(select(table)).all() == []


def test_one_that_was_offered_meanwhile_is_not_taken_back(engine: Engine) -> None:
    lead = waiting(engine)
    assert offered(engine)
    do(engine, take_back_unsold, lead, UNSOLD)
    assert lead_of(engine).state == "offered"
    other = waiting(engine, 2)
    do(engine, take_back_unsold, a_lead(3, ping_id=other.ping_id), UNSOLD)
    assert lead_of(engine, "lead-2").state == "waiting"


def test_it_is_offered_once(engine: Engine) -> None:
    waiting(engine)
    assert offered(engine)
    assert not offered(engine, "w3")
    lead = lead_of(engine)
    assert (lead.state, lead.worker, lead.plan, lead.updated_at_ms) == ("offered", "w2", b"plan", AT_MS + 70)
    assert [one.state for one in do(engine, offers_of, "lead-1")] == ["sent"]
    assert do(engine, count_waiting) == 0
    assert due(engine, AT_MS + 999) == []


def test_of_many_that_would_offer_it_one_does(engine: Engine) -> None:
    waiting(engine)
    barrier = Barrier(4)

    def race(worker: str) -> bool:
        barrier.wait()
        return offered(engine, worker)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(race, ("w1", "w2", "w3", "w4"))) == 1
    assert len(do(engine, offers_of, "lead-1")) == 1


def test_of_many_that_would_try_it_one_does(engine: Engine) -> None:
    waiting(engine)
    barrier = Barrier(4)

    def race(_: int) -> int:
        barrier.wait()
        return len(due(engine, AT_MS + 60))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(race, range(4))) == 1


def test_one_that_was_forgotten_is_not_offered(engine: Engine) -> None:
    waiting(engine, sealed=b"")
    assert not offered(engine)


def test_nothing_left_the_house_so_it_waits_again(engine: Engine) -> None:
    waiting(engine)
    again = partial(do, engine, wait_again, "lead-1", "solar-us")
    assert not again("w2", AT_MS + 70, AT_MS + 200, AT_MS + 1_000)  # it was never offered
    assert offered(engine)
    assert not again("w3", AT_MS + 70, AT_MS + 200, AT_MS + 1_000)  # it is another's
    assert again("w2", AT_MS + 70, AT_MS + 200, AT_MS + 1_000)
    assert lead_of(engine).state == "waiting"
    assert do(engine, offers_of, "lead-1") == []
    assert [one.lead_id for one in due(engine, AT_MS + 200)] == ["lead-1"]
    assert offered(engine, at_ms=AT_MS + 210)
    told = [one.state for one in do(engine, lead_history_of, "lead-1")]
    assert told == ["received", "waiting", "offered", "waiting", "offered"]


def test_an_earlier_offer_that_was_not_sent_takes_no_later_one_back(engine: Engine) -> None:
    waiting(engine)
    again = partial(do, engine, wait_again, "lead-1", "solar-us", "w2")
    assert offered(engine)
    assert again(AT_MS + 70, AT_MS + 200, AT_MS + 1_000)
    assert offered(engine, at_ms=AT_MS + 210)  # and this one may be on its way to its buyer
    assert not again(AT_MS + 70, AT_MS + 200, AT_MS + 1_000)
    assert lead_of(engine).state == "offered"
    assert [one.state for one in do(engine, offers_of, "lead-1")] == ["sent"]


def test_one_that_was_offered_and_refused_meanwhile_is_not_taken_back(engine: Engine) -> None:
    lead = waiting(engine)
    assert offered(engine)
    refused = Settlement(
        lead_id="lead-1", from_states=("offered",), state="rejected", at_ms=AT_MS + 90, answer="no"
    )
    do(engine, settle, refused)
    do(engine, take_back_unsold, lead, UNSOLD)
    assert lead_of(engine).state == "rejected"


def test_it_is_refused_once(engine: Engine) -> None:
    waiting(engine)
    settlement = Settlement(
        lead_id="lead-1",
        from_states=("waiting",),
        state="rejected",
        at_ms=AT_MS + 9,
        reason="old",
        answer="no",
    )
    do(engine, refuse_waiting, settlement)
    lead = lead_of(engine)
    assert (lead.state, lead.reason, lead.answer) == ("rejected", "old", "no")
    assert do(engine, count_waiting) == 0
    with pytest.raises(ImpossibleMove):
        do(engine, refuse_waiting, settlement)
    assert not offered(engine)


def test_what_has_opened_is_tried_sooner_but_not_at_once_again(engine: Engine) -> None:
    waiting(engine, 1)
    waiting(engine, 2, campaign="roofing")
    assert do(engine, hasten, {"roofing"}, AT_MS + 30, 10) == 1
    assert [one.lead_id for one in due(engine, AT_MS + 30)] == ["lead-2"]
    assert do(engine, hasten, {"roofing"}, AT_MS + 35, 10) == 1
    assert due(engine, AT_MS + 39) == []
    assert [one.lead_id for one in due(engine, AT_MS + 40)] == ["lead-2"]
    do(engine, hasten_one, "lead-1")
    assert [one.lead_id for one in due(engine, AT_MS + 41)] == ["lead-1"]
