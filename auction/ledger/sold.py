"""What was sold to orders and buyers in a window, and what may yet be: what their caps have to count.

An offer that may still turn out to be a sale counts too, as its place in the caps is kept until that is known: those
of a lead that is not settled, and the unanswered ones of a shared lead that others bought. A sale that was returned
counts, unless its return freed the cap (`sales.cap_freed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, Select, and_, bindparam, func, literal_column, select

from auction.ledger.schema import leads, offers, sales

Owner = Literal["order", "buyer"]

MOST_OWNERS: Final = 1_000
"""The most owners (or pings) of one question: a database takes only so many parameters."""
OUT: Final = ("offered", "pending")
"""States of a lead in which each of its offers that is sent or unknown may be taken."""
SETTLED: Final = ("sold", "delivered", "converted", "returned")
"""States of a lead in which an offer that is unknown may have been taken beside the others."""


Verdict = Literal["open", "sold", "refused", "gone"]
"""Of an offer: it may still be a sale; it is one; it is none for good, or none that counts; the ledger has no such
offer."""


class Said(msgspec.Struct, frozen=True):
    """What the ledger says of an offer: since when (0 where it does not know), and its price."""

    verdict: Verdict
    at_ms: int = 0
    price_micros: int = 0


class Sold(msgspec.Struct, frozen=True):
    """What one owner bought."""

    leads: int
    micros: int


class OpenOffer(msgspec.Struct, frozen=True):
    """An offer that may still be a sale. `answered`: nobody will ask again by himself, its answer was lost."""

    ping_id: str
    order_id: str
    buyer_id: str
    price_micros: int
    sent_at_ms: int
    answered: bool


def sold_between(
    conn: Connection, owner: Owner, ids: Sequence[str], start_ms: int, end_ms: int
) -> dict[str, Sold]:
    """By id, what each of these orders (or buyers) was sold of what it was offered in `start_ms <= t < end_ms`.

    Whoever bought nothing is not in it; test leads are not either. One statement for up to `MOST_OWNERS` ids.
    """
    assert len(ids) <= MOST_OWNERS, f"{len(ids)} owners in one question"
    rows = conn.execute(_SOLD[owner], {"ids": list(ids), "start_ms": start_ms, "end_ms": end_ms})
    return {row.owner: Sold(row.leads, int(row.micros)) for row in rows}  # PostgreSQL adds up to a NUMERIC


def open_offers(conn: Connection, buyer_ids: Sequence[str]) -> list[OpenOffer]:
    """The offers to these buyers that may still be sales, of leads that are no tests."""
    assert len(buyer_ids) <= MOST_OWNERS, f"{len(buyer_ids)} buyers in one question"
    found = [conn.execute(question, {"ids": list(buyer_ids)}) for question in (_OF_LEADS_OUT, _LOST)]
    return [OpenOffer(**row._mapping) for rows in found for row in rows]


def verdicts(conn: Connection, places: Iterable[str]) -> dict[str, Said]:
    """What became of the offers that these places (`<ping_id>/<order_id>`) are kept for."""
    wanted = set(places)
    pings = sorted({place.partition("/")[0] for place in wanted})
    said = dict.fromkeys(wanted, Said("gone"))
    for first in range(0, len(pings), MOST_OWNERS):
        for row in conn.execute(_OFFERS_OF, {"ids": pings[first : first + MOST_OWNERS]}):
            place = f"{row.ping_id}/{row.order_id}"
            if place in said:
                verdict: Verdict = "refused" if row.cap_freed else _verdict(row.lead_state, row.offer_state)
                said[place] = Said(verdict, row.answered_at_ms or 0, row.price_micros)
    return said


def _verdict(lead_state: str, offer_state: str) -> Verdict:
    if is_open(lead_state, offer_state):
        return "open"
    return "sold" if offer_state == "accepted" else "refused"


def is_open(lead_state: str, offer_state: str) -> bool:
    """Whether an offer in this state, of a lead in that one, may still be a sale."""
    if lead_state in OUT:
        return offer_state in ("sent", "unknown")
    return lead_state in SETTLED and offer_state == "unknown"


def _sold(owner: str) -> Select[Any]:
    """One index per kind of owner: (order_id, offered_at_ms) and (buyer_id, offered_at_ms)."""
    of = sales.c[owner]
    return (
        select(of.label("owner"), func.count().label("leads"), func.sum(sales.c.price_micros).label("micros"))
        .where(
            of.in_(bindparam("ids", expanding=True)),
            sales.c.offered_at_ms >= bindparam("start_ms"),
            sales.c.offered_at_ms < bindparam("end_ms"),
            sales.c.test.is_(False),
            sales.c.cap_freed.is_(False),
        )
        .group_by(of)
    )


def _written(states: Sequence[str]) -> list[Any]:
    """Written out, as they stand in the partial indexes."""
    return [literal_column(f"'{state}'") for state in states]


def _open(*conditions: Any) -> Select[Any]:
    answered = (offers.c.state == literal_column("'unknown'")).label("answered")
    return (
        select(
            leads.c.ping_id,
            offers.c.order_id,
            offers.c.buyer_id,
            offers.c.price_micros,
            offers.c.sent_at_ms,
            answered,
        )
        .join(leads, leads.c.lead_id == offers.c.lead_id)
        .where(leads.c.test.is_(False), offers.c.buyer_id.in_(bindparam("ids", expanding=True)), *conditions)
    )


_SOLD: Final[dict[Owner, Select[Any]]] = {"order": _sold("order_id"), "buyer": _sold("buyer_id")}
_OF_LEADS_OUT: Final = _open(
    # found by the leads that are not settled, which are few: written as that index is
    leads.c.state.in_(_written(("received", *OUT))),
    leads.c.state != literal_column("'received'"),
    offers.c.state.in_(_written(("sent", "unknown"))),
)
_LOST: Final = _open(offers.c.state == literal_column("'unknown'"), leads.c.state.in_(_written(SETTLED)))
_OFFERS_OF: Final = (
    select(
        leads.c.ping_id,
        offers.c.order_id,
        leads.c.state.label("lead_state"),
        offers.c.state.label("offer_state"),
        offers.c.answered_at_ms,
        offers.c.price_micros,
        sales.c.cap_freed,
    )
    .join(offers, offers.c.lead_id == leads.c.lead_id)
    .outerjoin(sales, and_(sales.c.lead_id == offers.c.lead_id, sales.c.order_id == offers.c.order_id))
    .where(leads.c.ping_id.in_(bindparam("ids", expanding=True)))
)
