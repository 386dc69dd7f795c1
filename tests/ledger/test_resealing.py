"""Sealing again: all of it, with the newest key, whatever else is written meanwhile."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from sqlalchemy import Engine, update

from auction.ledger import resealing
from auction.ledger.engine import transaction
from auction.ledger.lead_queries import find_lead
from auction.ledger.leads import settle
from auction.ledger.resealing import Resealed, left_old, reseal
from auction.ledger.schema import leads
from auction.ledger.sealing import KEY_BYTES, Sealer
from auction.ledger.taking import take_lead
from tests.ledger.rows import a_lead, an_offer, sold

OLD, NEW, LOST = b"o" * KEY_BYTES, b"n" * KEY_BYTES, b"l" * KEY_BYTES


def answer_of(lead_id: str) -> bytes:
    return f"answer:{lead_id}".encode()


def write(engine: Engine, sealer: Sealer, numbers: range) -> None:
    """Leads of which every other one has an answer."""
    with transaction(engine) as conn:
        for number in numbers:
            lead_id = f"lead-{number}"
            sealed = sealer.seal(b"person %d" % number, lead_id.encode())
            take_lead(conn, a_lead(number, sealed=sealed), [an_offer()])
            if number % 2:
                answer = b64encode(sealer.seal(b"answer %d" % number, answer_of(lead_id))).decode()
                settle(conn, sold(number, answer=answer))


def assert_all_open(engine: Engine, sealer: Sealer, numbers: range) -> None:
    with engine.connect() as conn:
        for number in numbers:
            lead = find_lead(conn, f"lead-{number}")
            assert lead is not None
            assert sealer.open(lead.sealed, lead.lead_id.encode()) == b"person %d" % number
            assert (lead.answer is not None) == bool(number % 2)
            if lead.answer is not None:
                assert sealer.open(b64decode(lead.answer), answer_of(lead.lead_id)) == b"answer %d" % number


def test_everything_opens_with_the_new_key_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resealing, "BATCH", 7)
    write(engine, Sealer([OLD]), range(40))
    both = Sealer([NEW, OLD])
    write(engine, both, range(40, 45))
    with transaction(engine) as conn:  # one that was forgotten
        conn.execute(update(leads).where(leads.c.lead_id == "lead-44").values(sealed=b""))
        assert left_old(conn, both) == 40
    told: list[int] = []
    assert reseal(engine, both, told.append, 0) == Resealed(40, (), 0)
    assert told == [7, 14, 21, 28, 35, 40]
    assert_all_open(engine, Sealer([NEW]), range(44))
    assert reseal(engine, both, pause_s=0) == Resealed(0, (), 0)


def test_it_goes_on_where_it_was_stopped(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resealing, "BATCH", 5)
    write(engine, Sealer([OLD]), range(12))
    both = Sealer([NEW, OLD])

    def stop(done: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reseal(engine, both, stop, 0)
    assert reseal(engine, both, pause_s=0) == Resealed(2, (), 0)
    assert_all_open(engine, Sealer([NEW]), range(12))


def test_what_is_written_with_the_older_key_meanwhile_is_found_too(engine: Engine) -> None:
    write(engine, Sealer([OLD]), range(3))
    both = Sealer([NEW, OLD])
    more = iter([range(3, 5), range(5, 6)])

    def another_worker(_: int) -> None:
        for numbers in more:
            write(engine, Sealer([OLD]), numbers)
            return

    assert reseal(engine, both, another_worker, 0).left == 0
    assert_all_open(engine, Sealer([NEW]), range(6))


def test_what_no_key_opens_is_named_and_left(engine: Engine) -> None:
    write(engine, Sealer([LOST]), range(2))
    write(engine, Sealer([OLD]), range(2, 4))
    assert reseal(engine, Sealer([NEW, OLD]), pause_s=0) == Resealed(2, ("lead-0", "lead-1"), 2)
    assert reseal(engine, Sealer([NEW, OLD, LOST]), pause_s=0) == Resealed(2, (), 0)
