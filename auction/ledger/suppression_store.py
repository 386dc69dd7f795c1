"""Suppression lists in the ledger: runs of prints by bucket, a version a list.

A change is a draft of its own until it is whole: written in short transactions, so that nobody waits for a list of
millions, and true with its last one. Until then, and if it never comes to that, every reader sees the version before.
Of two changes at once the one that began last can end, the other is told to begin again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from sqlalchemy import Connection, Delete, Engine, bindparam, delete, func, insert, select, update

from auction.errors import OperatorError
from auction.ledger.engine import is_postgresql, transaction
from auction.ledger.schema import suppression_lists, suppression_runs

BUCKETS: Final = 256
RUNS_AT_ONCE: Final = 8
"""Runs written in one transaction: a quarter of a megabyte of a list of a million."""


class ListState(msgspec.Struct, frozen=True):
    """A list as it stands: its version, the last draft that was begun, the form of its hashes, its entries."""

    list_id: str
    version: int
    drafted: int
    form: str
    entries: int
    changed_at_ms: int


_LOCK: Final = 0x0A0C_71_5C
_STATES = (
    select(suppression_lists).where(suppression_lists.c.version > 0).order_by(suppression_lists.c.list_id)
)
_RUN = select(suppression_runs.c.prints).where(
    suppression_runs.c.list_id == bindparam("list_id"),
    suppression_runs.c.version == bindparam("version"),
    suppression_runs.c.bucket == bindparam("bucket"),
)


def states(conn: Connection) -> dict[str, ListState]:
    """Every list that has entries, or had."""
    return {row.list_id: ListState(**row._mapping) for row in conn.execute(_STATES)}


def state_of(conn: Connection, list_id: str) -> ListState | None:
    """One list; None if nothing was ever loaded into it."""
    return states(conn).get(list_id)


def run_of(conn: Connection, state: ListState, bucket: int) -> bytes:
    """One run of a list."""
    wanted = {"list_id": state.list_id, "version": state.version, "bucket": bucket}
    return conn.execute(_RUN, wanted).scalar_one_or_none() or b""


def runs(conn: Connection, state: ListState) -> Iterator[bytes]:
    """The runs of a list in the order of their buckets."""
    for bucket in range(BUCKETS):
        yield run_of(conn, state, bucket)


def replace_runs(
    engine: Engine,
    list_id: str,
    form: str,
    changed: Mapping[int, bytes],
    at_ms: int,
    *,
    keep_rest: bool,
    expected: ListState | None = None,
) -> ListState:
    """A new version of a list, of these runs by bucket, and with `keep_rest` those of the version before.

    `expected` is the version that the runs were made from. Raises `OperatorError` where the list is kept in another
    form, or was changed by somebody else meanwhile.
    """
    before = _begin(engine, list_id, form, whole=not keep_rest)
    if keep_rest and before.version != (expected.version if expected else 0):
        raise _changed(list_id)
    buckets = [bucket for bucket in range(BUCKETS) if bucket in changed or keep_rest]
    for at in range(0, len(buckets), RUNS_AT_ONCE):
        with transaction(engine) as conn:
            for bucket in buckets[at : at + RUNS_AT_ONCE]:
                wanted = {"list_id": list_id, "version": before.version, "bucket": bucket}
                run = (
                    changed[bucket] if bucket in changed else conn.execute(_RUN, wanted).scalar_one_or_none()
                )
                if run:
                    conn.execute(
                        insert(suppression_runs), {**wanted, "version": before.drafted, "prints": run}
                    )
    return _end(engine, before, form, at_ms)


def _begin(engine: Engine, list_id: str, form: str, *, whole: bool) -> ListState:
    """A new draft. What drafts that never ended left behind goes."""
    known = select(suppression_lists).where(suppression_lists.c.list_id == list_id)
    fresh = {"list_id": list_id, "version": 0, "drafted": 0, "form": form, "entries": 0, "changed_at_ms": 0}
    with transaction(engine) as conn:
        if is_postgresql(conn):
            conn.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        if conn.execute(known).first() is None:
            conn.execute(insert(suppression_lists), fresh)
        conn.execute(
            update(suppression_lists)
            .where(suppression_lists.c.list_id == list_id)
            .values(drafted=suppression_lists.c.drafted + 1)
        )
        begun = ListState(**conn.execute(known).one()._mapping)
        if begun.form != form and begun.entries and not whole:
            raise OperatorError(
                "other_form",
                f"list {list_id} is kept as {begun.form}: load {begun.form}, or replace it whole",
            )
        conn.execute(_drafts(list_id, other_than=begun.version))
    return begun


def _end(engine: Engine, begun: ListState, form: str, at_ms: int) -> ListState:
    """The draft holds from now on. The old runs go: readers have the file that they made of them."""
    list_id, version = begun.list_id, begun.drafted
    with transaction(engine) as conn:
        size = func.octet_length if is_postgresql(conn) else func.length
        of_draft = (suppression_runs.c.list_id == list_id, suppression_runs.c.version == version)
        total = conn.execute(select(func.sum(size(suppression_runs.c.prints))).where(*of_draft)).scalar_one()
        after = ListState(list_id, version, version, form, int(total or 0) // 8, at_ms)
        of_list = (suppression_lists.c.list_id == list_id, suppression_lists.c.drafted == version)
        values = {"version": version, "form": form, "entries": after.entries, "changed_at_ms": at_ms}
        if conn.execute(update(suppression_lists).where(*of_list).values(values)).rowcount != 1:
            raise _changed(list_id)
        conn.execute(_drafts(list_id, other_than=version))
    return after


def _drafts(list_id: str, other_than: int) -> Delete:
    return delete(suppression_runs).where(
        suppression_runs.c.list_id == list_id, suppression_runs.c.version != other_than
    )


def _changed(list_id: str) -> OperatorError:
    return OperatorError("list_changed", f"list {list_id} was changed meanwhile: load it again")
