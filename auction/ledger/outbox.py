"""The outbox: moves of leads that their seller is to be told, written in the transaction of the move itself.

So nothing that became of a lead can be forgotten on the way out, whoever wrote it: a post, another worker that
finished it, a postback of a buyer, the command line. All of them write the lead's history (`history`), and that
comes by here.

Who hears of its leads is asked of the catalogue as it stands in this very database: its live entry of a seller names
postbacks or it does not. That is a look at an index inside of the move's own statement, so that a seller without
postbacks costs nothing more, and no list of listeners has to be kept that could be wrong. Where to is not asked: that
is found when an event is addressed (`auction/postbacks/`), in the market of then.

An event has no personal data. Its place in its lead's history (`seq`) is its name, with the lead's id before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, exists, func, insert, literal_column, select, update

from auction.ledger.schema import catalogue_entries, lead_history, leads, outbox, postbacks
from auction.ledger.statement import Statement, words

TOLD: Final = ("sold", "rejected", "pending", "delivered", "converted", "returned")
"""States that a seller is told."""

HEARS: Final = exists(
    select(literal_column("1"))
    .where(
        catalogue_entries.c.kind == literal_column("'seller'"),
        catalogue_entries.c.id == leads.c.seller,
        catalogue_entries.c.removed_in.is_(None),
        # both databases know `replace`, and to SQLite it costs a tenth of a LIKE
        func.replace(catalogue_entries.c.document, '"postbacks":', "") != catalogue_entries.c.document,
    )
    .correlate(leads)
)
"""Whether the seller of a lead (in a statement on `leads`) wants to be told."""

_SEQ = select(func.max(lead_history.c.seq)).where(lead_history.c.lead_id == leads.c.lead_id).scalar_subquery()
_EVENT = select(
    leads.c.lead_id, _SEQ, leads.c.seller, leads.c.updated_at_ms, leads.c.state, leads.c.payout_micros
).where(
    leads.c.lead_id == bindparam("lead_id"),
)
_COLUMNS = ["lead_id", "seq", "seller", "at_ms", "state", "payout_micros"]
_TELL = Statement(insert(outbox).from_select(_COLUMNS, _EVENT))
_TELL_WHO_HEARS = Statement(insert(outbox).from_select(_COLUMNS, _EVENT.where(HEARS)))

_OF_EVENT = (outbox.c.lead_id, outbox.c.seq, outbox.c.seller, outbox.c.at_ms, outbox.c.state)
_earlier = outbox.alias("earlier")
_NEW = (
    select(*_OF_EVENT)
    .where(
        outbox.c.addressed_at_ms.is_(None),
        ~exists().where(
            _earlier.c.lead_id == outbox.c.lead_id,
            _earlier.c.seq < outbox.c.seq,
            _earlier.c.addressed_at_ms.is_(None),
        ),
    )
    .order_by(outbox.c.at_ms)
    .limit(bindparam("most"))
)
_OF_LEAD = select(*_OF_EVENT).where(outbox.c.lead_id == bindparam("lead_id")).order_by(outbox.c.seq)
_ADDRESSED = (
    update(outbox)
    .where(outbox.c.lead_id == bindparam("of_lead"), outbox.c.seq == bindparam("of_seq"))
    .values(addressed_at_ms=bindparam("now_ms"))
)
_ANY_NEW = select(exists().where(outbox.c.addressed_at_ms.is_(None)))
_UNFINISHED = exists().where(
    postbacks.c.lead_id == outbox.c.lead_id,
    postbacks.c.seq == outbox.c.seq,
    postbacks.c.state.in_(words(("behind", "waiting"))),
)
_OLD = (
    select(outbox.c.lead_id, outbox.c.seq)
    .where(outbox.c.at_ms < bindparam("before_ms"), outbox.c.addressed_at_ms.is_not(None), ~_UNFINISHED)
    .order_by(outbox.c.at_ms)
    .limit(bindparam("most"))
)
_DROP = tuple(
    delete(table).where(table.c.lead_id == bindparam("of_lead"), table.c.seq == bindparam("of_seq"))
    for table in (postbacks, outbox)
)


class Event(msgspec.Struct, frozen=True, gc=False):
    """One move that a seller is told: the lead, the place of the move in its history, and what it came to."""

    lead_id: str
    seq: int
    seller: str
    at_ms: int
    state: str

    @property
    def event_id(self) -> str:
        """Its name, the same for every endpoint and every try."""
        return event_id(self.lead_id, self.seq)


def event_id(lead_id: str, seq: int) -> str:
    """The name of an event. (No full stop in it: Standard Webhooks signs `id.timestamp.body`.)"""
    return f"{lead_id}-{seq}"


def tell(conn: Connection, lead_id: str) -> None:
    """The move that was just written of this lead, with its line of history, is to be told."""
    _TELL.count(conn, {"lead_id": lead_id})


def tell_who_hears(conn: Connection, lead_id: str) -> None:
    """The same, where its seller wants to hear."""
    _TELL_WHO_HEARS.count(conn, {"lead_id": lead_id})


def any_new(conn: Connection) -> bool:
    """Whether an event is not addressed yet."""
    return bool(conn.execute(_ANY_NEW).scalar_one())


def new_events(conn: Connection, most: int) -> list[Event]:
    """Events that are not addressed yet, about the oldest first; of one lead only the next."""
    return [Event(*row) for row in conn.execute(_NEW, {"most": most})]


def events_of(conn: Connection, lead_id: str) -> list[Event]:
    """All events of a lead, first to last."""
    return [Event(*row) for row in conn.execute(_OF_LEAD, {"lead_id": lead_id})]


def mark_addressed(conn: Connection, events: Sequence[Event], now_ms: int) -> None:
    """Their postbacks are written, or nobody is to be told."""
    if events:
        conn.execute(_ADDRESSED, [_key(event.lead_id, event.seq) | {"now_ms": now_ms} for event in events])


def drop_old_events(conn: Connection, before_ms: int, most: int) -> int:
    """Drops events from before that are done with, and how their sending went; says how many."""
    old = [_key(lead_id, seq) for lead_id, seq in conn.execute(_OLD, {"before_ms": before_ms, "most": most})]
    if old:
        for statement in _DROP:
            conn.execute(statement, old)
    return len(old)


def _key(lead_id: str, seq: int) -> dict[str, Any]:
    return {"of_lead": lead_id, "of_seq": seq}
