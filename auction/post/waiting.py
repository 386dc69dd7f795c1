"""Leads that wait for a buyer are auctioned again: in one worker of all, a few at once, until sold or too old.

Each turn is taken in the ledger before anything else, so a worker that ends over it only loses that turn. The auction
is an ordinary one, under the lead's own ping id, and what it brings is sold the ordinary way (`selling`): the lead
leaves `waiting` by one conditional write with the intent to offer it, and from there on it is any lead (P1 to P5). It
is looked up in the suppression lists again each time: somebody may have asked not to be called since.

A lead that was offered and turned down by all does not wait again: whom it can be offered to is known then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from auction import log
from auction.clock import Clock
from auction.errors import HouseError
from auction.ledger.faults import ImpossibleMove, TakenOver
from auction.ledger.forgetting import leave_chore, take_chore
from auction.ledger.lead_queries import find_lead
from auction.ledger.reader import Reader
from auction.ledger.records import Due, Lead, Settlement
from auction.ledger.sealing import Sealer
from auction.ledger.waiting import any_due, count_waiting, hasten, refuse_waiting, take_due
from auction.ledger.writer import Writer
from auction.market.market import CampaignMarket, Market, TradedSeller
from auction.ping.floor import Floor
from auction.ping.offer import OpenPing, decode_open_ping, encode_open_ping
from auction.ping.service import PingService
from auction.post.answer import Answers, encode_post_answer
from auction.post.book import LeadBook
from auction.post.lease import Lease
from auction.post.offering import Offering
from auction.post.records import LeadDraft, found_draft, post_answer
from auction.post.sale import LeadState, Move, Sale, moved
from auction.post.selling import Course, Selling
from auction.post.waits import Openings, wait_ms
from auction.suppression.shelf import Shelf
from auction.tally import counts

CHORE = "waiting leads"
LEASE_MS = 15_000
"""How long a worker has the chore before another may take it."""
RENEW_MS = 5_000
COUNT_EVERY_MS = 60_000
LOOK_EVERY_S = 1.0
AT_ONCE = 4
MOST_A_LOOK = 20
"""So many leads a second at most are auctioned again: what comes in by the doors goes on beside them."""
APART_MS = 10_000
"""When something opens, a lead that was tried just now is not tried at once again."""
CLOSE_WITHIN_S = 2.0


class Waiting:
    """Tries waiting leads again. Counts the `outcomes` of tries; `leads` are those that wait now, in the worker that
    has the chore."""

    def __init__(
        self,
        floor: Callable[[], Floor],
        pings: PingService,
        selling: Selling,
        offering: Offering,
        book: LeadBook,
        writer: Writer,
        reader: Reader,
        shelf: Shelf,
        sealer: Sealer,
        lease: Lease,
        clock: Clock,
        me: str,
    ) -> None:
        """`me` names this worker among those that may have the chore."""
        self._floor = floor
        self._pings = pings
        self._selling = selling
        self._offering = offering
        self._book = book
        self._writer = writer
        self._reader = reader
        self._shelf = shelf
        self._sealer = sealer
        self._answers = Answers(sealer)
        self._lease = lease
        self._clock = clock
        self._me = me
        self._openings = Openings()
        self._has_chore, self._ask_again_ms = False, 0
        self._count_again_ms = 0
        self._looking: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self.outcomes = counts()  # (what a try came to,)
        self.leads = 0

    def start(self) -> None:
        """Look from now on."""
        self._looking = asyncio.create_task(self._look_always(), name="waiting leads")

    async def close(self) -> None:
        """Look no more; tries that are under way are given a while. What is left then another worker finishes."""
        if self._looking is None:
            return
        self._closing.set()
        await asyncio.wait([self._looking], timeout=CLOSE_WITHIN_S)
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)
        if self._has_chore:
            self._has_chore, self._ask_again_ms = False, 0
            with suppress(HouseError, TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    await self._writer.write(partial(leave_chore, name=CHORE, holder=self._me))

    async def look(self) -> int | None:
        """Try those whose turn it is; how many. None if another worker has the chore. Raises `HouseError`."""
        now_ms, market = self._clock.now_ms(), self._floor().market
        if await self._nobody_waits(market, now_ms):
            return 0
        if not await self._is_mine(now_ms):
            self.leads = 0
            return None
        opened = self._openings.look(market, now_ms)
        if opened:
            await self._writer.write(partial(hasten, campaigns=opened, now_ms=now_ms, apart_ms=APART_MS))
        tried = 0
        if await self._reader.read(partial(any_due, now_ms=now_ms)):
            tried = sum(await asyncio.gather(*(self._take_turns() for _ in range(AT_ONCE))))
        self.leads = await self._reader.read(count_waiting)
        return tried

    async def _take_turns(self) -> int:
        """One lead after the other; how many. Each turn is taken when it begins: one that had to wait for those before
        it might be another worker's by then."""
        for tried in range(MOST_A_LOOK // AT_ONCE):
            step = partial(take_due, now_ms=self._clock.now_ms(), most=1, wait_ms=wait_ms)
            due = await self._writer.write(step)
            if not due:
                return tried
            await self._try(due[0])
        return MOST_A_LOOK // AT_ONCE

    async def _nobody_waits(self, market: Market, now_ms: int) -> bool:
        """Where no campaign lets its leads wait, the ledger is asked seldom whether any wait since it did."""
        if any(one.campaign.pending_hours is not None for one in market.campaigns.values()) or self.leads:
            return False
        if not 0 < self._count_again_ms - now_ms <= COUNT_EVERY_MS:
            self._count_again_ms = now_ms + COUNT_EVERY_MS
            self.leads = await self._reader.read(count_waiting)
        return not self.leads

    async def _is_mine(self, now_ms: int) -> bool:
        """Whether this worker is the one that looks, asked for anew now and then."""
        if not 0 < self._ask_again_ms - now_ms <= RENEW_MS:
            chore = partial(take_chore, name=CHORE, holder=self._me, now_ms=now_ms, for_ms=LEASE_MS)
            self._has_chore = await self._writer.write(chore)
            self._ask_again_ms = now_ms + RENEW_MS
        return self._has_chore

    async def _try(self, due: Due) -> None:
        """One lead's turn, to its end."""
        try:
            outcome = await self._tried(due)
        except TakenOver:
            outcome = "taken_over"
        except HouseError as error:
            outcome = "put_off"
            log.warning("waiting_lead_put_off", lead_id=due.lead_id, code=error.code)
        except Exception:
            outcome = "failed"
            log.bug("waiting_lead_failed", lead_id=due.lead_id)
        self.outcomes[(outcome,)] += 1

    async def _tried(self, due: Due) -> str:
        """What the try came to. Raises `HouseError` where a store was away: its next turn comes."""
        floor, now_ms = self._floor(), self._clock.now_ms()
        lead = await self._reader.read(partial(find_lead, lead_id=due.lead_id))
        if lead is None or lead.state != "waiting":
            return "gone"
        if not lead.sealed:
            return await self._refuse(lead, "forgotten", now_ms)
        if now_ms >= due.until_ms:
            return await self._refuse(lead, "no_buyer_in_time", now_ms)
        campaign = floor.market.campaigns.get(lead.campaign)
        seller = floor.market.sellers.get(lead.seller)
        if campaign is None or seller is None or seller.seller.paused or campaign.id not in seller.campaigns:
            return "not_traded"
        assert lead.plan is not None, "a waiting lead has its ping"
        ping = decode_open_ping(lead.plan)
        draft = found_draft(lead, ping, floor.market.house.currency, self._sealer, campaign)
        if not draft.whole:
            return "unreadable"
        suppressed = self._shelf.hit(campaign.suppression_lists, draft.values)
        if suppressed is not None:
            return await self._refuse(lead, "suppressed", now_ms, list=suppressed.id)
        if (lead.lead_id, self._lease.worker) in self._book.in_hand:
            return "put_off"  # what an earlier turn left is not written yet
        return await self._auction(floor, campaign, seller, draft, due)

    async def _auction(
        self, floor: Floor, campaign: CampaignMarket, seller: TradedSeller, draft: LeadDraft, due: Due
    ) -> str:
        ping = await self._pings.again(floor, campaign, seller, draft.ping, draft.values)
        if ping is None:
            return "no_bid"
        at_ms = ping.post_instant(self._clock.now_ms())
        terms, rule = ping.terms, campaign.rules.on_reject
        sale = Sale(ping.ranked, ping.wins, terms, rule, state=LeadState.WAITING)
        wins = sale.next_offers()
        try:
            draft = await self._with(draft, replace(ping, opens=False))
            repeated = await self._book.offer_waiting(draft, wins, at_ms, due)
        except HouseError:
            await self._offering.give_back(floor, ping, wins)
            raise
        if repeated is None:
            return "gone"  # its places are whoever's that offers it now, or lapse
        course = Course(floor, draft, sale, at_ms, repeated=repeated)
        try:
            kept = await self._offering.keep(floor, draft, wins, at_ms)
        except HouseError:
            moved(sale.state, Move.WAIT)
            # first the places: while the lead is ours nobody else has them, and the next turn's may cost more
            await self._offering.give_back(floor, ping, wins)
            await self._book.wait_again(draft, at_ms, due)
            raise
        await self._selling.go_on(course, kept)
        return course.sale.state.value

    async def _with(self, draft: LeadDraft, ping: OpenPing) -> LeadDraft:
        """The lead in this worker's hands, with the auction that it is to be sold in."""
        lead = replace(draft.lead, worker=await self._lease.holder(), plan=encode_open_ping(ping))
        return replace(draft, lead=lead, ping=ping)

    async def _refuse(self, lead: Lead, reason: str, now_ms: int, **detail: str) -> str:
        """It does not wait any more, durably."""
        state = moved(LeadState(lead.state), Move.REFUSE)
        currency = self._floor().market.house.currency
        body = post_answer(lead.lead_id, lead.ping_id, state, (), reason, currency, lead.test)
        settlement = Settlement(
            lead_id=lead.lead_id,
            from_states=("waiting",),
            state="rejected",
            at_ms=now_ms,
            reason=reason,
            answer=self._answers.seal(lead.lead_id, encode_post_answer(body)),
            detail=detail,
        )
        try:
            await self._writer.write(partial(refuse_waiting, settlement=settlement))
        except ImpossibleMove:
            return "gone"
        self._offering.tally.states[(state.value,)] += 1
        log.event("lead", lead_id=lead.lead_id, state=state.value, seller=lead.seller, campaign=lead.campaign)
        return reason

    async def _look_always(self) -> None:
        while not self._closing.is_set():
            try:
                await self.look()
            except HouseError as error:
                log.warning("waiting_leads_wait", code=error.code)
            except Exception:
                log.bug("waiting_leads_failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._closing.wait()
