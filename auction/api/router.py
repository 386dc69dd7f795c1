"""The door of the lead routing API: `POST /api.php`, as its two guides have it.

A lead is one flat object (JSON, or a form), and the answer one word: `accepted` or `rejected`, with the lead's id, by
which `GET /leads/{lead_id}` tells what became of it later.

`accepted` means that the lead is saved and is the house's to settle. Mostly it is sold by then; where it is not, the
answer says `"state": "pending"`: nobody buys it yet and it is tried again (where the campaign has `pending_hours`), or
one buyer's answer was lost and is being found out. `rejected` is final, and has its `reason`. Both are 200. A request
that is wrong gets `rejected` too, with the status of its kind: 400 for what is no JSON, 422 for fields that are missing
or bad, each with its sentence in `errors`.

A key may be sent as to any door, or as `api_key` in the body. Where none is, the lead is the seller's that the campaign
names as `keyless`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from auction import log
from auction.api.at_door import AtDoor, CampaignsAtDoor
from auction.api.bodies import Bodies
from auction.api.dialect import read_named, same_fields, to_ours, to_theirs
from auction.api.gate import arrived
from auction.api.replies import headers_of_error, respond_reply
from auction.api.shaped import WholeLead, reply_of, sentences
from auction.api.wire import headers_of, key_of
from auction.errors import ExchangeError, FieldMistake, SellerError
from auction.exchange import Exchange
from auction.idempotency import Reply, linked
from auction.market.doors import RouterDoor as RouterNames
from auction.market.market import TradedSeller
from auction.market.values import STATE_CODES
from auction.ping.offer import PingRequest
from auction.post.answer import PostAnswer

KEY, CAMPAIGN = "api_key", "campaign"
"""What stands beside the lead's fields."""
ASKED_FOR = ("name", "phone")
"""The guides ask for these in every lead."""


class RouterDoor:
    """`POST /api.php`."""

    def __init__(self, exchange: Exchange, bodies: Bodies) -> None:
        self._exchange = exchange
        self._bodies = bodies
        self._campaigns = CampaignsAtDoor("router", lambda: exchange.floor.market)

    async def lead(self, scope: Scope, receive: Receive, send: Send) -> int:
        """One lead, from the wire to its answer. Every request is logged, with its outcome.

        (Another method, and what broke, by whom it is answered then; what is refused at the gate is counted alone.)
        """
        arrived_s = arrived(scope)
        try:
            reply = await self._lead(scope, receive, arrived_s)
        except ExchangeError as error:
            reply = shaped(error)
        note(reply)
        return await respond_reply(send, reply)

    async def _lead(self, scope: Scope, receive: Receive, arrived_s: float) -> Reply:
        headers = headers_of(scope)
        data = await read_named(self._bodies, scope, receive)
        sent_key, said = _text(data, KEY), _text(data, CAMPAIGN)
        key = key_of(headers) or sent_key
        seller, at = self._whose(key, said)
        sent = {
            name: value
            for name, value in data.items()
            if value is not None and name not in (KEY, CAMPAIGN)  # a null is a field left out
        }
        fields = _Fields(at, sent)
        request = PingRequest(at.id, fields.lead, mistakes=fields.mistakes)
        known = {name: value for name, value in data.items() if name != KEY}
        lead = WholeLead(self._exchange, "api.php", seller, at.market, request, known, headers, arrived_s)
        return await lead.answer(answered, lambda error: shaped(fields.named(error)))

    def _whose(self, key: str | None, said: str | None) -> tuple[TradedSeller, AtDoor]:
        """The seller and the campaign. Raises `SellerError` 401, 422."""
        if key is not None:
            seller = self._exchange.seller_of(key)
            at = None if said is None else self._campaigns.called(said, seller)
            choices = self._campaigns.open_to(seller)
        else:
            choices = [at for at in self._campaigns.all() if self._keyless(at) is not None]
            found = [at for at in choices if said is not None and said.strip().casefold() in _called(at)]
            at, seller = (found[0] if found else None), None
            if not choices:
                self._exchange.seller_of(None)
        if said is None and len(choices) == 1:
            at = choices[0]
        if at is None:
            raise _which(said, choices)
        seller = seller or self._keyless(at)
        assert seller is not None, "a choice without a key has its seller"
        return seller, at

    def _keyless(self, at: AtDoor) -> TradedSeller | None:
        """Whose the leads of this campaign are that come without a key."""
        assert isinstance(at.names, RouterNames)
        seller = self._exchange.floor.market.sellers.get(at.names.keyless or "")
        return None if seller is None or seller.seller.paused or at.id not in seller.campaigns else seller


class _Fields:
    """A lead by the campaign's names, and back.

    By themselves, where the campaign has no field of that name and does not map it: `name` is `full_name`, or is split
    into `first_name` and `last_name`; `geo` is `state` where its value is one, else `country`.
    """

    def __init__(self, at: AtDoor, sent: Mapping[str, Any]) -> None:
        self._at = at
        self._sent = sent
        self._usual: dict[str, str] = {}
        self._parts: tuple[str, ...] = ()
        theirs = dict(sent)
        if self._is_free("name"):
            self._place_name(theirs)
        if self._is_free("geo"):
            self._place_geo(theirs.get("geo"))
        self.lead = to_ours(at.names, theirs, self._usual)
        self.mistakes = same_fields(at.names, theirs, self._usual)
        for name in ASKED_FOR:
            ours = at.names.fields.get(name) or self._usual.get(name, name)
            if at.has(ours) and self.lead.get(ours) is None:
                self.mistakes.append(FieldMistake(f"lead.{ours}", "is required"))

    def named(self, error: ExchangeError) -> ExchangeError:
        """The error with its fields as the sender calls them; and whether some of them were not there at all."""
        if not isinstance(error, SellerError) or error.code != "bad_fields":
            return error
        missing = {mistake.field for mistake in error.mistakes if self._is_missing(mistake.field)}
        mistakes = to_theirs(self._at.names, map(self._of_parts, error.mistakes), self._usual, self._sent)
        if not missing:
            return SellerError(422, "bad_fields", error.detail, mistakes=mistakes)
        return SellerError(422, "missing_fields", "Some fields are missing.", mistakes=mistakes)

    def _is_free(self, name: str) -> bool:
        return name not in self._at.names.fields and not self._at.has(name)

    def _place_name(self, theirs: dict[str, Any]) -> None:
        if self._at.has("full_name"):
            self._usual["name"] = "full_name"
        elif self._at.has("first_name") and not self._at.has("last_name"):
            self._usual["name"] = "first_name"
        elif self._at.has("first_name"):
            self._parts = ("first_name", "last_name")
            whole = theirs.get("name")
            if isinstance(whole, str) and not any(part in theirs for part in self._parts):
                del theirs["name"]
                words = whole.split(maxsplit=1)
                theirs |= zip(self._parts, words, strict=False)

    def _place_geo(self, value: object) -> None:
        homes = [name for name in ("state", "country") if self._at.has(name)]
        if len(homes) == 2:
            is_state = value is None or (isinstance(value, str) and value.strip().upper() in STATE_CODES)
            homes = ["state"] if is_state else ["country"]
        if homes:
            self._usual["geo"] = homes[0]

    def _is_missing(self, field: str) -> bool:
        ours = field.removeprefix("lead.")
        if ours in self._parts and "name" in self._sent:
            return False
        return self._at.has(ours) and self.lead.get(ours) is None

    def _of_parts(self, mistake: FieldMistake) -> FieldMistake:
        ours = mistake.field.removeprefix("lead.")
        if ours not in self._parts or ours in self._sent:
            return mistake
        whole = "expected a first and a last name" if "name" in self._sent else "is required"
        return FieldMistake("lead.name", whole)


def answered(answer: PostAnswer) -> Reply:
    """What became of a lead, in the guides' words."""
    told: dict[str, str] = {"status": "rejected" if answer.status == "rejected" else "accepted"}
    if answer.status == "rejected":
        told["reason"] = answer.reason or "rejected"
    elif answer.status != "sold":
        told["state"] = "pending"
    told["lead_id"] = answer.lead_id
    if answer.redirect_url:
        told["redirect_url"] = answer.redirect_url
    return linked(reply_of(200, told), answer.lead_id, answer.redirect_url)


def shaped(error: ExchangeError) -> Reply:
    """An error in the guides' shape: `reason` is its code, `errors` has a sentence for each bad field."""
    told: dict[str, Any] = {"status": "rejected", "reason": error.code, "detail": error.detail}
    if isinstance(error, SellerError) and error.mistakes:
        told["errors"] = sentences(error.mistakes)
    return reply_of(error.status, told, headers_of_error(error))


def _which(said: str | None, choices: list[AtDoor]) -> SellerError:
    """The campaign is not clear."""
    named = ", ".join(at.name for at in choices) or "none: no campaign takes leads from you at this door"
    mistake = FieldMistake(
        CAMPAIGN, f"{'is required' if said is None else 'is none of yours'}; the choices are {named}"
    )
    detail = "Say in `campaign` which one the lead is for."
    return SellerError(422, "which_campaign", detail, mistakes=[mistake])


def _called(at: AtDoor) -> tuple[str, str]:
    return at.id, at.name.casefold()


def _text(data: Mapping[str, Any], name: str) -> str | None:
    """One of the words beside the lead. Raises `SellerError` 422."""
    value = data.get(name)
    if value is None or isinstance(value, str):
        return value or None
    mistakes = [FieldMistake(name, "expected text")]
    raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=mistakes)


def note(reply: Reply) -> None:
    """One line of the log for each request: the outcome and the lead, no word of the sender's."""
    told = msgspec.json.decode(reply.body)
    known = {name: told.get(name) for name in ("status", "state", "reason", "lead_id")}
    log.event("request", door="api.php", http=reply.status, **{k: v for k, v in known.items() if v})
