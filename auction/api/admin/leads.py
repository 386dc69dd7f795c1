"""`/admin/leads` and `/admin/money`: what became of leads, and what they earned; and settling what nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auction.api.admin.asking import read_asked, read_word
from auction.api.admin.calls import Calls, bad_fields, query_of, reply
from auction.api.changes import response
from auction.api.listing import OneOf, Reading, read_flag
from auction.api.said import MOST_TEXT
from auction.api.status import MOST_ID
from auction.buyers.protocol import is_reason
from auction.errors import FieldMistake, SellerError
from auction.idempotency import Owned, Reply
from auction.ledger.conditions import Asked, Wanted
from auction.ledger.lead_listing import MOST_GROUPS, list_leads, sums
from auction.market.money import to_wire
from auction.ping.offer import iso_utc
from auction.post.sale import LeadState
from auction.post.settling import Said, SettlementRefused
from auction.views.operators import LeadFile, LeadLine, MoneyLine, lead_file, line_of, money_lines

DAY_MS: Final = 86_400_000
USUAL_DAYS: Final = 31
MOST_DAYS: Final = 400
LEADS: Final[dict[str, tuple[str, Reading]]] = {
    **{name: (name, read_word) for name in ("lead_id", "ping_id", "seller", "campaign", "reason", "sub_id")},
    "status": ("state", OneOf(LeadState)),
    "buyer": ("buyer", read_word),
    "returned_by": ("returned_by", read_word),
    "test": ("test", read_flag),
}
MONEY: Final[dict[str, tuple[str, Reading]]] = {
    "seller": ("seller", read_word),
    "buyer": ("buyer_id", read_word),
    "order": ("order_id", read_word),
    "campaign": ("campaign", read_word),
    "test": ("test", read_flag),
}
GROUPS: Final = ("seller", "buyer", "order", "campaign", "day")
_NOT_NOW: Final = frozenset({"being_offered"})
_NOT_THERE: Final = frozenset({"unknown_lead", "unknown_order"})


class Leads(msgspec.Struct, frozen=True):
    """Leads, the latest first. `total` counts up to 10,000."""

    total: int
    limit: int
    skip: int
    data: Sequence[LeadLine]


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """What was sold in a time, by what was asked for; `day` is a day in the exchange's `timezone`."""

    currency: str
    timezone: str
    since: str
    until: str
    total: int
    limit: int
    skip: int
    data: Sequence[MoneyLine]


class SettledLead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a lead that was settled. `payout` only for those who may see money."""

    lead_id: str
    status: str
    order: str
    buyer: str
    payout: float | None = None


class LeadsDoor:
    """Lists leads, shows one, adds up what was sold, and settles."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def routes(self) -> list[Route]:
        """Where it is to be found."""
        return [
            Route("/admin/leads", self.leads, methods=["GET"]),
            Route("/admin/leads/{lead_id}", self.lead, methods=["GET"]),
            Route("/admin/leads/{lead_id}/settle", self.settle, methods=["POST"]),
            Route("/admin/money", self.money, methods=["GET"]),
        ]

    async def leads(self, request: Request) -> Response:
        """A list of leads."""
        admin = self._calls.admin(request, "leads:read")
        asked = read_asked(query_of(request), LEADS, self._zone())
        found = await self._calls.exchange.reader.read(lambda conn: list_leads(conn, asked))
        money = "money:read" in admin.scopes
        lines = [line_of(row, money=money) for row in found.rows]
        return response(reply(Leads(found.total, asked.limit, asked.skip, lines)))

    async def lead(self, request: Request) -> Response:
        """One lead with its history."""
        admin = self._calls.admin(request, "leads:read")
        lead_id = _lead_id(request)

        def read(conn: Connection) -> LeadFile | None:
            return lead_file(conn, lead_id, money="money:read" in admin.scopes)

        found = await self._calls.exchange.reader.read(read)
        if found is None:
            raise _unknown_lead()
        return response(reply(found))

    async def money(self, request: Request) -> Response:
        """What was sold, in sums."""
        self._calls.admin(request, "money:read")
        market, zone = self._calls.exchange.floor.market, self._zone()
        pairs = query_of(request)
        by = _groups([value for name, value in pairs if name == "by"])
        asked = read_asked([pair for pair in pairs if pair[0] != "by"], MONEY, zone)
        asked = _bounded(asked, self._calls.exchange.clock.now_ms())
        columns = [MONEY[name][0] for name in by if name != "day"]

        def read(conn: Connection) -> list[MoneyLine]:
            found = sums(conn, asked, columns, "day" in by)
            if len(found) > MOST_GROUPS:
                raise _bad_query("by", f"more than {MOST_GROUPS} sums; ask for a shorter time, or fewer")
            return money_lines(found, [name for name in by if name != "day"], zone)

        lines = await self._calls.exchange.reader.read(read)
        assert asked.since_ms is not None
        assert asked.until_ms is not None
        told = Money(
            currency=market.house.currency,
            timezone=market.house.timezone,
            since=iso_utc(asked.since_ms),
            until=iso_utc(asked.until_ms),
            total=len(lines),
            limit=asked.limit,
            skip=asked.skip,
            data=lines[asked.skip : asked.skip + asked.limit],
        )
        return response(reply(told))

    async def settle(self, request: Request) -> Response:
        """Say what became of an offer of which nobody knows."""
        admin = self._calls.admin(request, "leads:write")
        lead_id, data = _lead_id(request), await self._calls.body(request)
        said = _said(data, f"operator {admin.id}")

        async def work(_: Owned | None) -> Reply:
            try:
                settled = await self._calls.exchange.settling.settle(lead_id, said)
            except SettlementRefused as error:
                raise _refused(error) from None
            return reply(
                SettledLead(
                    lead_id=settled.lead_id,
                    status=settled.state.value,
                    order=settled.order_id,
                    buyer=settled.buyer_id,
                    payout=to_wire(settled.payout_micros) if "money:read" in admin.scopes else None,
                )
            )

        return await self._calls.once(request, admin, data, work)

    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self._calls.exchange.floor.market.house.timezone)


def _groups(given: Sequence[str]) -> tuple[str, ...]:
    """By what is summed, in one order. Raises `SellerError` 422."""
    for one in given:
        if one not in GROUPS:
            known = f"expected one of {', '.join(GROUPS)}; several as by=seller&by=day"
            raise bad_fields([FieldMistake("by", known)])
    return tuple(name for name in GROUPS if name in given)


def _bounded(asked: Asked, now_ms: int) -> Asked:
    """Real sales, if nothing is said; of the last month, if no time is. Raises `SellerError` 400."""
    until_ms = now_ms + 1 if asked.until_ms is None else asked.until_ms
    since_ms = until_ms - USUAL_DAYS * DAY_MS if asked.since_ms is None else asked.since_ms
    if not 0 <= until_ms - since_ms <= MOST_DAYS * DAY_MS:
        raise _bad_query("since", f"expected a time before `until`, by at most {MOST_DAYS} days")
    wanted = asked.wanted
    if all(one.column != "test" for one in wanted):
        wanted = (*wanted, Wanted("test", frozenset((False,))))
    return replace(asked, since_ms=since_ms, until_ms=until_ms, wanted=wanted)


def _said(data: dict[str, Any], by: str) -> Said:
    """What is said of an offer. Raises `SellerError` 422 naming every key that is wrong."""
    mistakes = [
        FieldMistake(name[:64], "unknown key; known are buyer_lead_id, order, outcome, reason")
        for name in list(data)[:100]
        if name not in ("outcome", "order", "reason", "buyer_lead_id")
    ]
    outcome = data.get("outcome")
    if outcome not in ("accepted", "rejected"):
        mistakes.append(FieldMistake("outcome", "expected accepted or rejected"))
    texts: dict[str, str | None] = {}
    for name in ("order", "reason", "buyer_lead_id"):
        value = data.get(name)
        if value is not None and not (
            isinstance(value, str) and 0 < len(value) <= MOST_TEXT and value.isprintable()
        ):
            mistakes.append(FieldMistake(name, f"expected text of 1 to {MOST_TEXT} characters"))
        else:
            texts[name] = value
    reason = texts.get("reason")
    if reason is not None and (outcome == "accepted" or not is_reason(reason)):
        mistakes.append(FieldMistake("reason", "is for a rejection, and one word such as duplicate"))
    if mistakes:
        raise bad_fields(mistakes)
    return Said(
        accepted=outcome == "accepted",
        by=by,
        order_id=texts["order"],
        reason=reason,
        buyer_lead_id=texts["buyer_lead_id"],
    )


def _refused(error: SettlementRefused) -> SellerError:
    headers = [("retry-after", "1")] if error.code in _NOT_NOW else []
    status = 404 if error.code in _NOT_THERE else 409
    return SellerError(status, error.code, error.detail, headers=headers)


def _lead_id(request: Request) -> str:
    lead_id: str = request.path_params["lead_id"]
    if len(lead_id) > MOST_ID or not lead_id.isascii() or not lead_id.isprintable():
        raise _unknown_lead()
    return lead_id


def _unknown_lead() -> SellerError:
    return SellerError(404, "unknown_lead", "There is no such lead.")


def _bad_query(name: str, error: str) -> SellerError:
    return SellerError(400, "bad_query", "Some parameters are wrong.", mistakes=[FieldMistake(name, error)])
