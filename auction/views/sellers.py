"""What a seller can ask about its own pings and leads, out of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec
from sqlalchemy import Connection

from auction.errors import SellerError
from auction.ledger.lead_queries import find_lead, find_lead_by_ping, lead_history_of, sales_of
from auction.ledger.pings import find_ping
from auction.ledger.postbacks import Postback, list_postbacks
from auction.ledger.reader import Reader
from auction.ledger.records import Moment
from auction.market.money import to_wire
from auction.ping.offer import iso_utc

V = TypeVar("V")
NO_URLS: Final[Mapping[str, str]] = MappingProxyType({})
MOST_POSTBACKS = 100
"""Shown of one lead: the latest."""


class Happened(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a lead's history.

    `told`: what a buyer (`by`) told then, of what `value`; `payout`: the lead's after it, where it changed.
    """

    at: str
    status: str
    reason: str | None
    told: str | None = None
    by: str | None = None
    value: float | None = None
    payout: float | None = None


class PostbackView(msgspec.Struct, frozen=True):
    """A postback to the seller itself: which status it told, how it stands (`waiting`, `behind` an earlier one,
    `delivered`, `given_up`), and what was answered (`http_status`) the last time, or why nothing was (`error`).

    `url` is the endpoint without its query, or null where it is no longer the seller's.
    """

    event_id: str
    url: str | None
    status: str
    state: str
    tries: int
    http_status: int | None
    error: str | None
    next_at: str | None


class LeadView(msgspec.Struct, frozen=True):
    """A lead as its seller sees it: what became of it and when, and what it earned. No price, no margin."""

    lead_id: str
    ping_id: str
    campaign: str
    status: str
    reason: str | None
    payout: float
    buyers: tuple[str, ...]
    sub_id: str | None
    test: bool
    history: tuple[Happened, ...]
    postbacks: tuple[PostbackView, ...] = ()


class PingView(msgspec.Struct, frozen=True):
    """A ping as its seller sees it."""

    ping_id: str
    campaign: str
    status: str
    reason: str | None
    payout: float
    at: str
    sub_id: str | None
    test: bool
    lead_id: str | None


class Status:
    """Reads a seller's own. Another seller's is as if it were not there, but for the code: 403."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def lead(self, seller_id: str, lead_id: str, urls: Mapping[str, str] = NO_URLS) -> LeadView:
        """A lead with its history; `urls` are those of the seller's endpoints. Raises `SellerError` 404 or 403."""

        def read(conn: Connection) -> tuple[str, LeadView] | None:
            lead = find_lead(conn, lead_id)
            if lead is None:
                return None
            history = tuple(_happened(moment) for moment in lead_history_of(conn, lead_id))
            view = LeadView(
                lead_id=lead.lead_id,
                ping_id=lead.ping_id,
                campaign=lead.campaign,
                status=lead.state,
                reason=lead.reason,
                payout=to_wire(lead.payout_micros),
                buyers=tuple(sale.buyer_id for sale in sales_of(conn, lead_id) if sale.stands),
                sub_id=lead.sub_id,
                test=lead.test,
                history=history,
                postbacks=tuple(
                    _told(one, urls) for one in list_postbacks(conn, MOST_POSTBACKS, lead_id=lead_id)
                ),
            )
            return lead.seller, view

        return _own(seller_id, await self._reader.read(read), "lead")

    async def ping(self, seller_id: str, ping_id: str) -> PingView:
        """A ping, and the lead that was posted against it. Raises `SellerError` 404 or 403."""

        def read(conn: Connection) -> tuple[str, PingView] | None:
            row = find_ping(conn, ping_id)
            if row is None:
                return None
            lead = find_lead_by_ping(conn, ping_id)
            view = PingView(
                ping_id=row.ping_id,
                campaign=row.campaign,
                status=row.status,
                reason=row.reason,
                payout=to_wire(row.payout_micros),
                at=iso_utc(row.at_ms),
                sub_id=row.sub_id,
                test=row.test,
                lead_id=lead.lead_id if lead is not None else None,
            )
            return row.seller, view

        return _own(seller_id, await self._reader.read(read), "ping")


def _happened(moment: Moment) -> Happened:
    """Of who said it, a seller is told buyer or operator, not who sat there."""
    detail = moment.detail
    by = detail.get("by")
    return Happened(
        at=iso_utc(moment.at_ms),
        status=moment.state,
        reason=detail.get("reason"),
        told=detail.get("told"),
        by="operator" if by is not None and by.startswith("operator ") else by,
        value=detail.get("value"),
        payout=detail.get("payout"),
    )


def _own(seller_id: str, found: tuple[str, V] | None, kind: str) -> V:
    if found is None:
        raise SellerError(404, f"unknown_{kind}", f"There is no such {kind}.")
    if found[0] != seller_id:
        raise SellerError(403, f"not_your_{kind}", f"This {kind} is another seller's.")
    return found[1]


def _told(one: Postback, urls: Mapping[str, str]) -> PostbackView:
    next_at = None if one.next_at_ms is None else iso_utc(one.next_at_ms)
    url = urls.get(one.endpoint)
    return PostbackView(one.event_id, url, one.told, one.state, one.tries, one.status, one.error, next_at)
