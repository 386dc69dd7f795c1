"""A direct lead's way: ping and post in one, from the door to its answer.

Its auction is that of any ping (`ping.service`) and its sale that of any post (`PostService.sell`). What is its own is
how it is known again: by its request's key, for nobody ever saw its ping.
"""

from __future__ import annotations

from collections.abc import Callable

import uuid_utils
from msgspec.structs import replace

from auction.errors import SellerError
from auction.market.fields import PostDecoded
from auction.market.market import CampaignMarket, TradedSeller
from auction.ping.floor import Floor
from auction.ping.offer import PingAnswer, PingRequest
from auction.ping.service import Pinged, PingService, campaign_for
from auction.post.answer import PostRequest
from auction.post.claiming import Opened
from auction.post.keeping import Keeping
from auction.post.service import PostService

_NO_SUCH_OFFER = frozenset({"no_such_bid", "no_offer", "offer_expired", "unknown_ping", "used_ping"})
"""What a post is told whose ping is not to be had (any more), or has no bid of the buyer that it names."""


class DirectService:
    """Takes whole leads. Their posts are bounded with all others."""

    def __init__(
        self, floor: Callable[[], Floor], pings: PingService, posts: PostService, keeping: Keeping
    ) -> None:
        self._floor = floor
        self._pings = pings
        self._posts = posts
        self._keeping = keeping

    async def direct(
        self,
        seller: TradedSeller,
        request: PingRequest,
        body_hash: bytes,
        arrived_s: float,
        key: str | None = None,
        *,
        keeps: bool = False,
    ) -> tuple[Pinged, bytes | None]:
        """The ping's fields go to auction, all fields to the winner.

        `key` is the request's `Idempotency-Key`: its ping's id follows from it, and of one ping the ledger takes one
        lead, so the same request again gets the same answer (P5). Without one, every request is a new lead.

        With a `buyer` in the request the lead is sold by the offer that an equal ping of this seller got, if that
        stands and the buyer is in it; else that buyer alone is asked.

        Gives the ping's answer, and the post's (JSON) unless nobody bid. With `keeps` a lead for which nobody bid is
        written down too: it waits for a buyer, or is rejected, as its campaign has it (`keeping`). Raises `SellerError`
        and `HouseError`.
        """
        floor, posts = self._floor(), self._posts
        campaign = campaign_for(floor, seller, request.campaign)
        decoded = _decode(campaign, request)
        asked = _as_ping(campaign, request)
        ping_id = None if key is None else posts.keyed(f"{seller.id}:{key}".encode()).hex()[:32]
        by_key = ping_id if request.buyer is not None else None
        if request.buyer is not None:
            whole = PostRequest("", request.lead, body_hash, request.buyer, by_key)
            adopted = await self._by_its_ping(seller, asked, whole)
            if adopted is not None:
                return adopted
        lead_id, body_hash = uuid_utils.uuid7().hex, posts.keyed(body_hash)
        with posts.place():
            if ping_id is not None:
                earlier = await self._earlier(seller, PostRequest(ping_id, {}, body_hash, keyed=by_key))
                if earlier is not None:
                    return earlier
            pinged = await self._pings.ping(seller, asked, arrived_s, opens=False, ping_id=ping_id)
            ping = pinged.open_ping
            if ping is None and not keeps:
                return pinged, None
            if ping is None:
                unsold = (asked, decoded.values, pinged.answer, body_hash, lead_id)
                return pinged, await self._keeping.keep(
                    floor, campaign, seller, *unsold, keyed=ping_id is not None
                )
            if ping_id is not None:  # a repeat that runs at the same time has the same places: they stay held
                ping = replace(ping, opens=True)
            opened, posted = Opened(ping, b""), PostRequest(ping.ping_id, {}, body_hash, keyed=by_key)
            sold = await posts.sell(floor, campaign, seller, opened, decoded.values, posted, lead_id)
            return pinged, sold

    async def _by_its_ping(
        self, seller: TradedSeller, asked: PingRequest, whole: PostRequest
    ) -> tuple[Pinged, bytes] | None:
        """The lead sold against the offer that its seller got for it; None where there is none to be had. The same
        request again, by its key, is sold by the same offer, and once it is sold gets its answer from the ledger."""
        keyed, claiming = whole.keyed, self._posts.claiming
        if keyed is not None:
            posted = PostRequest(keyed, {}, self._posts.keyed(whole.body_hash), keyed=keyed)
            earlier = await self._earlier(seller, posted)
            if earlier is not None:
                return earlier
        ping_id = None if keyed is None else await claiming.adopted(keyed)
        if ping_id is None:
            ping_id = await self._pings.offer_of(seller, asked)
            if ping_id is None:
                return None
            if keyed is not None:
                await claiming.adopt(keyed, ping_id)
        try:
            sold = await self._posts.post(seller, replace(whole, ping_id=ping_id))
        except SellerError as error:
            if error.code not in _NO_SUCH_OFFER:
                raise
            return None
        return _of_offer(ping_id), sold

    async def _earlier(self, seller: TradedSeller, posted: PostRequest) -> tuple[Pinged, bytes] | None:
        """What this request was answered before, by the ledger."""
        earlier = await self._posts.claiming.earlier(seller, posted)
        return None if earlier is None else (_of_offer(posted.ping_id), earlier)


def _decode(campaign: CampaignMarket, request: PingRequest) -> PostDecoded:
    """All fields of the lead. Raises `SellerError` 422 with every mistake."""
    decoded = campaign.decoder.post(request.lead, {})
    if decoded.mistakes or request.mistakes:
        mistakes = [*request.mistakes, *decoded.mistakes]
        raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=mistakes)
    return decoded


def _as_ping(campaign: CampaignMarket, request: PingRequest) -> PingRequest:
    """What of it goes to auction: the fields of a ping."""
    names = (*campaign.ping_fields, *campaign.hashed_fields)
    return replace(request, lead={name: request.lead[name] for name in names if name in request.lead})


def _of_offer(ping_id: str) -> Pinged:
    """What stands for the ping where none was held now."""
    return Pinged(PingAnswer(ping_id, "offer"), 0, 0, None)
