"""The order in which things start does not matter: a store that is not up yet is waited for, within a bound.

Only for a store that is *away*: one that is there and does not take us (a wrong password, no such database) is the
operator's to mend, and is said at once. This waits before we listen: no client is taken in that nobody can serve.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from auction import log
from auction.counters.link import Link
from auction.errors import HouseError, OperatorError
from auction.ledger.engine import is_postgresql, open_engine
from auction.ledger.faults import is_away
from auction.settings import Settings

PAUSE_S = 0.25
CONNECT_MS = 2_000
_COMING = ("starting up", "shutting down", "recovery", "too many clients", "remaining connection slots")
"""What a PostgreSQL says that will take us soon; any other refusal of a connection is for good."""


def wait_for_stores(settings: Settings, between: Callable[[], None]) -> None:
    """Returns when the stores that were named answer; at the latest after `start_within_ms`: what is wrong with them
    is then told by whoever needs them. `between` is called between two looks, and may raise.
    """
    until_s = time.monotonic() + settings.start_within_ms / 1000
    for store, look in (("ledger", _ledger_away), ("counters", _counters_away)):
        said = False
        while time.monotonic() < until_s and (why := look(settings)) is not None:
            if not said:
                log.warning("waiting_for_store", store=store, why=why, within_ms=settings.start_within_ms)
                said = True
            time.sleep(PAUSE_S)
            between()


def _ledger_away(settings: Settings) -> str | None:
    """Why the ledger does not answer yet. (SQLite is a file: there is nothing to wait for.)"""
    engine = open_engine(settings.ledger_url)
    if not is_postgresql(engine):
        return None
    try:
        with engine.connect() as conn:
            conn.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error)
        refused = "FATAL" in said and not any(coming in said for coming in _COMING)
        return said.strip().splitlines()[0] if is_away(error) and not refused else None
    finally:
        engine.dispose()
    return None


def _counters_away(settings: Settings) -> str | None:
    """Why Redis does not answer yet. (The embedded Valkey is started by us.)"""
    return None if settings.redis_url is None else asyncio.run(_no_link(settings.redis_url))


async def _no_link(url: str) -> str | None:
    link = Link(url)
    try:
        await link.open(within_ms=CONNECT_MS)
    except OperatorError:
        return None
    except HouseError as error:
        return str(error)
    finally:
        await link.close()
    return None
