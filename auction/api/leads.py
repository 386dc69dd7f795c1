"""The leads API: `POST /api/leads`, as its document has it.

One flat object, as JSON, a form, or in the query of the URL (the body wins): `seller` and `category` say whose lead it
is and of which kind, all else are its fields, in `camelCase` or as the campaign calls them.

The key is the seller's own, and `seller` (its code or slug) must name that same one: so a lead that was sent with the
wrong key is not sold as somebody else's. `price` is what the seller gets for the lead: of what its buyer pays the house
keeps its margin, and no seller is shown that.

The document knows `sold` and `pending`. `pending` is both: nobody buys the lead yet (it is tried again as caps and
hours open), and one buyer's answer was lost and is being found out. Of a lead that is refused for good (a duplicate,
somebody on a suppression list, turned down by every buyer) it says nothing. That answer is 200 like theirs, for
nothing is wrong with the request, but `"success": false`, so that who looks no further does not count it as taken.

Errors are `{"success": false, "error", "details"}`, with `fields` where fields are missing or bad, and the house's
`code`. Where the document is silent the status is the house's: 409 and 422, and 503 where a store is away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from auction.api.at_door import AtDoor, CampaignsAtDoor
from auction.api.bodies import Bodies
from auction.api.dialect import read_named, same_fields, to_ours, to_theirs
from auction.api.gate import arrived
from auction.api.replies import headers_of_error, headers_of_reply
from auction.api.shaped import WholeLead, reply_of, sentences
from auction.api.traffic import Traffic
from auction.api.wire import headers_of, key_of, respond
from auction.errors import ExchangeError, FieldMistake, SellerError, internal_error
from auction.exchange import Exchange
from auction.idempotency import Reply
from auction.market.market import TradedSeller
from auction.ping.offer import PingRequest
from auction.ping.rate import rate_headers
from auction.post.answer import PostAnswer

SELLER, CATEGORY = "seller", "category"
ALWAYS: Final = (SELLER, CATEGORY, "firstName", "lastName", "phone", "state")
"""What the document asks for, where no category says otherwise."""
_ERRORS: Final = {
    401: "Invalid API Key",
    405: "Method not allowed",
    409: "Conflict",
    413: "Request too large",
    415: "Unsupported content type",
    422: "Invalid field",
    429: "Rate limit exceeded",
    500: "Internal error",
    503: "Temporarily unavailable",
}
_BY_CODE: Final = {
    "unknown_campaign": "No matching campaign",
    "missing_fields": "Missing required field",
    "unknown_seller": "No matching seller",
}


class LeadsDoor:
    """`POST /api/leads`."""

    def __init__(self, exchange: Exchange, bodies: Bodies, traffic: Traffic) -> None:
        self._exchange = exchange
        self._traffic = traffic
        self._bodies = bodies
        self._campaigns = CampaignsAtDoor("leads", lambda: exchange.floor.market)

    async def lead(self, scope: Scope, receive: Receive, send: Send) -> int:
        """One lead, from the wire to its answer. Once the key is known every answer tells how many are left."""
        arrived_s = arrived(scope)
        standing: tuple[tuple[bytes, bytes], ...] = ()
        try:
            key = key_of(headers_of(scope))
            seller = self._exchange.seller_of(key)
            assert key is not None, "a seller has a key"
            standing = rate_headers(await self._exchange.leads_rate.admit(f"seller:{seller.id}", key))
            reply = await self._lead(scope, receive, seller, arrived_s)
        except ExchangeError as error:
            reply = shaped(error)
        except Exception:
            self._traffic.broke(scope["path"])
            reply = shaped(internal_error())
        headers = headers_of_reply(reply)
        if b"x-ratelimit-limit" not in dict(headers):  # a limit that was met tells its own
            headers = (*headers, *standing)
        return await respond(send, reply.status, reply.body, headers)

    async def _lead(self, scope: Scope, receive: Receive, seller: TradedSeller, arrived_s: float) -> Reply:
        data = await read_named(self._bodies, scope, receive, query=True)
        at = self._category(seller, data)
        sent = {
            name: value
            for name, value in data.items()
            if value is not None and name not in (SELLER, CATEGORY)  # a null is a field left out
        }
        usual = {_camel(spec.name): spec.name for spec in at.market.campaign.fields}
        lead = to_ours(at.names, sent, usual)
        mistakes = same_fields(at.names, sent, usual)

        def named(error: ExchangeError) -> Reply:
            if not isinstance(error, SellerError) or error.code != "bad_fields":
                return shaped(error)
            told = to_theirs(at.names, error.mistakes, usual, sent)
            missing = [
                there
                for there, mistake in zip(told, error.mistakes, strict=True)
                if lead.get(ours := mistake.field.removeprefix("lead.")) is None and at.has(ours)
            ]
            return shaped(_missing(missing, told) if missing else _bad(told))

        whole = WholeLead(
            self._exchange,
            "api/leads",
            seller,
            at.market,
            PingRequest(at.id, lead, mistakes=mistakes),
            data,
            headers_of(scope),
            arrived_s,
        )
        return await whole.answer(answered, named)

    def _category(self, seller: TradedSeller, data: Mapping[str, Any]) -> AtDoor:
        """Which campaign it is for, if the lead is this seller's. Raises `SellerError` 400."""
        whose, kind = data.get(SELLER), data.get(CATEGORY)
        at = self._campaigns.called(kind, seller) if isinstance(kind, str) else None
        if whose is None or kind is None:
            needed = ALWAYS if kind is None else _needed(at)
            raise _missing([FieldMistake(name, "is required") for name in needed if data.get(name) is None])
        if not isinstance(whose, str) or not _is_called(seller, whose.strip()):
            detail = "`seller` is not the code or the slug of the seller whose API key this is."
            raise SellerError(400, "unknown_seller", detail)
        if at is None:
            open_to = ", ".join(one.name for one in self._campaigns.open_to(seller)) or "none"
            raise SellerError(400, "unknown_campaign", f"Yours at this door are: {open_to}.")
        return at


def answered(answer: PostAnswer) -> Reply:
    """What became of a lead, in the document's words."""
    told: dict[str, Any] = {"success": answer.status != "rejected", "lead_id": answer.lead_id}
    if answer.status == "sold":
        told |= {"status": "sold", "price": answer.payout, "buyer_ids": answer.buyers}
    elif answer.status == "rejected":
        told |= {"status": "rejected", "reason": answer.reason}
    else:
        told["status"] = "pending"
    return reply_of(200, told)


def shaped(error: ExchangeError) -> Reply:
    """An error in the document's shape."""
    said = _BY_CODE.get(error.code) or _ERRORS.get(error.status, "Bad request")
    told: dict[str, Any] = {"success": False, "error": said, "code": error.code, "details": error.detail}
    if isinstance(error, SellerError) and error.mistakes:
        told["fields"] = sentences(error.mistakes)
    return reply_of(error.status, told, headers_of_error(error))


def _is_called(seller: TradedSeller, said: str) -> bool:
    """Whether this is the seller's code or its slug."""
    known = seller.seller
    return said.upper() == known.code or said.lower() == (known.slug or known.id)


def _needed(at: AtDoor | None) -> tuple[str, ...]:
    return ALWAYS if at is None else (SELLER, CATEGORY)


def _missing(missing: Sequence[FieldMistake], told: Sequence[FieldMistake] = ()) -> SellerError:
    """`told` are all mistakes, where some are of another kind."""
    names = ", ".join(mistake.field for mistake in missing)
    return SellerError(400, "missing_fields", f"Missing: {names}.", mistakes=told or missing)


def _bad(mistakes: Sequence[FieldMistake]) -> SellerError:
    return SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=mistakes)


def _camel(field: str) -> str:
    """`first_name` as `firstName`."""
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)
