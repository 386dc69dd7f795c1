"""An intent of which it is not known whether it was written is taken back, and nothing else is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace
from sqlalchemy import Engine

from auction.ledger.engine import transaction, writing
from auction.ledger.lead_queries import find_lead_by_ping, offers_of
from auction.ledger.leads import settle
from auction.ledger.records import Lead, NewLead, OfferResult, Refused, Settlement, Taken
from auction.ledger.taking import take_back, take_lead
from tests.ledger.rows import AT_MS, a_lead, an_offer

OFFERS = [an_offer("sunrise-tx")]
OURS = replace(a_lead(), fingerprint=b"same", duplicate_days=30, refused_answer="{}")


def take(engine: Engine, lead: NewLead) -> object:
    with transaction(engine) as conn:
        return take_lead(conn, lead, OFFERS)


def undo(engine: Engine, lead: NewLead = OURS) -> None:
    with transaction(engine) as conn:
        take_back(conn, lead, OFFERS)


def lead_of_ping(engine: Engine) -> Lead | None:
    with engine.connect() as conn:
        return find_lead_by_ping(conn, OURS.ping_id)


def test_one_that_was_written_and_one_that_was_not(engine: Engine) -> None:
    undo(engine)
    assert lead_of_ping(engine) is None
    take(engine, OURS)
    undo(engine)
    undo(engine)
    assert lead_of_ping(engine) is None
    with engine.connect() as conn:
        assert offers_of(conn, OURS.lead_id) == []
    assert take(engine, OURS) == Taken(lead_id=OURS.lead_id), "nor is its fingerprint there"


def test_another_lead_of_the_ping_stays(engine: Engine) -> None:
    other = replace(OURS, lead_id="lead-2")
    take(engine, other)
    undo(engine)
    lead = lead_of_ping(engine)
    assert lead is not None
    assert (lead.lead_id, lead.state) == ("lead-2", "offered")


def test_one_that_is_a_duplicate_goes_and_its_original_stays(engine: Engine) -> None:
    original = replace(OURS, lead_id="lead-0", ping_id="ping-0")
    take(engine, original)
    undo(engine)
    assert lead_of_ping(engine) is None
    assert isinstance(take(engine, OURS), Refused), "the original stands"


def test_a_lead_that_went_on_stays(engine: Engine) -> None:
    """Never so by the one who owes this; but whoever settled it had his reasons."""
    take(engine, OURS)
    result = OfferResult(order_id="sunrise-tx", state="unknown", answered_at_ms=AT_MS)
    with transaction(engine) as conn:
        settle(
            conn,
            Settlement(
                lead_id=OURS.lead_id,
                from_states=("offered",),
                state="pending",
                at_ms=AT_MS,
                results=(result,),
            ),
        )
    undo(engine)
    lead = lead_of_ping(engine)
    assert lead is not None
    assert lead.state == "pending"


def test_one_whose_commit_is_still_on_its_way_is_waited_for(engine: Engine) -> None:
    """The first transaction has written and not committed: the second waits for it, and then takes it back."""
    with ThreadPoolExecutor(1) as thread:
        with writing(engine).begin() as first:
            take_lead(first, OURS, OFFERS)
            second = thread.submit(undo, engine)
            # it cannot end before we do: it waits for SQLite's one lock, or for the ping's unique key
            assert not second.done()
        second.result(10)
    assert lead_of_ping(engine) is None
