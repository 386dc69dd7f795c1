"""Leads that are the same: by a campaign's rule, where any that stands makes the next a duplicate, and by an order's,
where it is one that this order has, or may have.

Exact under any concurrency: whoever looks for a print holds it until the commit, so of two leads that are the same one
is looked for after the other is there. (SQLite has one writer as it is.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, select

from auction.ledger.engine import is_postgresql
from auction.ledger.records import NewLead, NewOffer
from auction.ledger.schema import fingerprints, leads, offers
from auction.ledger.statement import Statement, words

DAY_MS: Final = 86_400_000
STANDING: Final = ("waiting", "offered", "pending", "sold", "delivered", "converted")
"""States in which a lead makes a later equal one a duplicate: not when it was rejected, nor when it came
back."""
HAS_IT: Final = ("sent", "accepted", "unknown")
"""States of an offer in which its order has the lead, or may have it."""
_WITHIN = (
    fingerprints.c.campaign == bindparam("campaign"),
    fingerprints.c.hash == bindparam("hash"),
    fingerprints.c.at_ms >= bindparam("since_ms"),
    leads.c.state.in_(words(STANDING)),
    leads.c.test == bindparam("test"),
)
_STANDING = Statement(
    select(fingerprints.c.lead_id)
    .join(leads, leads.c.lead_id == fingerprints.c.lead_id)
    .where(*_WITHIN)
    .limit(1)
)
_OF_ORDER = Statement(
    select(fingerprints.c.lead_id)
    .join(leads, leads.c.lead_id == fingerprints.c.lead_id)
    .join(offers, offers.c.lead_id == fingerprints.c.lead_id)
    .where(
        *_WITHIN,
        fingerprints.c.lead_id != bindparam("lead_id"),
        offers.c.order_id == bindparam("order_id"),
        offers.c.state.in_(words(HAS_IT)),
    )
    .limit(1)
)
_LOCK_HASH = Statement(select(func.pg_advisory_xact_lock(bindparam("key"))))
_INSERT = Statement(insert(fingerprints))
_PRINTS_OF = select(fingerprints.c.hash).where(fingerprints.c.lead_id == bindparam("lead_id"))
_SOLD_SINCE = (
    select(fingerprints.c.hash, fingerprints.c.at_ms, offers.c.order_id)
    .join(leads, leads.c.lead_id == fingerprints.c.lead_id)
    .join(offers, offers.c.lead_id == fingerprints.c.lead_id)
    .where(
        fingerprints.c.campaign == bindparam("campaign"),
        fingerprints.c.at_ms >= bindparam("since_ms"),
        fingerprints.c.hash > bindparam("after"),
        leads.c.state.in_(words(STANDING)),
        leads.c.test.is_(False),
        offers.c.state == "accepted",
    )
    .order_by(fingerprints.c.hash)
    .limit(bindparam("most"))
)


class BoughtRow(msgspec.Struct, frozen=True):
    """That an order bought a lead which is known by this print."""

    print_of: bytes
    at_ms: int
    order_id: str


def find_duplicate(conn: Connection, lead: NewLead) -> str | None:
    """The standing lead that makes this one a duplicate by its campaign's rule."""
    if lead.fingerprint is None:
        return None
    _hold(conn, [lead.fingerprint])
    found = _STANDING.first(
        conn,
        {
            "campaign": lead.campaign,
            "hash": lead.fingerprint,
            "since_ms": lead.created_at_ms - lead.duplicate_days * DAY_MS,
            "test": lead.test,
        },
    )
    return None if found is None else str(found[0])


def insert_prints(conn: Connection, lead: NewLead) -> None:
    """What this lead is known by from now on."""
    every = dict.fromkeys(one for one in (lead.fingerprint, *lead.prints) if one is not None)
    known = {"campaign": lead.campaign, "lead_id": lead.lead_id, "at_ms": lead.created_at_ms}
    _INSERT.each(conn, [{**known, "hash": one} for one in every])


def repeated_orders(
    conn: Connection, lead_id: str, campaign: str, test: bool, at_ms: int, new_offers: Sequence[NewOffer]
) -> frozenset[str]:
    """The orders of these offers that bought such a lead within their windows, or may have: they want no other."""
    ruled = [offer for offer in new_offers if offer.print_of is not None]
    if not ruled:
        return frozenset()
    _hold(conn, [offer.print_of for offer in ruled if offer.print_of is not None])
    known = {"lead_id": lead_id, "campaign": campaign, "test": test}
    return frozenset(
        offer.order_id
        for offer in ruled
        if _OF_ORDER.first(
            conn,
            {
                **known,
                "hash": offer.print_of,
                "since_ms": at_ms - offer.duplicate_days * DAY_MS,
                "order_id": offer.order_id,
            },
        )
    )


def prints_of(conn: Connection, lead_id: str) -> list[bytes]:
    """What a lead is known by."""
    return [bytes(one) for one in conn.execute(_PRINTS_OF, {"lead_id": lead_id}).scalars()]


def bought_since(
    conn: Connection, campaign: str, since_ms: int, after: bytes, most: int
) -> tuple[list[BoughtRow], bytes | None]:
    """Who bought what in a campaign, by print, from the first one after `after`: about `most` rows, and after which
    print to go on (None: that was all)."""
    wanted = {"campaign": campaign, "since_ms": since_ms, "after": after, "most": most}
    rows = [BoughtRow(bytes(row.hash), row.at_ms, row.order_id) for row in conn.execute(_SOLD_SINCE, wanted)]
    if len(rows) < most:
        return rows, None
    # there may be more of it: it is read again with the next, unless it is all there is
    last = rows[-1].print_of
    whole = [row for row in rows if row.print_of != last]
    return (whole, whole[-1].print_of) if whole else (rows, last)


def _hold(conn: Connection, prints: Iterable[bytes]) -> None:
    """Until the commit these prints are ours. In one order for all: so nobody waits for somebody who waits for him."""
    if is_postgresql(conn):
        for key in sorted({int.from_bytes(one[:8], "big", signed=True) for one in prints}):
            _LOCK_HASH.first(conn, {"key": key})
