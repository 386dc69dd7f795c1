"""Postbacks on their way: due in time, in each lead's order at each endpoint, done once, sent again when asked."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine

from auction.ledger.engine import open_engine, transaction
from auction.ledger.forgetting import Words, forget_leads
from auction.ledger.outbox import Event, events_of, mark_addressed, new_events
from auction.ledger.postbacks import (
    Tried,
    address,
    any_unfinished,
    count_unfinished,
    due_endpoints,
    due_postbacks,
    give_up_overdue,
    list_postbacks,
    record_try,
    send_again,
)
from tests.ledger.rows import AT_MS
from tests.ledger.told import later, let_hear, move, sell

ONE, TWO = "acme:1", "acme:2"
GOOD = Tried(state="delivered", status=200, answer="ok")


def a_told_lead(engine: Engine, number: int = 1, endpoints: tuple[str, ...] = (ONE,)) -> list[Event]:
    """Sold, delivered, converted, each addressed."""
    let_hear(engine, "acme")
    sell(engine, number)
    move(engine, later(number, "delivered"))
    move(engine, later(number, "converted", detail={"value": 80}))
    with transaction(engine) as conn:
        while found := new_events(conn, 10):
            for one in found:
                address(conn, one, endpoints, AT_MS)
            mark_addressed(conn, found, AT_MS)
        return events_of(conn, f"lead-{number}")


def states(engine: Engine, endpoint: str = ONE) -> list[str]:
    with engine.connect() as conn:
        return [one.state for one in list_postbacks(conn, 100) if one.endpoint == endpoint]


def try_next(engine: Engine, tried: Tried, endpoint: str = ONE, at_ms: int = AT_MS) -> str:
    """The first that is due is tried, with this outcome; says which event it was."""
    with transaction(engine) as conn:
        due = due_postbacks(conn, endpoint, at_ms, 10)[0]
        assert record_try(conn, due, tried, at_ms)
        return due.event_id


def test_what_is_due_has_all_that_is_told(engine: Engine) -> None:
    a_told_lead(engine)
    with engine.connect() as conn:
        assert any_unfinished(conn)
        assert due_endpoints(conn, AT_MS) == [ONE]
        assert due_endpoints(conn, AT_MS - 1) == []
        (due,) = due_postbacks(conn, ONE, AT_MS, 10)
        assert due_postbacks(conn, ONE, AT_MS - 1, 10) == []
        assert due_postbacks(conn, TWO, AT_MS, 10) == []
    assert (due.event_id, due.state, due.tries, due.payout_micros) == ("lead-1-3", "sold", 0, 25_200_000)
    assert (due.ping_id, due.campaign, due.test, due.sealed) == ("ping-1", "solar-us", False, b"sealed")


def test_an_event_waits_for_the_one_before(engine: Engine) -> None:
    a_told_lead(engine, endpoints=(ONE, TWO))
    assert states(engine) == ["waiting", "behind", "behind"]
    again = Tried(state="waiting", next_at_ms=AT_MS + 5_000, status=500)
    assert try_next(engine, again) == "lead-1-3"
    assert states(engine) == ["waiting", "behind", "behind"]
    with engine.connect() as conn:
        assert due_postbacks(conn, ONE, AT_MS, 10) == []
    assert try_next(engine, GOOD, at_ms=AT_MS + 5_000) == "lead-1-3"
    assert states(engine) == ["delivered", "waiting", "behind"]
    assert try_next(engine, Tried(state="given_up", status=410), at_ms=AT_MS + 5_000) == "lead-1-4"
    assert states(engine) == ["delivered", "given_up", "waiting"]
    assert states(engine, TWO) == ["waiting", "behind", "behind"], "another endpoint is another matter"
    assert try_next(engine, GOOD, at_ms=AT_MS + 5_000) == "lead-1-5"
    with engine.connect() as conn:
        assert count_unfinished(conn) == (3, AT_MS)
        first = list_postbacks(conn, 100, lead_id="lead-1")[0]
    assert (first.tries, first.status, first.answer, first.last_at_ms) == (2, 200, "ok", AT_MS + 5_000)


def test_a_try_counts_once(engine: Engine) -> None:
    a_told_lead(engine)
    with transaction(engine) as conn:
        (due,) = due_postbacks(conn, ONE, AT_MS, 10)
        assert record_try(conn, due, GOOD, AT_MS)
        assert not record_try(conn, due, GOOD, AT_MS)
        assert not record_try(conn, due, Tried(state="given_up"), AT_MS)
    assert states(engine) == ["delivered", "waiting", "behind"]


def test_an_event_is_addressed_once(engine: Engine) -> None:
    told = a_told_lead(engine)
    with transaction(engine) as conn:
        assert address(conn, told[0], [ONE], AT_MS) == 0
        assert address(conn, told[0], [ONE, TWO], AT_MS) == 1


def test_it_is_sent_again_in_order(engine: Engine) -> None:
    told = a_told_lead(engine)
    with transaction(engine) as conn:
        assert send_again(conn, told[0], [ONE], AT_MS) == 0, "it is on its way"
    for _ in told:
        try_next(engine, Tried(state="given_up", status=500, error="x"))
    with transaction(engine) as conn:
        assert sum(send_again(conn, one, [ONE, TWO], AT_MS + 9) for one in told) == 6
    assert states(engine) == states(engine, TWO) == ["waiting", "behind", "behind"]
    assert [try_next(engine, GOOD, at_ms=AT_MS + 9) for _ in told] == ["lead-1-3", "lead-1-4", "lead-1-5"]
    with engine.connect() as conn:
        one = list_postbacks(conn, 100)[0]
        assert (one.tries, one.error) == (1, None), "it is counted anew"
        assert not due_postbacks(conn, ONE, AT_MS + 99, 10)


def test_what_waits_for_its_next_try_can_be_sent_now(engine: Engine) -> None:
    told = a_told_lead(engine)
    try_next(engine, Tried(state="waiting", next_at_ms=AT_MS + 99_000, status=500))
    with transaction(engine) as conn:
        assert due_postbacks(conn, ONE, AT_MS + 1, 10) == []
        assert [send_again(conn, one, [ONE], AT_MS + 1) for one in told] == [1, 0, 0]
        (due,) = due_postbacks(conn, ONE, AT_MS + 1, 10)
    assert (due.event_id, due.tries) == ("lead-1-3", 1)
    assert states(engine) == ["waiting", "behind", "behind"]


def test_what_waits_too_long_for_its_turn_is_given_up(engine: Engine) -> None:
    a_told_lead(engine, 1)
    a_told_lead(engine, 2)
    with transaction(engine) as conn:
        assert give_up_overdue(conn, ONE, AT_MS, "overdue", AT_MS + 5, 10) == 0
        assert give_up_overdue(conn, TWO, AT_MS + 1, "overdue", AT_MS + 5, 10) == 0
        assert give_up_overdue(conn, ONE, AT_MS + 1, "overdue", AT_MS + 5, 1) == 1
        assert give_up_overdue(conn, ONE, AT_MS + 1, "overdue", AT_MS + 5, 10) == 1
        assert [one.error for one in list_postbacks(conn, 100, state="given_up")] == ["overdue", "overdue"]
        assert len(due_postbacks(conn, ONE, AT_MS + 5, 10)) == 2, "the next of each lead may try"
        assert give_up_overdue(conn, ONE, AT_MS + 1, "overdue", AT_MS + 9, 10) == 0, "it did not wait so long"


def test_the_list_is_by_what_is_asked_for(engine: Engine) -> None:
    a_told_lead(engine, 1)
    a_told_lead(engine, 2)
    try_next(engine, Tried(state="given_up", status=500))
    with engine.connect() as conn:
        assert len(list_postbacks(conn, 100)) == 6
        latest = list_postbacks(conn, 2)
        assert [one.event_id for one in latest] == ["lead-2-4", "lead-2-5"]
        assert {one.lead_id for one in list_postbacks(conn, 100, lead_id="lead-2")} == {"lead-2"}
        assert list_postbacks(conn, 100, seller="globex") == []
        assert len(list_postbacks(conn, 100, seller="acme")) == 6
        (failed,) = list_postbacks(conn, 100, state="given_up")
        assert (failed.event_id, failed.told, failed.status) == ("lead-1-3", "sold", 500)


def test_nothing_is_left_behind_by_two_at_once(ledger_url: str, engine: Engine) -> None:
    """One addresses an event while another is done with the one before it."""
    let_hear(engine, "acme")
    for number in range(20):
        sell(engine, number)
        move(engine, later(number, "delivered"))
    with transaction(engine) as conn:
        first = new_events(conn, 100)
        for one in first:
            address(conn, one, [ONE], AT_MS)
        mark_addressed(conn, first, AT_MS)
        dues = due_postbacks(conn, ONE, AT_MS, 100)
        second = new_events(conn, 100)
    other, ready, wrong = open_engine(ledger_url), threading.Barrier(2), []

    def address_second() -> None:
        try:
            for one in second:
                ready.wait(10)
                with transaction(other) as conn:
                    address(conn, one, [ONE], AT_MS)
        except Exception as error:
            wrong.append(error)

    beside = threading.Thread(target=address_second)
    beside.start()
    by_lead = {due.lead_id: due for due in dues}
    for one in second:
        ready.wait(10)
        with transaction(engine) as conn:
            record_try(conn, by_lead[one.lead_id], GOOD, AT_MS)
    beside.join(10)
    other.dispose()
    assert wrong == []
    assert states(engine).count("waiting") == 20
    assert "behind" not in states(engine)


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_is_read_than_asked_for(engine: Engine, most: int) -> None:
    for number in range(4):
        a_told_lead(engine, number)
    with engine.connect() as conn:
        assert len(due_postbacks(conn, ONE, AT_MS, most)) == most


def test_of_a_lead_that_was_forgotten_meanwhile_no_answer_is_kept(engine: Engine) -> None:
    a_told_lead(engine)
    with transaction(engine) as conn:
        due = due_postbacks(conn, ONE, AT_MS, 10)[0]
        forget_leads(conn, [due.lead_id], Words(lambda _, kept: kept, bytes), AT_MS, duplicates_too=True)
        assert record_try(conn, due, GOOD, AT_MS)
        told = [(one.state, one.status, one.answer) for one in list_postbacks(conn, 10) if one.seq == due.seq]
    assert told == [("delivered", 200, None)]
