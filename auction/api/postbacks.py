"""`/postback`: what a buyer tells of a lead after the post, by the tools that buyers have for it.

`GET` with a query or `POST` with JSON or a form; the body wins over the query. Who tells it is known by the buyer's key
(`Authorization: Bearer`, `x-api-key`, or `token` in the URL, where a tool can do no better), or by a signature of
Standard Webhooks over the body; then only the body counts, as nobody signed the rest. A URL may hold a token, so it
is written nowhere. A message that is sent again changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Scope

from auction.api.bodies import Bodies
from auction.api.dialect import read_named, read_pairs
from auction.api.said import Said
from auction.api.wire import encode_json, headers_of, key_of
from auction.buyers.protocol import is_reason
from auction.buyers.signing import Signer
from auction.errors import SellerError
from auction.exchange import Exchange
from auction.market.model import Buyer
from auction.market.money import Budget, from_wire, to_wire
from auction.reports.report import Report, Reported, Status

MOST_REASON = 64
_GAPS = re.compile(r"[^A-Za-z0-9_.:]+")
_SIGNATURE = b"webhook-signature"
_NO_STORE = {"cache-control": "no-store"}


class PostbackAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where your offer of this lead stands now, and whether the postback changed it.

    `credit` is what a return gave back to you.
    """

    lead_id: str
    order: str
    status: str
    changed: bool
    buyer_lead_id: str | None = None
    value: float | None = None
    reason: str | None = None
    credit: float | None = None
    currency: str | None = None
    test: bool = False


class PostbacksDoor:
    """Reads postbacks into reports, and what became of them into answers."""

    def __init__(self, exchange: Exchange, bodies: Bodies) -> None:
        self._exchange = exchange
        self._bodies = bodies

    def routes(self) -> list[Route]:
        """Where it is to be found."""
        return [Route("/postback", self.postback, methods=["GET", "POST"])]

    async def postback(self, request: Request) -> Response:
        """`GET` and `POST /postback`"""
        if request.method == "HEAD":  # it would not be safe, and a GET here is none either
            raise SellerError(405, "wrong_method", "Use GET or POST.", headers=[("allow", "GET, POST")])
        buyer, named = await self._read(request)
        self._exchange.reporting.admit(buyer.id)
        report = read_report(named, buyer.id, self._exchange.floor.market.house.currency)
        reported = await self._exchange.reporting.report(report)
        return self._answer(reported)

    async def _read(self, request: Request) -> tuple[Buyer, dict[str, Any]]:
        """Who tells it, and the names and values."""
        scope = request.scope
        headers = headers_of(scope)
        key = key_of(headers)
        query: Mapping[str, str] = {}
        if key is None:
            query = read_pairs(scope["query_string"])
            key = query.get("token")
        if key is None and _SIGNATURE in headers:
            return await self._read_signed(request, headers, query.get("buyer", ""))
        buyer = self._exchange.buyer_of(key)
        return buyer, await read_named(self._bodies, scope, request.receive, query=True)

    async def _read_signed(
        self, request: Request, headers: dict[bytes, bytes], buyer_id: str
    ) -> tuple[Buyer, dict[str, Any]]:
        buyer, secret = self._exchange.signing_buyer(buyer_id)
        body = await self._bodies.read(headers.get(b"content-length"), request.receive)
        if not Signer(secret).signed(headers, body, self._exchange.clock.now_ms() // 1_000):
            raise SellerError(
                401, "bad_signature", "The signature is not that of this body and buyer, or not of now."
            )

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        scope: Scope = {**request.scope, "query_string": b""}
        return buyer, await read_named(self._bodies, scope, again, query=True)

    def _answer(self, reported: Reported) -> Response:
        returned, value = reported.status is Status.RETURNED, reported.value_micros
        currency = self._exchange.floor.market.house.currency
        answer = PostbackAnswer(
            lead_id=reported.lead_id,
            order=reported.order_id,
            status=reported.status.value,
            changed=reported.changed,
            buyer_lead_id=reported.buyer_lead_id,
            value=None if value is None else to_wire(value),
            reason=reported.reason,
            credit=to_wire(reported.price_micros) if returned else None,
            currency=currency if returned or value is not None else None,
            test=reported.test,
        )
        return Response(encode_json(answer), headers=_NO_STORE, media_type="application/json")


def read_report(named: Mapping[str, Any], buyer_id: str, currency: str) -> Report:
    """What a buyer's postback says; names that we do not know are passed over.

    Raises `SellerError` 422: `missing_field`, or `bad_fields` that names every one.
    """
    reading = _Postback(named)
    status = reading.status()
    lead_id, known_as = reading.text("lead_id"), reading.text("buyer_lead_id")
    order_id = reading.text("order")
    reason = reading.reason() if status in (Status.REJECTED, Status.RETURNED) else None
    value = reading.value(currency) if status is Status.CONVERTED else None
    if not reading.mistakes:
        reading.need("status", status is not None)
        reading.need("lead_id", lead_id is not None or known_as is not None)
        reading.need("reason", status is not Status.RETURNED or reason is not None)
    reading.done()
    assert status is not None, "without one there is a mistake"
    return Report(
        status=status,
        by=f"buyer {buyer_id}",
        buyer_id=buyer_id,
        lead_id=lead_id,
        order_id=order_id,
        buyer_lead_id=known_as,
        reason=reason,
        value_micros=value,
    )


class _Postback(Said):
    """One pass over a postback. An empty text is a name left out: URLs by template have such."""

    __slots__ = ("_missing",)

    def __init__(self, named: Mapping[str, Any]) -> None:
        super().__init__({name: _as_text(value) for name, value in named.items() if value != ""})
        self._missing = False

    def status(self) -> Status | None:
        text = self.text("status", most=MOST_REASON)
        if text is None:
            return None
        try:
            return Status(text.strip().lower())
        except ValueError:
            self.wrong("status", f"expected one of {', '.join(Status)}")
            return None

    def reason(self) -> str | None:
        """As one word: what stands between words becomes `_`."""
        text = self.text("reason", most=MOST_REASON)
        if text is None:
            return None
        word = _GAPS.sub("_", text).strip("_")
        if not is_reason(word):
            self.wrong("reason", "expected a few words such as wrong_number, and nothing of the lead")
            return None
        return word

    def value(self, currency: str) -> int | None:
        """What the lead was worth to the buyer, in micros of the house's currency."""
        told = self.text("currency", most=MOST_REASON)
        if told is not None and told.upper() != currency:
            self.wrong("currency", f"expected {currency}")
        value = self.data.get("value")
        if value is None:
            return None
        try:
            return from_wire(value, Budget.most_micros)
        except ValueError as error:
            self.wrong("value", str(error))
            return None

    def need(self, name: str, there: bool) -> None:
        if not there:
            self._missing = True
            self.wrong(name, "is required")

    def done(self) -> None:
        if self.mistakes:
            code = "missing_field" if self._missing else "bad_fields"
            raise SellerError(422, code, "The postback cannot be read.", mistakes=self.mistakes)


def _as_text(value: object) -> object:
    """A number as text: an id may be written as one."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
