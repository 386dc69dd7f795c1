"""A ledger with leads in it learns a state more, and forgets nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

import auction.ledger.migrations as migrations
from auction.ledger.engine import open_engine, transaction
from auction.ledger.migrations import upgrade

BEFORE = "0011"
LEAD = (
    "INSERT INTO leads (lead_id, ping_id, seller, campaign, test, state, payout_micros, created_at_ms,"
    " updated_at_ms, market_version, ping_fields, sealed, body_hash, worker)"
    " VALUES (:id, :id, 's', 'c', :test, :state, 0, 1, 1, 1, '{}', :sealed, :sealed, 'w')"
)


def lead(state: str) -> dict[str, object]:
    return {"id": f"lead-{state}", "state": state, "test": False, "sealed": b"x"}


def test_leads_may_wait_afterwards(empty_url: str) -> None:
    engine = open_engine(empty_url)
    with transaction(engine) as conn:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = conn
        command.upgrade(config, BEFORE)
    with transaction(engine) as conn:
        conn.execute(text(LEAD), lead("sold"))
    with pytest.raises(IntegrityError), transaction(engine) as conn:
        conn.execute(text(LEAD), lead("waiting"))
    upgrade(engine)
    with transaction(engine) as conn:
        conn.execute(text(LEAD), lead("waiting"))
    with pytest.raises(IntegrityError), transaction(engine) as conn:
        conn.execute(text(LEAD), lead("lost"))
    engine.dispose()
    again = open_engine(empty_url)
    with again.connect() as conn:
        states = conn.execute(text("SELECT state FROM leads ORDER BY state")).scalars().all()
        assert states == ["sold", "waiting"]
        if again.dialect.name == "sqlite":
            assert conn.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    again.dispose()
