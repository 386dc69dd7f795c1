"""The post's way, top to bottom (DESIGN 5). `PostService.post` and `_sell` are the whole of it.

The order of things is the promise: a post is *claimed* before it is read, the intent is *durable* before anything
leaves the house, a place is *kept* before its buyer is asked to pay for it, and the answer is *durable* before
it is given (P1, P3, P4). Whom to offer to next, and what the lead then is, `sale` decides.

A store that fails before anything was offered costs the seller a 503 and no more: the same post can be sent again. But
a step that failed may have been done. What it may have left behind is taken back in the background until
that is certain (`owed`): a claim by `unclaim`, an intent by `take_back`. Both are safe whenever they happen, because
only the one who would have offered the lead owes them, after it gave up, and they touch nothing but its own; and
whatever they do not catch, the ledger decides alone: of all leads of a ping it takes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter

import uuid_utils
from msgspec.structs import replace

from auction import log
from auction.clock import Clock
from auction.counters.answers import Busy, Claimed, Expired
from auction.counters.counters import Counters
from auction.errors import FieldMistake, HouseError, SellerError
from auction.ledger.faults import ImpossibleMove, SaleRefused
from auction.ledger.leads import (
    add_offers,
    find_lead,
    find_lead_by_ping,
    settle,
    take_back,
    take_lead,
    void_lead,
)
from auction.ledger.pings import find_ping
from auction.ledger.reader import Reader
from auction.ledger.records import AlreadyTaken, Duplicate, Lead, NewLead, NewOffer, Settlement
from auction.ledger.sealing import Sealer
from auction.ledger.writer import Writer
from auction.market.fields import Changed
from auction.market.market import CampaignMarket, TradedSeller
from auction.market.model import FieldValue
from auction.ping.bids import Win
from auction.ping.floor import Floor
from auction.ping.offer import OpenPing, PingRequest, decode_open_ping
from auction.ping.service import Pinged, PingService, campaign_for
from auction.post.answer import PostRequest, encode_post_answer
from auction.post.offering import Offering
from auction.post.owed import Owed
from auction.post.records import LeadDraft, Told, draft_lead
from auction.post.sale import Sale
from auction.tally import counts

WAIT_STEP_S = 0.05
CLAIM_LEASE_MS = 120_000
SETTLE_TRIES = 5
_REFUSED = (ImpossibleMove, SaleRefused)


class PostService:
    """Sells leads. One per process."""

    def __init__(
        self,
        floor: Callable[[], Floor],
        counters: Counters,
        writer: Writer,
        reader: Reader,
        offering: Offering,
        pings: PingService,
        sealer: Sealer,
        clock: Clock,
        worker: str,
        wait_ms: int,
        most_posts: int,
    ) -> None:
        self._floor = floor
        self._counters = counters
        self._writer = writer
        self._reader = reader
        self._offering = offering
        self._pings = pings
        self._sealer = sealer
        self._clock = clock
        self._worker = worker
        self._wait_s = wait_ms / 1000
        self._most_posts = most_posts
        self.running = 0
        self.turned_away = 0
        self.outcomes = counts()  # (the state that a lead came to,)
        self.owed_to_counters = Owed("counters")
        self.owed_to_ledger = Owed("ledger")

    async def close(self) -> None:
        """Take back what is owed still, as far as the stores let us."""
        await asyncio.gather(self.owed_to_counters.close(), self.owed_to_ledger.close())

    async def post(self, seller: TradedSeller, request: PostRequest) -> bytes:
        """One post, from the door to its answer (JSON). Raises `SellerError` and `HouseError`."""
        with self._place():
            return await self._post(seller, request)

    async def _post(self, seller: TradedSeller, request: PostRequest) -> bytes:
        lead_id = uuid_utils.uuid7().hex
        ping = await self._claim(seller, request, lead_id)
        if isinstance(ping, bytes):
            return ping
        try:
            floor = self._floor()
            campaign = campaign_for(floor, seller, ping.campaign)
            values, changed = _decode(campaign, request, ping)
            if changed:
                ping = await self._auction_again(floor, campaign, seller, ping, values)
        except BaseException:
            await self._unclaim(request.ping_id, lead_id)
            raise
        return await self._sell(floor, campaign, ping, values, request.body_hash, lead_id)

    async def direct(
        self, seller: TradedSeller, request: PingRequest, body_hash: bytes, arrived_s: float
    ) -> tuple[Pinged, bytes | None]:
        """Ping and post in one: the ping's fields go to auction, all fields to the winner.

        Gives the ping's answer, and the post's (JSON) unless nobody bid.
        """
        floor = self._floor()
        campaign = campaign_for(floor, seller, request.campaign)
        decoded = campaign.decoder.post(request.lead, {})
        if decoded.mistakes:
            raise SellerError(
                422, "bad_fields", "Some fields of the lead are wrong.", mistakes=decoded.mistakes
            )
        known = {name: request.lead[name] for name in campaign.ping_fields if name in request.lead}
        pinged = await self._pings.ping(seller, replace(request, lead=known), arrived_s, opens=False)
        if pinged.open_ping is None:
            return pinged, None
        lead_id = uuid_utils.uuid7().hex
        with self._place():
            sold = self._sell(floor, campaign, pinged.open_ping, decoded.values, body_hash, lead_id)
            return pinged, await sold

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the posts that may run at once. Raises `HouseError` when all places are taken."""
        if self.running >= self._most_posts:
            self.turned_away += 1
            raise HouseError("house_full", "Too many posts are running; try again shortly.")
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def _claim(self, seller: TradedSeller, request: PostRequest, lead_id: str) -> OpenPing | bytes:
        """The open ping, now this lead's alone; or the answer that an earlier post of it got (P5).

        Waits for one that is under way, whatever its body: it may yet be refused, and then this one is the first.
        """
        give_up_s = perf_counter() + self._wait_s
        while True:
            try:
                gate = await self._counters.claim(
                    request.ping_id, lead_id, request.body_hash, self._clock.now_ms(), CLAIM_LEASE_MS
                )
            except HouseError:
                self._owe_unclaim(request.ping_id, lead_id)
                raise
            if isinstance(gate, Claimed):
                ping = decode_open_ping(gate.record)
                if ping.seller != seller.id:
                    await self._unclaim(request.ping_id, lead_id)
                    raise SellerError(403, "not_your_ping", "This ping is another seller's.")
                return ping
            if not isinstance(gate, Busy):
                return await self._known_answer(seller, request, gate)
            if gate.lapsed or perf_counter() >= give_up_s:
                lead = await self._lead_of(seller, request)
                if lead is not None and lead.answer is not None:
                    return lead.answer.encode()
                if lead is not None or not gate.lapsed:
                    raise _in_progress()
                # Nothing was offered under that claim, and nothing will be that the ledger does not let.
                await self._counters.unclaim(request.ping_id, gate.claimant)
                continue
            await asyncio.sleep(WAIT_STEP_S)

    async def _lead_of(self, seller: TradedSeller, request: PostRequest) -> Lead | None:
        """The lead that the ledger has of this ping. Raises `SellerError` if it is not of this very request."""
        lead = await self._reader.read(partial(find_lead_by_ping, ping_id=request.ping_id))
        if lead is not None and lead.seller != seller.id:
            raise SellerError(403, "not_your_ping", "This ping is another seller's.")
        if lead is not None and lead.body_hash != request.body_hash:
            raise _another_body()
        return lead

    async def _known_answer(self, seller: TradedSeller, request: PostRequest, gate: object) -> bytes:
        """What the ledger knows of a ping that is not open: its lead's answer, or why there is none."""
        lead = await self._lead_of(seller, request)
        if lead is not None:
            if lead.answer is None:
                raise _in_progress()
            return lead.answer.encode()
        if isinstance(gate, Expired):
            raise SellerError(410, "offer_expired", "The offer has expired; ping again.")
        row = await self._reader.read(partial(find_ping, ping_id=request.ping_id))
        if row is None:
            raise SellerError(404, "unknown_ping", "There is no such ping.")
        if row.seller != seller.id:
            raise SellerError(403, "not_your_ping", "This ping is another seller's.")
        if row.status != "offer":
            raise SellerError(410, "no_offer", "This ping had no offer.")
        raise SellerError(410, "offer_expired", "The offer has expired; ping again.")

    async def _auction_again(
        self,
        floor: Floor,
        campaign: CampaignMarket,
        seller: TradedSeller,
        ping: OpenPing,
        values: dict[str, FieldValue],
    ) -> OpenPing:
        """The lead is not what was pinged: by the campaign's `on_mismatch: auction` it is auctioned as it is."""
        await self._offering.give_back(floor, ping, ping.wins)
        again = await self._pings.again(floor, campaign, seller, ping, values)
        if again is None:
            self._forget(ping)
            await self._counters.discard_ping(ping.ping_id)  # its places are given back: it can't be posted
            raise SellerError(
                410, "no_offer", "The lead changed since the ping, and nobody bid on it as it is now."
            )
        return replace(again, print_of=ping.print_of)

    async def _sell(
        self,
        floor: Floor,
        campaign: CampaignMarket,
        ping: OpenPing,
        values: dict[str, FieldValue],
        body_hash: bytes,
        lead_id: str,
    ) -> bytes:
        """Offers the lead until it is sold, refused by all, or nobody knows; every step durable before the next."""
        draft = draft_lead(
            campaign,
            ping,
            values,
            body_hash=body_hash,
            lead_id=lead_id,
            worker=self._worker,
            at_ms=self._clock.now_ms(),
            currency=floor.market.house.currency,
            sealer=self._sealer,
        )
        sale = Sale(ping.ranked, ping.wins, ping.terms, campaign.rules.on_reject)
        wins = sale.next_offers()
        earlier = await self._take(floor, draft, wins)
        if earlier is not None:
            return earlier
        self._forget(ping)
        told: list[Told] = []
        while wins:
            at_ms = (
                self._clock.now_ms()
            )  # one instant: a place is kept in the windows that its sale is written in
            kept = await self._keep(floor, draft, wins, at_ms, first=not told)
            offers = [self._offering.offer(floor, draft, win, kept[win.bid.order_id], at_ms) for win in wins]
            for one in await asyncio.gather(*offers):
                sale.record(one.win.bid.order_id, one.state, one.reason)
                told.append(one)
            sale.expire((self._clock.now_ms() - ping.at_ms) / 1000)
            wins = sale.next_offers()
            if wins and not await self._intend(draft, wins):
                sale.stop("ledger_unavailable")
                wins = ()
        return await self._settle(floor, draft, sale, told)

    def _forget(self, ping: OpenPing) -> None:
        """The offer is used: an equal ping from now on is another lead's. Nobody waits for this."""
        if ping.print_of is not None:
            self._counters.forget(ping.seller, ping.print_of, ping.ping_id)

    async def _intend(self, draft: LeadDraft, wins: Sequence[Win]) -> bool:
        """The intent to offer the lead to more buyers, durable; False if that is not certain.

        Never raises: somebody may have taken the lead by now, and that has to be settled whatever happens.
        """
        step = partial(add_offers, lead_id=draft.lead_id, new_offers=draft.offers(wins))
        try:
            await self._writer.write(partial(step, at_ms=self._clock.now_ms()))
        except HouseError as error:
            log.warning("intent_failed", lead_id=draft.lead_id, code=error.code)
        except Exception:
            log.bug("intent_failed", lead_id=draft.lead_id)
        else:
            return True
        return False

    async def _take(self, floor: Floor, draft: LeadDraft, wins: Sequence[Win]) -> bytes | None:
        """The intent, durable before anything leaves the house; or the answer, if the lead is not to be offered."""
        lead, offers = draft.lead, draft.offers(wins)
        try:
            taken = await self._writer.write(partial(take_lead, lead=lead, new_offers=offers))
        except HouseError:
            self._owe_taking_back(lead, offers)
            await self._unclaim(lead.ping_id, lead.lead_id)
            raise
        if isinstance(taken, AlreadyTaken):
            if taken.body_hash == lead.body_hash and taken.answer is not None:
                return await self._finish(draft, taken.answer.encode())
            await self._unclaim(lead.ping_id, lead.lead_id)
            raise _in_progress() if taken.body_hash == lead.body_hash else _another_body()
        if isinstance(taken, Duplicate):
            await self._offering.give_back(floor, draft.ping, wins)
            assert lead.duplicate_answer is not None
            return await self._finish(draft, lead.duplicate_answer.encode())
        return None

    async def _keep(
        self, floor: Floor, draft: LeadDraft, wins: Sequence[Win], at_ms: int, first: bool
    ) -> dict[str, bool]:
        """The places of these wins. If the counters are away before anything was sent, the post never was."""
        try:
            return await self._offering.keep(floor, draft, wins, at_ms)
        except HouseError:
            if not first:
                return {win.bid.order_id: False for win in wins}
            try:
                await self._writer.write(partial(void_lead, lead_id=draft.lead_id))
            except HouseError:
                self._owe_taking_back(draft.lead, draft.offers(wins))
            await self._unclaim(draft.ping.ping_id, draft.lead_id)
            raise

    async def _unclaim(self, ping_id: str, lead_id: str) -> None:
        """Nothing was offered: the ping can be posted again. Never raises; what fails now is done later."""
        try:
            await self._counters.unclaim(ping_id, lead_id)
        except HouseError:
            self._owe_unclaim(ping_id, lead_id)

    def _owe_unclaim(self, ping_id: str, lead_id: str) -> None:
        self.owed_to_counters.add(lambda: self._counters.unclaim(ping_id, lead_id))

    def _owe_taking_back(self, lead: NewLead, offers: Sequence[NewOffer]) -> None:
        step = partial(take_back, lead=lead, new_offers=offers)
        self.owed_to_ledger.add(lambda: self._writer.write(step))

    async def _settle(self, floor: Floor, draft: LeadDraft, sale: Sale, told: Sequence[Told]) -> bytes:
        """Everything that came of the offers, in one durable step; then the counters; then the answer."""
        body = encode_post_answer(draft.answer(sale.state, told, sale.reason))
        settlement = draft.settlement(sale, told, body.decode(), self._clock.now_ms())
        for attempt in range(1, SETTLE_TRIES + 1):
            try:
                await self._write_settlement(settlement)
                break
            except HouseError as error:
                # A buyer may have the lead: the claim stays, so that nobody offers it again.
                if attempt == SETTLE_TRIES or isinstance(error, _REFUSED):
                    log.warning("settle_failed", lead_id=draft.lead_id, state=sale.state.value)
                    self.owed_to_ledger.add(partial(self._settle_later, floor, draft, sale, told, settlement))
                    raise
                await asyncio.sleep(0.1 * attempt)
        return await self._settled(floor, draft, sale, told, body)

    async def _write_settlement(self, settlement: Settlement) -> None:
        """Durable when it returns. One that was written though nobody said so is found written (P4, P5)."""
        try:
            await self._writer.write(partial(settle, settlement=settlement))
        except ImpossibleMove:
            lead = await self._reader.read(partial(find_lead, lead_id=settlement.lead_id))
            if lead is None or lead.answer != settlement.answer:
                raise

    async def _settle_later(
        self, floor: Floor, draft: LeadDraft, sale: Sale, told: Sequence[Told], settlement: Settlement
    ) -> None:
        """The seller was told 503 and asks again: by then, what its lead came to is written."""
        try:
            await self._write_settlement(settlement)
        except _REFUSED as error:
            log.warning("settlement_refused", lead_id=draft.lead_id, code=error.code)
            return
        assert settlement.answer is not None
        await self._settled(floor, draft, sale, told, settlement.answer.encode())

    async def _settled(
        self, floor: Floor, draft: LeadDraft, sale: Sale, told: Sequence[Told], body: bytes
    ) -> bytes:
        """The outcome is durable: the counters, the log and the claim follow."""
        self.outcomes[(sale.state.value,)] += 1
        await self._offering.close(floor, draft, told)
        lead = draft.lead
        log.event(
            "lead", lead_id=lead.lead_id, state=sale.state.value, seller=lead.seller, campaign=lead.campaign
        )
        return await self._finish(draft, body)

    async def _finish(self, draft: LeadDraft, body: bytes) -> bytes:
        """Mark the ping as posted. The answer is durable already: a store that is away now takes nothing from it."""
        ping_id, lead_id = draft.ping.ping_id, draft.lead_id
        try:
            await self._counters.finish(ping_id, lead_id, body)
        except HouseError:
            self.owed_to_counters.add(lambda: self._counters.finish(ping_id, lead_id, body))
        return body


def _decode(
    campaign: CampaignMarket, request: PostRequest, ping: OpenPing
) -> tuple[dict[str, FieldValue], tuple[Changed, ...]]:
    """All fields of the lead; and what changed since the ping, where the campaign allows that."""
    decoded = campaign.decoder.post(request.lead, ping.values)
    if decoded.mistakes:
        raise SellerError(422, "bad_fields", "Some fields of the lead are wrong.", mistakes=decoded.mistakes)
    if decoded.changed and campaign.rules.on_mismatch == "reject":
        mistakes = [
            FieldMistake(f"lead.{change.field}", f"was {change.was!r} in the ping, is {change.now!r} now")
            for change in decoded.changed
        ]
        raise SellerError(
            422, "ping_fields_changed", "The lead is not the one that was pinged.", mistakes=mistakes
        )
    return decoded.values, decoded.changed


def _in_progress() -> SellerError:
    return SellerError(
        409, "post_in_progress", "A post of this ping is on its way.", headers=[("retry-after", "1")]
    )


def _another_body() -> SellerError:
    return SellerError(409, "used_ping", "This ping was posted with another body.")
