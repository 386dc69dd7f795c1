"""The door of the lead distribution API (document 002): `/api/v1/ping` and `/api/v1/ingest`.

Fields of a lead stand beside the envelope's own keys, by the names that the campaign has at this door. What the
document leaves open is settled so:

- A ping may carry all that the caller has: what only goes with the lead is dropped before anything is done with it
  (P7), for the callers' scripts know one set of fields.
- `status` is `ACCEPTED`, or `UNMATCHED` with a `reason` where nobody has the lead; and `PENDING` where a buyer's answer
  was lost and it is not known yet whether it has it.
- A lead that nobody bid on is written down, and waits where its campaign says so; but one whose named buyer did not
  bid is not: its `id` is that of its auction.
- Errors are `application/problem+json`, as at the native door.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from auction.api.at_door import CampaignsAtDoor
from auction.api.bodies import Bodies
from auction.api.dialect import read_named, same_fields, to_ours, to_theirs
from auction.api.gate import arrived
from auction.api.idempotency import KeyedDoor, hash_of, of_the_key, read_key
from auction.api.replies import ping_headers, respond_reply
from auction.api.said import Said
from auction.api.wire import JSON_TYPE, encode_json, headers_of, key_of
from auction.errors import FieldMistake, SellerError
from auction.exchange import Exchange
from auction.idempotency import Header, KeyedRequest, Reply
from auction.market.doors import DISTRO_NEEDED, DoorNames
from auction.market.market import CampaignMarket, TradedSeller
from auction.market.money import to_wire
from auction.ping.offer import PingAnswer, PingRequest, iso_utc
from auction.ping.rate import rate_headers
from auction.ping.service import LEASE_SLACK_MS, Pinged
from auction.post.answer import PostAnswer, PostRequest, decode_post_answer
from auction.post.claiming import LEASE_MS as POST_LEASE_MS

ENVELOPE = frozenset({"flo_campaign_id", "flo_supplier_id", "ping_id", "buyer_id"})
ACCEPTED, UNMATCHED, PENDING, MATCHED = "ACCEPTED", "UNMATCHED", "PENDING", "MATCHED"
_STATUSES = {"sold": ACCEPTED, "pending": PENDING}


class DistroLead(msgspec.Struct, frozen=True, omit_defaults=True):
    """A lead that was ingested. `buyer_ids` are there where more than one buyer has it."""

    id: str
    status: str
    buyer_id: str | None
    campaign_id: str
    buyer_ids: tuple[str, ...] = ()
    reason: str | None = None


class DistroIngested(msgspec.Struct, frozen=True):
    """`200` of `POST /api/v1/ingest`."""

    data: DistroLead


class DistroBid(msgspec.Struct, frozen=True):
    """A buyer that is available. `bid` is what the supplier gets if it chooses this one, until `expires_at`."""

    buyer_id: str
    bid: float
    currency: str
    exclusive: bool
    expires_at: str


class DistroOffer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The buyers that are available, the best bid first. No lead was created."""

    ping_id: str
    campaign_id: str
    status: str
    expires_at: str | None
    buyers: tuple[DistroBid, ...]
    reason: str | None = None


class DistroPinged(msgspec.Struct, frozen=True):
    """`200` of `POST /api/v1/ping`."""

    data: DistroOffer


class _Sent(NamedTuple):
    """A request as it came: who sends it, for which campaign, and the lead by our names."""

    seller: TradedSeller
    campaign: CampaignMarket
    names: DoorNames
    data: Mapping[str, Any]
    lead: dict[str, Any]
    key: str | None
    arrived_s: float

    @property
    def called(self) -> str:
        """The campaign as the sender calls it."""
        return str(self.data["flo_campaign_id"])

    def refusal(self, error: SellerError) -> SellerError:
        """The same error, its fields called as the sender calls them."""
        told = dict.fromkeys(to_theirs(self.names, error.mistakes, {}, self.data))
        return SellerError(error.status, error.code, error.detail, mistakes=list(told), headers=error.headers)


class DistroDoor:
    """Reads requests into what the services take, and their answers into the document's shape."""

    def __init__(self, exchange: Exchange, bodies: Bodies) -> None:
        self._exchange = exchange
        self._bodies = bodies
        self._keyed = KeyedDoor(exchange)
        self._campaigns = CampaignsAtDoor("distro", lambda: exchange.floor.market)

    async def ping(self, scope: Scope, receive: Receive, send: Send) -> int:
        """`POST /api/v1/ping`: the buyers that are available, and what they bid."""
        sent = await self._read(scope, receive)
        tmax_ms = sent.campaign.rules.tmax_ms
        work = partial(self._ping, sent)
        return await self._answer(send, sent, "distro ping", work, tmax_ms, tmax_ms + LEASE_SLACK_MS)

    async def ingest(self, scope: Scope, receive: Receive, send: Send) -> int:
        """`POST /api/v1/ingest`: the lead itself, to the buyer that was chosen or to the best."""
        sent = await self._read(scope, receive)
        tmax_ms = sent.campaign.rules.tmax_ms
        wait_ms = tmax_ms + self._exchange.settings.post_wait_ms
        rate = rate_headers(await self._exchange.post_rate.admit(sent.seller))
        work = partial(self._ingest, sent, rate)
        return await self._answer(
            send, sent, "distro ingest", work, wait_ms, tmax_ms + POST_LEASE_MS, by_ledger=True
        )

    async def _answer(
        self,
        send: Send,
        sent: _Sent,
        door: str,
        work: partial[Any],
        wait_ms: int,
        lease_ms: int,
        by_ledger: bool = False,
    ) -> int:
        if sent.key is None:
            return await respond_reply(send, await work())
        keyed = KeyedRequest(
            caller=f"seller:{sent.seller.id}",
            key=sent.key,
            door=door,
            body_hash=hash_of(sent.data),
            give_up_s=sent.arrived_s + wait_ms / 1000,
            lease_ms=lease_ms,
            by_ledger=by_ledger,
        )
        return await self._keyed.answer(send, keyed, work)

    async def _ping(self, sent: _Sent) -> Reply:
        known = {name: value for name, value in sent.lead.items() if name not in sent.campaign.later_fields}
        request = PingRequest(sent.campaign.id, known, lists_buyers=True)
        try:
            pinged = await self._exchange.pings.ping(sent.seller, request, sent.arrived_s)
        except SellerError as error:
            raise sent.refusal(error) from None
        body = encode_json(DistroPinged(self._offer(pinged, sent.called)))
        return Reply(200, body, (JSON_TYPE,), ping_headers(pinged))

    async def _ingest(self, sent: _Sent, rate: tuple[Header, ...]) -> Reply:
        said = Said(sent.data)
        ping_id, buyer = said.text("ping_id"), said.text("buyer_id")
        for name in DISTRO_NEEDED:
            if sent.data.get(name) is None:
                said.wrong(name, "is required")
        try:
            if ping_id is not None and not said.mistakes:
                posted = PostRequest(ping_id, sent.lead, hash_of(sent.data), buyer)
                answer = await self._exchange.posts.post(sent.seller, posted)
                return Reply(200, _ingested(decode_post_answer(answer), sent), (JSON_TYPE,), rate)
            return await self._direct(sent, buyer, said.mistakes)
        except SellerError as error:
            raise sent.refusal(error) from None

    async def _direct(self, sent: _Sent, buyer: str | None, mistakes: list[FieldMistake]) -> Reply:
        """Ping and post in one: to the buyer that is named, or to the best."""
        request = PingRequest(sent.campaign.id, sent.lead, buyer=buyer, mistakes=mistakes)
        directs = self._exchange.directs
        try:
            pinged, answer = await directs.direct(
                sent.seller, request, hash_of(sent.data), sent.arrived_s, sent.key, keeps=buyer is None
            )
        except SellerError as error:
            raise error if sent.key is None else of_the_key(error) from None
        body = _ingested(decode_post_answer(answer) if answer else pinged.answer, sent)
        from_before = answer is not None and pinged.open_ping is None and pinged.answer.status == "offer"
        known = sent.key is not None and buyer is None and from_before
        return Reply(200, body, (JSON_TYPE,), ping_headers(pinged), replayed=known)

    def _offer(self, pinged: Pinged, called: str) -> DistroOffer:
        answer, currency = pinged.answer, self._exchange.floor.market.house.currency
        buyers = tuple(
            DistroBid(
                one.buyer_id, to_wire(one.payout_micros), currency, one.exclusive, iso_utc(one.until_ms)
            )
            for one in pinged.buyers
        )
        status = MATCHED if buyers else UNMATCHED
        return DistroOffer(answer.ping_id, called, status, answer.expires_at, buyers, answer.reason)

    async def _read(self, scope: Scope, receive: Receive) -> _Sent:
        """Who sends what. Raises `SellerError`: 401 first, then what is wrong with the body."""
        arrived_s = arrived(scope)
        headers = headers_of(scope)
        seller = self._exchange.seller_of(key_of(headers))
        data = await read_named(self._bodies, scope, receive)
        raw_key = headers.get(b"idempotency-key")
        key = None if raw_key is None else read_key(raw_key)
        said = Said(data)
        called = said.text("flo_campaign_id", required=True)
        supplier = said.text("flo_supplier_id", required=True)
        said.done()
        assert called is not None, "without one there is a mistake"
        if supplier not in (seller.id, seller.seller.slug, seller.seller.code):
            raise SellerError(403, "not_your_supplier", "The key is not of this flo_supplier_id.")
        at = self._campaigns.called(called, seller)
        if at is None:
            raise SellerError(404, "unknown_campaign", "There is no campaign of this flo_campaign_id.")
        # a null is a field left out
        fields = {name: value for name, value in data.items() if value is not None and name not in ENVELOPE}
        mistakes = same_fields(at.names, fields, {})
        if mistakes:
            raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=mistakes)
        return _Sent(seller, at.market, at.names, data, to_ours(at.names, fields, {}), key, arrived_s)


def _ingested(answer: PostAnswer | PingAnswer, sent: _Sent) -> bytes:
    """A post's answer, or that of a ping that nobody bid on, as the document has it."""
    if isinstance(answer, PingAnswer):
        return encode_json(
            DistroIngested(DistroLead(answer.ping_id, UNMATCHED, None, sent.called, reason=answer.reason))
        )
    status, buyers = _STATUSES.get(answer.status, UNMATCHED), answer.buyers
    lead = DistroLead(
        answer.lead_id, status, buyers[0] if buyers else None, sent.called, reason=answer.reason
    )
    return encode_json(DistroIngested(replace(lead, buyer_ids=buyers) if len(buyers) > 1 else lead))
