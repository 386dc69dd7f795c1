"""Sellers that hear, leads that moved, and what stands in the outbox."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, select

from auction.ledger import catalogue_store
from auction.ledger.engine import transaction
from auction.ledger.leads import settle
from auction.ledger.records import NewLead, Settlement
from auction.ledger.schema import outbox
from auction.ledger.taking import take_lead
from tests.ledger.rows import AT_MS, a_lead, an_offer, sold


def let_hear(engine: Engine, *sellers: str, deaf: tuple[str, ...] = ()) -> None:
    """The catalogue has these sellers, and the `deaf` have no postbacks."""
    documents: dict[tuple[str, str], dict[str, Any]] = {
        ("seller", name): {"id": name, "postbacks": [{"url": "https://t.example"}]} for name in sellers
    }
    documents |= {
        ("seller", name): {"id": name, "name": 'calls its "postbacks":[ so', "paused": True} for name in deaf
    }
    with transaction(engine) as conn:
        catalogue_store.apply(conn, documents, AT_MS, "test")


def move(engine: Engine, settlement: Settlement) -> None:
    with transaction(engine) as conn:
        settle(conn, settlement)


def take(engine: Engine, lead: NewLead | None = None) -> None:
    with transaction(engine) as conn:
        take_lead(conn, lead or a_lead(), [an_offer()])


def sell(engine: Engine, number: int | str = 1) -> None:
    """A lead that comes in and is sold."""
    take(engine, a_lead(number))
    move(engine, sold(number))


def later(number: int | str, state: str, **more: Any) -> Settlement:
    """A move that a buyer told."""
    known: dict[str, Any] = {
        "lead_id": f"lead-{number}",
        "from_states": ("sold", "delivered", "converted"),
        "state": state,
        "at_ms": AT_MS + 60_000,
    }
    return Settlement(**(known | more))


def events(engine: Engine) -> list[tuple[Any, ...]]:
    """(lead, seq, state, payout) of everything in the outbox."""
    with engine.connect() as conn:
        found = conn.execute(select(outbox).order_by(outbox.c.lead_id, outbox.c.seq))
        return [(row.lead_id, row.seq, row.state, row.payout_micros) for row in found]
