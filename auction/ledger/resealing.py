"""Seals again with the newest key what was sealed with an older one, so that the older one can be dropped.

In small batches, each a transaction of its own, beside a house that runs: a row that changes meanwhile is left to the
next pass. It can be stopped and started at any time; what is done is not looked at again.
"""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, bindparam, func, or_, select, update

from auction.errors import HouseError
from auction.ledger.engine import transaction
from auction.ledger.house_keys import reseal_hash_key
from auction.ledger.schema import leads
from auction.ledger.sealing import NAME_BYTES, Sealer

BATCH: Final = 200
PAUSE_S: Final = 0.01
"""Between batches: others write too."""
MOST_PASSES: Final = 5
_PREFIX: Final = NAME_BYTES * 8 // 6
"""So many characters of base64 are the key's name and nothing else."""

_IS_OLD = or_(
    (func.length(leads.c.sealed) > 0) & (func.substr(leads.c.sealed, 1, NAME_BYTES) != bindparam("name")),
    func.substr(leads.c.answer, 1, _PREFIX) != bindparam("prefix"),
)
_OLD = (
    select(leads.c.lead_id, leads.c.sealed, leads.c.answer)
    .where(leads.c.lead_id > bindparam("after"), _IS_OLD)
    .order_by(leads.c.lead_id)
    .limit(bindparam("most"))
)
_COUNT_OLD = select(func.count()).select_from(leads).where(_IS_OLD)
_SEALED = (
    update(leads)
    .where(leads.c.lead_id == bindparam("key"), leads.c.sealed == bindparam("was"))
    .values(sealed=bindparam("now"))
)
_ANSWER = (
    update(leads)
    .where(leads.c.lead_id == bindparam("key"), leads.c.answer == bindparam("was"))
    .values(answer=bindparam("now"))
)


class Resealed(msgspec.Struct, frozen=True):
    """What came of it: leads sealed again, leads that none of our keys opens, and what is left with older keys."""

    leads: int
    unopened: tuple[str, ...]
    left: int


def reseal(
    engine: Engine, sealer: Sealer, told: Callable[[int], object] = lambda _: None, pause_s: float = PAUSE_S
) -> Resealed:
    """Seals everything again. `told` hears after every batch how many leads were sealed so far. Blocks."""
    done, unopened = 0, dict[str, None]()
    with transaction(engine) as conn:
        reseal_hash_key(conn, sealer)
    for _ in range(MOST_PASSES):  # rows may be written with the older key while one runs
        before, after = done, ""
        while rows := _reseal_batch(engine, sealer, after):
            after = max(rows)
            unopened |= {lead_id: None for lead_id, opened in rows.items() if not opened}
            done += sum(rows.values())
            told(done)
            time.sleep(pause_s)
        if done == before:
            break
    with engine.connect() as conn:
        return Resealed(done, tuple(unopened), left_old(conn, sealer))


def left_old(conn: Connection, sealer: Sealer) -> int:
    """How many leads are sealed, in whole or in part, with another key than the newest."""
    return int(conn.execute(_COUNT_OLD, _names(sealer)).scalar_one())


def _reseal_batch(engine: Engine, sealer: Sealer, after: str) -> dict[str, bool]:
    """The next leads, and whether each could be opened."""
    with transaction(engine) as conn:
        rows = conn.execute(_OLD, {**_names(sealer), "after": after, "most": BATCH}).all()
        return {row.lead_id: _reseal_one(conn, sealer, row) for row in rows}


def _names(sealer: Sealer) -> dict[str, Any]:
    return {"name": sealer.name, "prefix": b64encode(sealer.name).decode()[:_PREFIX]}


def _reseal_one(conn: Connection, sealer: Sealer, row: Any) -> bool:
    """False if one of its parts opens with none of our keys."""
    try:
        if row.sealed:
            about = row.lead_id.encode()
            now = sealer.seal(sealer.open(row.sealed, about), about)
            conn.execute(_SEALED, {"key": row.lead_id, "was": row.sealed, "now": now})
        if row.answer is not None:
            about = f"answer:{row.lead_id}".encode()
            fresh = b64encode(sealer.seal(sealer.open(b64decode(row.answer), about), about)).decode()
            conn.execute(_ANSWER, {"key": row.lead_id, "was": row.answer, "now": fresh})
    except HouseError:
        return False
    return True
