"""Erases what is personal of leads and leaves the money: states, prices, payouts, sales and history stay as they are.

Plain functions on a connection, each one transaction's worth of work. A lead that is being sold is not touched: its
worker needs it. What a forgotten lead keeps is its place in the world: its ping cannot be posted again (P1), and
its answer, without what may name anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite

from auction.ledger.engine import is_postgresql
from auction.ledger.schema import (
    chores,
    erasures,
    fingerprints,
    lead_history,
    leads,
    offers,
    people,
    pings,
    postbacks,
)
from auction.ledger.waiting import hasten_one

IN_HAND: Final = ("received", "offered")
"""States of a lead that somebody is selling at this moment."""
FORGOTTEN: Final = b""
"""What `sealed` and `body_hash` of a forgotten lead are."""

_FOUND = select(people.c.lead_id).where(people.c.hash.in_(bindparam("hashes", expanding=True))).distinct()
_OLD = (
    select(leads.c.lead_id)
    .where(
        leads.c.created_at_ms < bindparam("before_ms"),
        func.length(leads.c.sealed) > 0,
        leads.c.state.not_in([literal_column(f"'{state}'") for state in (*IN_HAND, "pending")]),
    )
    .order_by(leads.c.created_at_ms)
    .limit(bindparam("most"))
)
_LOOK = (
    select(
        leads.c.lead_id,
        leads.c.ping_id,
        leads.c.campaign,
        leads.c.state,
        leads.c.answer,
        leads.c.created_at_ms,
        (func.length(leads.c.sealed) == 0).label("forgotten"),
    )
    .where(leads.c.lead_id.in_(bindparam("ids", expanding=True)))
    .order_by(leads.c.lead_id)
)
_FORGET = (
    update(leads)
    .where(leads.c.lead_id == bindparam("key"))
    .values(
        sealed=FORGOTTEN,
        body_hash=FORGOTTEN,
        ping_fields="{}",
        sub_id=None,
        plan=None,
        answer=bindparam("stripped"),
    )
)
_FORGET_PING = (
    update(pings)
    .where(pings.c.ping_id == bindparam("key"))
    .values(lead="{}", sub_id=None, detail=bindparam("quiet"))
)
_PING_DETAIL = select(pings.c.detail).where(pings.c.ping_id == bindparam("key"))
_FORGET_OFFERS = (
    update(offers)
    .where(offers.c.lead_id == bindparam("key"), offers.c.redirect_url.is_not(None))
    .values(redirect_url=None)
)
_FORGET_POSTBACKS = (
    update(postbacks)
    .where(postbacks.c.lead_id == bindparam("key"), postbacks.c.answer.is_not(None))
    .values(answer=None)
)
_HISTORY = insert(lead_history).values(
    lead_id=bindparam("key"),
    seq=select(func.coalesce(func.max(lead_history.c.seq), 0) + 1)
    .where(lead_history.c.lead_id == bindparam("key"))
    .scalar_subquery(),
    at_ms=bindparam("at_ms"),
    state=bindparam("state"),
    detail='{"reason":"forgotten"}',
)
_OLD_PINGS = (
    select(pings.c.ping_id)
    .where(pings.c.at_ms < bindparam("before_ms"))
    .order_by(pings.c.at_ms)
    .limit(bindparam("most"))
)


class Known(msgspec.Struct, frozen=True):
    """A lead that may be forgotten, as it stands."""

    lead_id: str
    ping_id: str
    campaign: str
    state: str
    created_at_ms: int
    forgotten: bool

    @property
    def in_hand(self) -> bool:
        """Whether it is being sold at this moment."""
        return self.state in IN_HAND


class Words(msgspec.Struct, frozen=True):
    """How to take what may name somebody out of an answer (of a lead) and out of a ping's detail."""

    answer: Callable[[str, str], str]
    detail: Callable[[bytes], bytes]


class Erased(msgspec.Struct, frozen=True):
    """How much was erased."""

    leads: int = 0
    pings: int = 0

    def __add__(self, other: Erased) -> Erased:
        return Erased(self.leads + other.leads, self.pings + other.pings)


def leads_of(conn: Connection, hashes: Sequence[bytes]) -> list[str]:
    """The leads in which a person with one of these hashes was named."""
    return [str(lead_id) for lead_id in conn.execute(_FOUND, {"hashes": list(hashes)}).scalars()]


def old_leads(conn: Connection, before_ms: int, most: int) -> list[str]:
    """Settled leads from before, that still hold personal data; oldest first."""
    return [str(lead_id) for lead_id in conn.execute(_OLD, {"before_ms": before_ms, "most": most}).scalars()]


def look_at(conn: Connection, lead_ids: Sequence[str]) -> list[Known]:
    """Those of these leads that there are."""
    return [_known(row) for row in conn.execute(_LOOK, {"ids": list(lead_ids)})]


def forget_leads(
    conn: Connection, lead_ids: Sequence[str], words: Words, at_ms: int, *, duplicates_too: bool
) -> Erased:
    """Erases what is personal of these leads and of their pings; one that is in hand, or was forgotten, stays as it is.

    `duplicates_too`: also what would recognise the same person as a duplicate (a keyed hash).
    """
    look = _LOOK.with_for_update() if is_postgresql(conn) else _LOOK
    erased = Erased()
    for row in conn.execute(look, {"ids": list(lead_ids)}).all():
        known = _known(row)
        if known.in_hand or known.forgotten:
            continue
        key = {"key": known.lead_id}
        stripped = None if row.answer is None else words.answer(known.lead_id, row.answer)
        conn.execute(_FORGET, {**key, "stripped": stripped})
        conn.execute(_FORGET_OFFERS, key)
        conn.execute(_FORGET_POSTBACKS, key)
        conn.execute(_HISTORY, {**key, "at_ms": at_ms, "state": known.state})
        hasten_one(conn, known.lead_id)  # it cannot be sold any more: so it is told at once
        conn.execute(delete(people).where(people.c.lead_id == known.lead_id))
        if duplicates_too:
            conn.execute(delete(fingerprints).where(fingerprints.c.lead_id == known.lead_id))
        erased += Erased(1, _forget_ping(conn, known.ping_id, words))
    return erased


def quiet_pings(conn: Connection, ping_ids: Sequence[str], words: Words) -> None:
    """The pings of forgotten leads once more: a row that stood in a worker's queue came after that."""
    for ping_id in ping_ids:
        _forget_ping(conn, ping_id, words)


def drop_old_pings(conn: Connection, before_ms: int, most: int) -> Erased:
    """Drops auctions from before out of the log, oldest first; what was sold in them stays with the leads."""
    ids = conn.execute(_OLD_PINGS, {"before_ms": before_ms, "most": most}).scalars().all()
    if ids:
        conn.execute(delete(pings).where(pings.c.ping_id.in_(ids)))
    return Erased(0, len(ids))


def record_erasure(conn: Connection, erasure_id: str, at_ms: int, asked: str, erased: Erased) -> None:
    """That something was erased: `asked` is lead, phone, email or age."""
    row = {"id": erasure_id, "at_ms": at_ms, "asked": asked, "leads": erased.leads, "pings": erased.pings}
    conn.execute(insert(erasures), row)


def take_chore(conn: Connection, name: str, holder: str, now_ms: int, for_ms: int) -> bool:
    """Whether `holder` may do this chore until `for_ms` from now: of all workers one at a time."""
    insert_or_not: Any = (postgresql.insert if is_postgresql(conn) else sqlite.insert)(chores)
    conn.execute(insert_or_not.values(name=name, holder=holder, until_ms=0).on_conflict_do_nothing())
    mine = (chores.c.holder == holder) | (chores.c.until_ms < now_ms) | (chores.c.until_ms > now_ms + for_ms)
    taken = conn.execute(
        update(chores).where(chores.c.name == name, mine).values(holder=holder, until_ms=now_ms + for_ms)
    )
    return taken.rowcount == 1


def leave_chore(conn: Connection, name: str, holder: str) -> None:
    """`holder` does not do this chore any more: another may begin at once."""
    conn.execute(update(chores).where(chores.c.name == name, chores.c.holder == holder).values(until_ms=0))


def _forget_ping(conn: Connection, ping_id: str, words: Words) -> int:
    detail = conn.execute(_PING_DETAIL, {"key": ping_id}).scalar()
    if detail is None:
        return 0
    conn.execute(_FORGET_PING, {"key": ping_id, "quiet": words.detail(detail)})
    return 1


def _known(row: Any) -> Known:
    return Known(row.lead_id, row.ping_id, row.campaign, row.state, row.created_at_ms, bool(row.forgotten))
