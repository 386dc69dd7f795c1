"""The workers that share a ledger: each beats, all watch, and one that is silent is fenced.

Plain functions on a connection, as those of `leads`. No time is compared here: a beat is a number that moves, and
for how long it stood still, every watcher measures by its own clock.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from auction.ledger.records import Worker
from auction.ledger.schema import workers

MOST_WORKERS: Final = 4_096
"""How many rows a watcher reads at most, the oldest first: far more than a house has."""

_ONE = workers.c.id == bindparam("worker")
_REGISTER = insert(workers)
_BEAT = update(workers).where(_ONE, workers.c.fenced.is_(False)).values(beats=workers.c.beats + 1)
_ALL = select(workers).order_by(workers.c.id).limit(MOST_WORKERS)
_FENCE = (
    update(workers)
    .where(_ONE, workers.c.beats == bindparam("seen_beats"), workers.c.fenced.is_(False))
    .values(fenced=True)
)
_LEAVE = delete(workers).where(_ONE)


def register(conn: Connection, worker: Worker) -> None:
    """A worker begins: from now on it beats, and its leads are its own. Safe to do twice."""
    conn.execute(_LEAVE, {"worker": worker.id})
    conn.execute(_REGISTER, {name: getattr(worker, name) for name in worker.__struct_fields__})


def beat(conn: Connection, worker_id: str) -> bool:
    """It lives. False if it was fenced: its leads may be another's, and it is to write nothing under this name."""
    return conn.execute(_BEAT, {"worker": worker_id}).rowcount == 1


def all_workers(conn: Connection) -> list[Worker]:
    """Those that live, and those that were fenced and not forgotten yet; the eldest first."""
    return [Worker(**row) for row in conn.execute(_ALL).mappings()]


def fence(conn: Connection, worker_id: str, beats: int) -> bool:
    """Holds a worker for dead, unless it has beaten since (`beats` is what it was seen at). True for one of all
    that try."""
    return conn.execute(_FENCE, {"worker": worker_id, "seen_beats": beats}).rowcount == 1


def leave(conn: Connection, worker_id: str) -> None:
    """A worker ends well. Leads that it has in hand still can be taken over at once."""
    conn.execute(_LEAVE, {"worker": worker_id})
