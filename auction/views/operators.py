"""Leads and money as operators see them: every seller's, with offers and sales, and nothing that names a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

import msgspec
from sqlalchemy import Connection

from auction.ledger.lead_listing import LINE_COLUMNS, QUARTER_MS, LeadRow, Sum
from auction.ledger.lead_queries import find_lead, lead_history_of, offers_of, sales_of
from auction.ledger.records import Moment, Offer, Sale
from auction.market.money import to_wire
from auction.ping.offer import iso_utc


class LeadLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One lead of a list: `buyers` are those whose sales stand, `returned_by` those that gave it back. `payout` only
    for those who may see money."""

    lead_id: str
    ping_id: str
    seller: str
    campaign: str
    status: str
    reason: str | None
    buyers: tuple[str, ...]
    returned_by: tuple[str, ...] = ()
    sub_id: str | None
    test: bool
    created_at: str
    updated_at: str
    payout: float | None = None


class LeadStep(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a lead's history. `by` is who settled or told it (`told`, of what `value`), where somebody did."""

    at: str
    status: str
    reason: str | None
    by: str | None
    told: str | None
    value: float | None


class LeadOffer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The lead as it was offered to one order's buyer. `price` only for those who may see money."""

    order: str
    buyer: str
    status: str
    reason: str | None
    exclusive: bool
    sent_at: str
    answered_at: str | None
    price: float | None = None


class LeadSale(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sale of the lead, and what its buyer told since. Money (`value` too) only for those who may see it; what was
    returned is no longer owed."""

    order: str
    buyer: str
    exclusive: bool
    sold_at: str
    delivered_at: str | None = None
    converted_at: str | None = None
    returned_at: str | None = None
    return_reason: str | None = None
    value: float | None = None
    price: float | None = None
    payout: float | None = None
    margin: float | None = None


class LeadFile(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a lead but whose it is."""

    lead: LeadLine
    offers: tuple[LeadOffer, ...]
    sales: tuple[LeadSale, ...]
    history: tuple[LeadStep, ...]


class MoneyLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sales that stand in sums, by whatever was asked for: `price = payout + margin`.

    `returned` is how many of that time were given back, `credited` the prices of those.
    """

    seller: str | None = None
    buyer: str | None = None
    order: str | None = None
    campaign: str | None = None
    day: str | None = None
    sales: int = msgspec.field()
    price: float = msgspec.field()
    payout: float = msgspec.field()
    margin: float = msgspec.field()
    returned: int = msgspec.field()
    credited: float = msgspec.field()


def line_of(row: LeadRow, *, money: bool) -> LeadLine:
    """A lead of a list."""
    return LeadLine(
        lead_id=row.lead_id,
        ping_id=row.ping_id,
        seller=row.seller,
        campaign=row.campaign,
        status=row.state,
        reason=row.reason,
        buyers=row.buyers,
        returned_by=row.returned_by,
        sub_id=row.sub_id,
        test=row.test,
        created_at=iso_utc(row.created_at_ms),
        updated_at=iso_utc(row.updated_at_ms),
        payout=to_wire(row.payout_micros) if money else None,
    )


def lead_file(conn: Connection, lead_id: str, *, money: bool) -> LeadFile | None:
    """A lead with its offers, sales and history; None if there is none."""
    lead = find_lead(conn, lead_id)
    if lead is None:
        return None
    sold = sales_of(conn, lead_id)
    row = LeadRow(
        buyers=tuple(sale.buyer_id for sale in sold if sale.stands),
        returned_by=tuple(sale.buyer_id for sale in sold if not sale.stands),
        **{name: getattr(lead, name) for name in LINE_COLUMNS},
    )
    return LeadFile(
        lead=line_of(row, money=money),
        offers=tuple(_offer(offer, money) for offer in offers_of(conn, lead_id)),
        sales=tuple(_sale(sale, money) for sale in sold),
        history=tuple(_step(moment, money) for moment in lead_history_of(conn, lead_id)),
    )


def money_lines(found: Sequence[Sum], columns: Sequence[str], zone: tzinfo) -> list[MoneyLine]:
    """Sums by the names of the columns, and by the day of `zone` where they are by time; in order."""
    joined: defaultdict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * 6)
    by_time = any(one.quarter is not None for one in found)
    for one in found:
        day = () if one.quarter is None else (_day_of(one.quarter, zone),)
        amounts = (
            *(one.sales, one.price_micros, one.payout_micros, one.margin_micros),
            *(one.returned, one.credited_micros),
        )
        of_group = joined[(*one.group, *day)]
        of_group[:] = [before + more for before, more in zip(of_group, amounts, strict=True)]
    names = (*columns, *(("day",) if by_time else ()))
    return [
        MoneyLine(
            **dict(zip(names, group, strict=True)),
            sales=many,
            price=to_wire(price),
            payout=to_wire(payout),
            margin=to_wire(margin),
            returned=returned,
            credited=to_wire(credited),
        )
        for group, (many, price, payout, margin, returned, credited) in sorted(joined.items())
    ]


def _day_of(quarter: int, zone: tzinfo) -> str:
    moment = datetime.fromtimestamp(quarter * QUARTER_MS // 1000, UTC)
    return moment.astimezone(zone).date().isoformat()


def _step(moment: Moment, money: bool) -> LeadStep:
    detail = moment.detail
    return LeadStep(
        at=iso_utc(moment.at_ms),
        status=moment.state,
        reason=detail.get("reason"),
        by=detail.get("by"),
        told=detail.get("told"),
        value=detail.get("value") if money else None,
    )


def _offer(offer: Offer, money: bool) -> LeadOffer:
    return LeadOffer(
        order=offer.order_id,
        buyer=offer.buyer_id,
        status=offer.state,
        reason=offer.reason,
        exclusive=offer.exclusive,
        sent_at=iso_utc(offer.sent_at_ms),
        answered_at=_iso(offer.answered_at_ms),
        price=to_wire(offer.price_micros) if money else None,
    )


def _sale(sale: Sale, money: bool) -> LeadSale:
    return LeadSale(
        order=sale.order_id,
        buyer=sale.buyer_id,
        exclusive=sale.exclusive,
        sold_at=iso_utc(sale.sold_at_ms),
        delivered_at=_iso(sale.delivered_at_ms),
        converted_at=_iso(sale.converted_at_ms),
        returned_at=_iso(sale.returned_at_ms),
        return_reason=sale.return_reason,
        value=to_wire(sale.value_micros) if money and sale.value_micros is not None else None,
        price=to_wire(sale.price_micros) if money else None,
        payout=to_wire(sale.payout_micros) if money else None,
        margin=to_wire(sale.margin_micros) if money else None,
    )


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso_utc(at_ms)
