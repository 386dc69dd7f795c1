"""Postbacks: events of the outbox on their way, one row for each endpoint, and how that went.

Plain functions on a connection. A row is `waiting` for its time, or `behind` an earlier event of its lead that the same
endpoint has not got yet; it ends `delivered` or `given_up`. So an endpoint hears of a lead in the order of what
happened, however long one event takes, and no lead waits for another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    Connection,
    Select,
    Text,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)

from auction.ledger.engine import is_postgresql
from auction.ledger.outbox import Event, event_id
from auction.ledger.schema import lead_history, leads, outbox, postbacks
from auction.ledger.statement import words

State = Literal["behind", "waiting", "delivered", "given_up"]

_KEY = (
    postbacks.c.lead_id == bindparam("of_lead"),
    postbacks.c.seq == bindparam("of_seq"),
    postbacks.c.endpoint == bindparam("of_endpoint"),
)
_unfinished = postbacks.c.state.in_(words(("behind", "waiting")))
_waiting = postbacks.c.state == literal_column("'waiting'")
_LOCK = (
    select(outbox.c.seq)
    .where(outbox.c.lead_id == bindparam("of_lead"))
    .order_by(outbox.c.seq)
    .with_for_update()
)
_AN_EARLIER = select(
    exists().where(
        postbacks.c.lead_id == bindparam("of_lead"),
        postbacks.c.endpoint == bindparam("of_endpoint"),
        postbacks.c.seq < bindparam("of_seq"),
        _unfinished,
    )
)
_INSERT = insert(postbacks)
_STATE = select(postbacks.c.state).where(*_KEY)
_ANSWER = (
    select(bindparam("to_answer", type_=Text))
    .where(leads.c.lead_id == bindparam("of_lead"), func.length(leads.c.sealed) > 0)
    .scalar_subquery()
)
"""What an endpoint said, unless the lead was forgotten while it was asked."""
_FINISH = (
    update(postbacks)
    .where(*_KEY, _waiting)
    .values(
        state=bindparam("to_state"),
        tries=postbacks.c.tries + 1,
        next_at_ms=bindparam("to_next_at_ms"),
        last_at_ms=bindparam("at_ms"),
        status=bindparam("to_status"),
        error=bindparam("to_error"),
        answer=_ANSWER,
    )
)
_GIVE_UP = (
    update(postbacks)
    .where(*_KEY, _waiting)
    .values(state="given_up", next_at_ms=None, last_at_ms=bindparam("at_ms"), error=bindparam("to_error"))
)
_NEXT_BEHIND = select(func.min(postbacks.c.seq)).where(
    postbacks.c.lead_id == bindparam("of_lead"), postbacks.c.endpoint == bindparam("of_endpoint"), _unfinished
)
_RELEASE = (
    update(postbacks)
    .where(*_KEY, postbacks.c.state == literal_column("'behind'"))
    .values(state="waiting", since_ms=bindparam("at_ms"), next_at_ms=bindparam("at_ms"))
)
_AGAIN = (
    update(postbacks)
    .where(*_KEY, ~_unfinished)
    .values(
        state=bindparam("to_state"),
        tries=0,
        since_ms=bindparam("at_ms"),
        next_at_ms=bindparam("to_next_at_ms"),
        error=None,
    )
)
_SOONER = (
    update(postbacks)
    .where(*_KEY, _waiting, postbacks.c.next_at_ms > bindparam("at_ms"))
    .values(next_at_ms=bindparam("at_ms"))
)
_ANY_UNFINISHED = select(exists().where(_unfinished))
_ENDPOINTS = (
    select(postbacks.c.endpoint, func.min(postbacks.c.next_at_ms).label("next_at_ms"))
    .where(_unfinished)
    .group_by(postbacks.c.endpoint)
)
_WAITING_STATS = select(func.count(), func.min(postbacks.c.since_ms)).where(_unfinished)
_OVERDUE = (
    select(postbacks.c.lead_id, postbacks.c.seq)
    .where(
        _unfinished,
        _waiting,
        postbacks.c.endpoint == bindparam("endpoint"),
        postbacks.c.next_at_ms <= bindparam("now_ms"),
        postbacks.c.since_ms < bindparam("before_ms"),
    )
    .limit(bindparam("most"))
)


def _listing() -> Select[Any]:
    of_event = (outbox.c.seller, outbox.c.at_ms, outbox.c.state.label("told"))
    of_row = [column for column in postbacks.c if column.name != "since_ms"]
    return select(*of_event, *of_row).join(
        outbox, (outbox.c.lead_id == postbacks.c.lead_id) & (outbox.c.seq == postbacks.c.seq)
    )


def _due() -> Select[Any]:
    of_lead = ("ping_id", "campaign", "sub_id", "test", "ping_fields", "sealed")
    return (
        select(
            postbacks.c.lead_id,
            postbacks.c.seq,
            postbacks.c.endpoint,
            postbacks.c.tries,
            outbox.c.seller,
            outbox.c.at_ms,
            outbox.c.state,
            outbox.c.payout_micros,
            lead_history.c.detail,
            *(leads.c[name] for name in of_lead),
        )
        .join(outbox, (outbox.c.lead_id == postbacks.c.lead_id) & (outbox.c.seq == postbacks.c.seq))
        .join(
            lead_history,
            (lead_history.c.lead_id == postbacks.c.lead_id) & (lead_history.c.seq == postbacks.c.seq),
        )
        .join(leads, leads.c.lead_id == postbacks.c.lead_id)
        .where(
            _unfinished,
            _waiting,
            postbacks.c.endpoint == bindparam("endpoint"),
            postbacks.c.next_at_ms <= bindparam("now_ms"),
        )
        .order_by(postbacks.c.next_at_ms)
        .limit(bindparam("most"))
    )


_LIST, _DUE = _listing(), _due()


class Due(msgspec.Struct, frozen=True, gc=False):
    """A postback whose time has come, with all that is told: of the move, and of the lead it was a move of.

    `ping_fields` and `sealed` are for looking whether an answer repeats the lead; nothing of them is sent.
    """

    lead_id: str
    seq: int
    endpoint: str
    tries: int
    seller: str
    at_ms: int
    state: str
    payout_micros: int
    detail: dict[str, Any]
    ping_id: str
    campaign: str
    sub_id: str | None
    test: bool
    ping_fields: dict[str, Any]
    sealed: bytes

    @property
    def event_id(self) -> str:
        """The name of the event."""
        return event_id(self.lead_id, self.seq)


class Tried(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one try went: what the postback is now, and what the endpoint said."""

    state: Literal["waiting", "delivered", "given_up"]
    next_at_ms: int | None = None
    status: int | None = None
    error: str | None = None
    answer: str | None = None


class Postback(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A postback as it stands. `told` is the lead's status that it tells, `at_ms` when the lead came to it."""

    seller: str
    at_ms: int
    told: str
    lead_id: str
    seq: int
    endpoint: str
    state: State
    tries: int
    next_at_ms: int | None
    last_at_ms: int | None
    status: int | None
    error: str | None
    answer: str | None

    @property
    def event_id(self) -> str:
        """The name of the event."""
        return event_id(self.lead_id, self.seq)


def address(conn: Connection, event: Event, endpoints: Iterable[str], now_ms: int) -> int:
    """Writes the postbacks of an event, behind what these endpoints have not got yet; says how many are new."""
    _lock(conn, event.lead_id)
    count = 0
    for endpoint in endpoints:
        if conn.execute(_STATE, _key(event.lead_id, event.seq, endpoint)).first() is None:
            row = {"lead_id": event.lead_id, "seq": event.seq, "endpoint": endpoint, "tries": 0}
            row |= {"since_ms": now_ms, **_standing(conn, event, endpoint, now_ms)}
            conn.execute(_INSERT, row)
            count += 1
    return count


def send_again(conn: Connection, event: Event, endpoints: Iterable[str], now_ms: int) -> int:
    """Postbacks of this event that are done are to be sent anew, those that wait for a next try now, and those that
    never were, too; says how many."""
    _lock(conn, event.lead_id)
    count = 0
    for endpoint in endpoints:
        row = _key(event.lead_id, event.seq, endpoint)
        if conn.execute(_STATE, row).first() is None:
            count += address(conn, event, [endpoint], now_ms)
            continue
        standing = _standing(conn, event, endpoint, now_ms)
        row |= {"to_state": standing["state"], "to_next_at_ms": standing["next_at_ms"], "at_ms": now_ms}
        count += conn.execute(_AGAIN, row).rowcount or conn.execute(_SOONER, row).rowcount
    return count


def record_try(conn: Connection, due: Due, tried: Tried, at_ms: int) -> bool:
    """How a try went. Where it is done with, the lead's next event may go. False if it was done before."""
    _lock(conn, due.lead_id)
    row = _key(due.lead_id, due.seq, due.endpoint) | {
        "to_state": tried.state,
        "to_next_at_ms": tried.next_at_ms,
        "to_status": tried.status,
        "to_error": tried.error,
        "to_answer": tried.answer,
        "at_ms": at_ms,
    }
    if conn.execute(_FINISH, row).rowcount != 1:
        return False
    if tried.state != "waiting":
        _release(conn, due.lead_id, due.endpoint, at_ms)
    return True


def give_up_overdue(
    conn: Connection, endpoint: str, before_ms: int, error: str, now_ms: int, most: int
) -> int:
    """Gives up postbacks to an endpoint whose turn has come and that wait since before; says how many."""
    known = {"endpoint": endpoint, "before_ms": before_ms, "now_ms": now_ms, "most": most}
    overdue = conn.execute(_OVERDUE, known).all()
    for lead_id, seq in overdue:
        _lock(conn, lead_id)
        row = _key(lead_id, seq, endpoint)
        conn.execute(_GIVE_UP, {**row, "to_error": error, "at_ms": now_ms})
        _release(conn, lead_id, endpoint, now_ms)
    return len(overdue)


def any_unfinished(conn: Connection) -> bool:
    """Whether a postback is on its way."""
    return bool(conn.execute(_ANY_UNFINISHED).scalar_one())


def due_endpoints(conn: Connection, now_ms: int) -> list[str]:
    """Endpoints with a postback whose time has come, the one that waits longest first."""
    found = [(row.next_at_ms, row.endpoint) for row in conn.execute(_ENDPOINTS) if row.next_at_ms is not None]
    return [endpoint for next_at_ms, endpoint in sorted(found) if next_at_ms <= now_ms]


def due_postbacks(conn: Connection, endpoint: str, now_ms: int, most: int) -> list[Due]:
    """Postbacks to this endpoint whose time has come, the longest due first."""
    rows = conn.execute(_DUE, {"endpoint": endpoint, "now_ms": now_ms, "most": most}).mappings()
    decode = msgspec.json.decode
    return [
        Due(**{**row, "detail": decode(row["detail"]), "ping_fields": decode(row["ping_fields"])})
        for row in rows
    ]


def count_unfinished(conn: Connection) -> tuple[int, int | None]:
    """How many postbacks are on their way, and since when the first of them is."""
    count, since_ms = conn.execute(_WAITING_STATS).one()
    return int(count), since_ms


def list_postbacks(
    conn: Connection,
    most: int,
    *,
    lead_id: str | None = None,
    seller: str | None = None,
    state: State | None = None,
) -> list[Postback]:
    """Postbacks as they stand, those of the latest events, oldest first."""
    wanted = _LIST
    if lead_id is not None:
        wanted = wanted.where(postbacks.c.lead_id == lead_id)
    if seller is not None:
        wanted = wanted.where(outbox.c.seller == seller)
    if state is not None:
        wanted = wanted.where(postbacks.c.state.in_(words([state])))
    order = (outbox.c.at_ms, postbacks.c.lead_id, postbacks.c.seq, postbacks.c.endpoint)
    rows = conn.execute(wanted.order_by(*(column.desc() for column in order)).limit(most)).mappings().all()
    return [Postback(**row) for row in reversed(rows)]


def _lock(conn: Connection, lead_id: str) -> None:
    """What is behind what in a lead is looked at by one at a time. (SQLite has one writer as it is.)"""
    if is_postgresql(conn):
        conn.execute(_LOCK, {"of_lead": lead_id})


def _release(conn: Connection, lead_id: str, endpoint: str, at_ms: int) -> None:
    """The first event of a lead that this endpoint has not got may go, if it is behind."""
    known = {"of_lead": lead_id, "of_endpoint": endpoint}
    seq = conn.execute(_NEXT_BEHIND, known).scalar()
    if seq is not None:
        conn.execute(_RELEASE, {**known, "of_seq": seq, "at_ms": at_ms})


def _standing(conn: Connection, event: Event, endpoint: str, now_ms: int) -> dict[str, Any]:
    behind = conn.execute(_AN_EARLIER, _key(event.lead_id, event.seq, endpoint)).scalar_one()
    if behind:
        return {"state": "behind", "next_at_ms": None}
    return {"state": "waiting", "next_at_ms": now_ms}


def _key(lead_id: str, seq: int, endpoint: str) -> dict[str, Any]:
    return {"of_lead": lead_id, "of_seq": seq, "of_endpoint": endpoint}
