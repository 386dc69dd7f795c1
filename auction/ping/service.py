"""The ping's way, top to bottom. `PingService.ping` is the whole of it on one screen.

The rules are elsewhere: eligibility in the market, bids and closing in `auction`, choosing in `bids`, caps in the
counters' scripts. What lives here is the order of things, and the time.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from asyncio import Future
from collections.abc import Callable
from time import perf_counter

import msgspec
import uuid_utils
from msgspec.structs import replace

from auction.clock import Clock
from auction.counters.answers import Admitted, Limited, Quota, Repeat, Running
from auction.counters.counters import Counters
from auction.errors import HouseError, SellerError
from auction.market.market import CampaignMarket, Eligibility, TradedSeller
from auction.market.masks import bits
from auction.market.model import FieldValue
from auction.market.reasons import Reason
from auction.market.routing import EVERYONE
from auction.ping.asking import Asking
from auction.ping.auction import Auction
from auction.ping.bids import Terms
from auction.ping.deadlines import granted_tmax_ms, reserve_ms, tier_share_ms
from auction.ping.floor import Floor
from auction.ping.hashes import NOTHING
from auction.ping.holding import Holding
from auction.ping.inbound import Bought, Inbound
from auction.ping.journal import PingJournal, Stage, Trace
from auction.ping.offer import (
    BuyerBid,
    OpenPing,
    PingAnswer,
    PingRequest,
    buyer_bids,
    decode_kept_answer,
)
from auction.ping.rate import too_many

RUNNING_RECHECK_S = 0.02
LEASE_SLACK_MS = 2_000
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Pinged(msgspec.Struct, frozen=True, gc=False):
    """An answer to a ping with what the door adds in headers: our own time, the buyers', the seller's rate.

    `buyers` are those that the seller may choose among, where it asked for them.
    """

    answer: PingAnswer
    own_us: int
    buyers_us: int
    rate: Quota | None
    open_ping: OpenPing | None = None
    buyers: tuple[BuyerBid, ...] = ()


class PingService:
    """Holds auctions. One per process; every auction in flight is bounded by `most_auctions`."""

    def __init__(
        self,
        floor: Callable[[], Floor],
        counters: Counters,
        asking: Asking,
        inbound: Inbound,
        journal: PingJournal,
        clock: Clock,
        most_auctions: int,
    ) -> None:
        self._floor = floor
        self._counters = counters
        self._asking = asking
        self._inbound = inbound
        self._journal = journal
        self._clock = clock
        self.holding = Holding(counters)
        self._most_auctions = most_auctions
        self.running = 0
        self.turned_away = 0
        self.too_late = 0
        self.repeats = 0

    async def ping(
        self,
        seller: TradedSeller,
        request: PingRequest,
        arrived_s: float,
        *,
        opens: bool = True,
        ping_id: str | None = None,
    ) -> Pinged:
        """One ping, from the door to the answer. `arrived_s` is `perf_counter()` at its first byte.

        `opens` false (a direct lead): the offer is for the caller alone; nothing is kept for a post, nor for an
        equal ping. `ping_id`: the caller's own, else a new one.

        Raises `SellerError` (what is wrong with the request) and `HouseError` (a store away, the house full).
        """
        floor, now_ms = self._floor(), self._clock.now_ms()
        campaign = campaign_for(floor, seller, request.campaign)
        tmax_ms = granted_tmax_ms(request.tmax_ms, campaign.rules.tmax_ms)
        deadline_s = arrived_s + (tmax_ms - reserve_ms(tmax_ms)) / 1000
        if opens and perf_counter() >= deadline_s:
            self.too_late += 1
            raise HouseError("overloaded", "Its time was up when its turn came; try again shortly.")
        values, mistakes = campaign.decoder.ping(request.lead)
        hashed = NOTHING
        if campaign.hashed_fields:
            digests, unhashable = campaign.decoder.hashed(request.lead)
            hashed, mistakes = floor.hashes.hashed(digests), [*mistakes, *unhashable]
        if request.mistakes:
            mistakes = [*request.mistakes, *mistakes]
        ping_id = ping_id or uuid_utils.uuid7().hex
        print_of = fingerprint(request, values, hashed.kept) if opens and not mistakes else None
        looked: Future[Bought] | None = None
        if campaign.ping_duplicates is not None and not (mistakes or request.test):
            looked = self._inbound.look(campaign, floor.hashes, values, hashed.digests)
        gate = await self._admit(seller, print_of, ping_id, now_ms, tmax_ms, deadline_s)
        if isinstance(gate, Repeat):
            self.repeats += 1
            kept = decode_kept_answer(gate.answer)
            return Pinged(kept.at(now_ms), _us_since(arrived_s), 0, gate, buyers=kept.buyers)
        if mistakes:
            raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=mistakes)
        trace = Trace(
            ping_id, seller, campaign.id, floor.market.version, now_ms, request, values, opens, arrived_s
        )
        trace.hashed = hashed
        trace.lap(Stage.ADMIT)
        open_ping: OpenPing | None = None
        try:
            if looked is not None:
                trace.bought = await looked
            open_ping, answer = await self._auction(floor, campaign, trace, deadline_s, print_of)
        finally:
            # No offer to repeat: the next such ping is a new one.
            if open_ping is None and print_of is not None:
                self._counters.forget(seller.id, print_of, ping_id)
        own_us = _us_since(arrived_s) - trace.buyers_us
        self._journal.keep(trace, answer, open_ping, own_us)
        buyers = buyer_bids(open_ping) if request.lists_buyers and open_ping is not None else ()
        return Pinged(answer, own_us, trace.buyers_us, gate, open_ping, buyers)

    async def offer_of(self, seller: TradedSeller, request: PingRequest) -> str | None:
        """The id of the ping that this seller sent of the same lead, if its offer stands.

        Only of pings whose seller chooses among the buyers. A lead is the same whether its ping told the hashes of
        who it is or did not. Raises `SellerError` and `HouseError` as `ping` does.
        """
        floor = self._floor()
        campaign = campaign_for(floor, seller, request.campaign)
        values, mistakes = campaign.decoder.ping(request.lead)
        if mistakes:
            return None
        digests, _ = campaign.decoder.hashed(request.lead)
        request = replace(request, lists_buyers=True)
        prints = {fingerprint(request, values, kept) for kept in (floor.hashes.kept(digests), None)}
        return await self._counters.offer_of(seller.id, sorted(prints), self._clock.now_ms())

    async def again(
        self,
        floor: Floor,
        campaign: CampaignMarket,
        seller: TradedSeller,
        ping: OpenPing,
        values: dict[str, FieldValue],
    ) -> OpenPing | None:
        """The auction of a lead that changed between ping and post: a new one, under the same ping's id."""
        known = {name: values[name] for name in campaign.ping_fields if name in values}
        # The floor that the seller asked for holds on.
        lowest = ping.terms.margin.payout_micros(ping.terms.lowest_price_micros)
        request = PingRequest(ping.campaign, known, floor_micros=lowest, sub_id=ping.sub_id, test=ping.test)
        trace = Trace(
            ping.ping_id,
            seller,
            campaign.id,
            floor.market.version,
            self._clock.now_ms(),
            request,
            known,
            False,
            perf_counter(),
        )
        trace.hashed = floor.hashes.hashed(campaign.decoder.digests(values, ping.hashed))
        started_s = perf_counter()
        deadline_s = started_s + campaign.rules.tmax_ms / 1000
        open_ping, answer = await self._auction(floor, campaign, trace, deadline_s, None)
        self._journal.keep(trace, answer, open_ping, _us_since(started_s) - trace.buyers_us)
        return open_ping

    async def _auction(
        self, floor: Floor, campaign: CampaignMarket, trace: Trace, deadline_s: float, print_of: bytes | None
    ) -> tuple[OpenPing | None, PingAnswer]:
        """One auction: eligible orders are asked tier by tier, a lead route's team before the others, until the places
        of a winning mix are held.
        """
        if self.running >= self._most_auctions:
            self.turned_away += 1
            raise HouseError("house_full", "Too many auctions are running; try again shortly.")
        self.running += 1
        try:
            if campaign.guarded and (why := self._inbound.refusal(campaign, trace)) is not None:
                return None, PingAnswer(trace.ping_id, "no_bid", reason=why.value, test=trace.request.test)
            terms = terms_for(campaign, trace.seller, trace.request)
            eligible = self._eligible(floor, campaign, trace, terms)
            if trace.bought:
                eligible = self._inbound.without_repeats(campaign, trace, eligible)
            if trace.request.buyer is not None:
                eligible = _of_buyer(floor, campaign, trace, eligible)
            book = Auction(terms)
            trace.asked, trace.outcomes = book.asked, book.outcomes
            turns = campaign.turns(eligible, trace.routed.first if trace.routed is not None else 0)
            fair_s = tier_share_ms(campaign.rules.tmax_ms, len(turns)) / 2000
            for place, mask in enumerate(turns):
                left_ms = (deadline_s - perf_counter()) * 1000
                share_s = tier_share_ms(left_ms, len(turns) - place) / 1000
                if share_s < fair_s:
                    trace.hurried = True
                await self._asking.ask_tier(floor, campaign, trace, book, mask, share_s)
                held = await self.holding.hold_best(
                    floor, campaign, trace, book, print_of, self._clock.now_ms()
                )
                trace.lap(Stage.HOLD)
                if held is not None:
                    return held
            return None, PingAnswer(
                trace.ping_id, "no_bid", reason=trace.why_no_bid(), test=trace.request.test
            )
        finally:
            self.running -= 1

    async def _admit(
        self,
        seller: TradedSeller,
        print_of: bytes | None,
        ping_id: str,
        now_ms: int,
        tmax_ms: int,
        deadline_s: float,
    ) -> Admitted | Repeat:
        """Rate limit and repeated ping, in one atomic call. A repeat of a ping that is still running waits for it."""
        rate, lease_ms = seller.rate, tmax_ms + LEASE_SLACK_MS
        while True:
            gate = await self._counters.admit(seller.id, rate, print_of, ping_id, now_ms, lease_ms)
            if isinstance(gate, Limited):
                raise too_many("ping", gate)
            if not isinstance(gate, Running):
                return gate
            if perf_counter() + RUNNING_RECHECK_S >= deadline_s:
                raise SellerError(
                    409,
                    "ping_in_progress",
                    "The same ping is being auctioned just now.",
                    headers=[("retry-after", "1")],
                )
            await asyncio.sleep(RUNNING_RECHECK_S)
            rate = None  # it was counted once

    def _eligible(self, floor: Floor, campaign: CampaignMarket, trace: Trace, terms: Terms) -> int:
        routed = None if campaign.routing is None else campaign.routing.of(trace.values)
        trace.routed = routed
        found: Eligibility = campaign.eligible(
            trace.values,
            trace.at_ms,
            trace.seller.id,
            full=0
            if trace.request.test
            else floor.known_full(campaign, trace.at_ms, terms.lowest_price_micros),
            unhealthy=self._asking.sick(floor, campaign, trace.ping_id),
            lowest_price_micros=terms.lowest_price_micros,
            allowed=EVERYONE if routed is None else routed.allowed,
        )
        trace.eligibility = found
        trace.lap(Stage.ELIGIBLE)
        return found.eligible


def _of_buyer(floor: Floor, campaign: CampaignMarket, trace: Trace, eligible: int) -> int:
    """The eligible orders of the one buyer that the seller named."""
    assert trace.request.buyer is not None
    named = floor.buyer_masks[campaign.id].get(trace.request.buyer, 0)
    trace.drop((campaign.orders[bit] for bit in bits(eligible & ~named)), Reason.NOT_CHOSEN)
    return eligible & named


def campaign_for(floor: Floor, seller: TradedSeller, campaign_id: str) -> CampaignMarket:
    """The campaign, if it is there and this seller may sell in it. Raises `SellerError` 404 or 403."""
    campaign = floor.market.campaigns.get(campaign_id)
    if campaign is None:
        raise SellerError(404, "unknown_campaign", f"There is no campaign {_shown(campaign_id)}.")
    if campaign_id not in seller.campaigns:
        raise SellerError(403, "not_your_campaign", f"Campaign {campaign_id!r} is not open to you.")
    return campaign


def _shown(campaign_id: str) -> str:
    """The id that was sent, if it could be one: no problem repeats what may be somebody's name."""
    return repr(campaign_id) if _ID.fullmatch(campaign_id) else "of that id"


def terms_for(campaign: CampaignMarket, seller: TradedSeller, request: PingRequest) -> Terms:
    """The campaign's rules with this seller's margin and floor worked in."""
    rules = campaign.rules
    lowest = max(int(rules.floor_micros), seller.margin.lowest_price_micros(request.floor_micros))
    return Terms(rules.mode, rules.max_buyers, rules.pays, rules.select, lowest, seller.margin)


def fingerprint(
    request: PingRequest, values: dict[str, FieldValue], hashed: dict[str, str] | None = None
) -> bytes:
    """What makes two pings of one seller the same ping: campaign, floor, test, and the normalised fields.

    `hashed` are the keyed hashes of those that name a person.
    """
    told = sorted(values.items())
    if hashed:
        told += sorted(hashed.items())
    same: tuple[object, ...] = (request.campaign, request.floor_micros, request.test, request.sub_id, told)
    if request.lists_buyers:  # its answer says more
        same += (True,)
    return hashlib.blake2b(msgspec.msgpack.encode(same), digest_size=16).digest()


def _us_since(start_s: float) -> int:
    return int((perf_counter() - start_s) * 1e6)
