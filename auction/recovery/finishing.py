"""Finishing leads that another worker took and left: taken over one by one, then sold on by the ordinary way.

What is durable decides. An offer that the ledger says is answered is answered; one that it says was sent may have been
taken, so it is repeated where its buyer promised that this is safe, and else stays unknown. From there on the lead goes
the way of any post (`selling`): the runners-up, the settlement, the counters, the claim.

Where the market has changed meanwhile, the terms of now hold for new offers, and a lead whose campaign is gone is
offered to nobody new. Nor is a lead `LATEST_MS` after its ping's offer ended: its seller has gone elsewhere by
then, and its bids are no longer meant.

A store that is away is waited for. Whatever else stands in the way (a bug) is logged, and the lead left alone until
this worker is started again or ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from sqlalchemy import Connection

from auction import log
from auction.clock import Clock
from auction.errors import HouseError
from auction.ledger.faults import ImpossibleMove, SaleRefused, TakenOver
from auction.ledger.lead_queries import find_lead, offers_of
from auction.ledger.reader import Reader
from auction.ledger.records import Lead, Offer, Stray
from auction.ledger.sealing import Sealer
from auction.ledger.takeover import take_over
from auction.ledger.writer import Writer
from auction.market.model import Mode
from auction.market.money import Margin
from auction.ping.bids import Bid, Terms, Win
from auction.ping.floor import Floor
from auction.ping.offer import OpenPing, decode_open_ping
from auction.post.book import LeadBook
from auction.post.lease import Lease
from auction.post.offering import Offering
from auction.post.records import LeadDraft, Told, found_draft
from auction.post.sale import OfferState, Sale
from auction.post.selling import Course, Selling
from auction.tally import counts

MOST_AT_ONCE = 8
"""Leads that one worker finishes at a time: the posts of living sellers go on beside them."""
LATEST_MS = 60_000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
CLOSE_WITHIN_S = 2.0


class Recovery:
    """Finishes stray leads. Counts those `taken_over`, what they came to, `waits` for a store, and those `stuck`."""

    def __init__(
        self,
        floor: Callable[[], Floor],
        selling: Selling,
        offering: Offering,
        book: LeadBook,
        writer: Writer,
        reader: Reader,
        sealer: Sealer,
        lease: Lease,
        clock: Clock,
    ) -> None:
        self._floor = floor
        self._selling = selling
        self._offering = offering
        self._book = book
        self._writer = writer
        self._reader = reader
        self._sealer = sealer
        self._lease = lease
        self._clock = clock
        self._waiting: deque[Stray] = deque()
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._stuck: set[str] = set()
        self._closing = False
        self.taken_over = 0
        self.waits = 0
        self.outcomes = counts()  # (the state that a lead came to,)

    @property
    def running(self) -> int:
        """Leads being finished at this moment."""
        return len(self._at_work)

    @property
    def stuck(self) -> int:
        """Leads that could not be finished, and not for a store that is away."""
        return len(self._stuck)

    def take_up(self, strays: Sequence[Stray]) -> None:
        """These leads are in nobody's hands: finish them, as many at once as may be. What waits is asked for anew."""
        self._waiting = deque(stray for stray in strays if not self.knows(stray.lead_id))
        self._start()

    def knows(self, lead_id: str) -> bool:
        """Whether this lead is being finished here, or cannot be."""
        return lead_id in self._at_work or lead_id in self._stuck

    async def close(self) -> None:
        """Take up no more; what is at work is given a while. What is left then is for another worker."""
        self._closing = True
        self._waiting.clear()
        tasks = list(self._at_work.values())
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_WITHIN_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self) -> None:
        while self._waiting and len(self._at_work) < MOST_AT_ONCE and not self._closing:
            stray = self._waiting.popleft()
            if not self.knows(stray.lead_id):
                self._at_work[stray.lead_id] = asyncio.create_task(self._finish(stray), name="recovery")

    async def _finish(self, stray: Stray) -> None:
        """One lead, to its end."""
        try:
            worker = self._lease.worker
            if not worker or not await self._writer.write(
                partial(take_over, stray=stray, worker=worker, at_ms=self._clock.now_ms())
            ):
                return  # another worker was first, or it is settled
            self.taken_over += 1
            log.event("lead_found", lead_id=stray.lead_id, of_worker=stray.worker)
            await self._until_done(stray.lead_id, worker)
        except (ImpossibleMove, SaleRefused) as refused:
            log.warning("recovery_refused", lead_id=stray.lead_id, code=refused.code)
            self._stuck.add(stray.lead_id)
        except HouseError:
            self.waits += 1  # not taken over, as far as we know: it is found again
        except Exception:
            log.bug("recovery_failed", lead_id=stray.lead_id)
            self._stuck.add(stray.lead_id)
        finally:
            del self._at_work[stray.lead_id]
            self._start()

    async def _until_done(self, lead_id: str, worker: str) -> None:
        """Tries again while a store is away, for as long as the lead is in our hands."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._go_on(lead_id, worker)
                return
            except TakenOver:
                return
            except HouseError as error:
                if (lead_id, worker) in self._book.in_hand:
                    return  # all is said, and the book writes it down as soon as it can
                if isinstance(error, ImpossibleMove | SaleRefused):
                    raise
                self.waits += 1
                log.warning("recovery_waits", lead_id=lead_id, code=error.code)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _go_on(self, lead_id: str, worker: str) -> None:
        """From what is durable of it. Raises `HouseError`, and `TakenOver` where it is not ours any more."""
        lead, offers = await self._reader.read(partial(_found, lead_id=lead_id))
        if lead is None or lead.state != "offered":
            return
        if lead.worker != worker or worker != self._lease.worker:
            raise TakenOver(lead_id, lead.state, "finished")
        course = self._course(lead, offers)
        out = course.sale.out
        kept = await self._offering.keep(course.floor, course.draft, out, course.at_ms)
        await self._selling.go_on(course, kept, self._offering.repeat)
        self.outcomes[(course.sale.state.value,)] += 1

    def _course(self, lead: Lead, offers: Sequence[Offer]) -> Course:
        """The lead as it was when the ledger last heard of it."""
        floor, now_ms = self._floor(), self._clock.now_ms()
        ping = decode_open_ping(lead.plan) if lead.plan is not None else _without_plan(lead, offers)
        campaign = floor.market.campaigns.get(lead.campaign)
        draft = found_draft(lead, ping, floor.market.house.currency, self._sealer, campaign)
        if lead.plan is None:
            draft = _unsendable(draft)
        over = not draft.whole or campaign is None or now_ms > ping.until_ms + LATEST_MS
        sale = Sale.resumed(
            ping.ranked,
            () if over else ping.wins,
            ping.terms,
            "stop" if over or campaign is None else campaign.rules.on_reject,
            [(_win(offer, ping), OfferState(offer.state)) for offer in offers],
            None if over else ping.chosen,
        )
        told = [_told(offer, ping) for offer in offers if offer.state != "sent"]
        at_ms = max((offer.sent_at_ms for offer in offers), default=now_ms)
        return Course(floor, draft, sale, at_ms, told)


def _found(conn: Connection, lead_id: str) -> tuple[Lead | None, list[Offer]]:
    return find_lead(conn, lead_id), offers_of(conn, lead_id)


def _win(offer: Offer, ping: OpenPing) -> Win:
    """The win that this offer was made for, at the price of then."""
    bid = next(bid for bid in ping.ranked if bid.order_id == offer.order_id)
    return Win(bid, offer.price_micros, offer.payout_micros)


def _told(offer: Offer, ping: OpenPing) -> Told:
    return Told(
        _win(offer, ping),
        OfferState(offer.state),
        offer.sent_at_ms,
        offer.answered_at_ms or offer.sent_at_ms,
        kept=True,
        reason=offer.reason,
        buyer_lead_id=offer.buyer_lead_id,
    )


def _without_plan(lead: Lead, offers: Sequence[Offer]) -> OpenPing:
    """For a lead that was taken before plans were kept: its offers are all that is known of its auction."""
    bids = [Bid(offer.order_id, offer.buyer_id, offer.price_micros, offer.exclusive) for offer in offers]
    mode: Mode = "exclusive" if len(bids) < 2 else "shared"
    return OpenPing(
        ping_id=lead.ping_id,
        seller=lead.seller,
        campaign=lead.campaign,
        test=lead.test,
        at_ms=lead.created_at_ms,
        until_ms=lead.created_at_ms,
        market_version=lead.market_version,
        sub_id=lead.sub_id,
        values=lead.ping_fields,
        terms=Terms(mode, max(1, len(bids)), "first", "price", 0, Margin()),
        ranked=bids,
        wins=(),
    )


def _unsendable(draft: LeadDraft) -> LeadDraft:
    """Without its bid's id an offer is not the same to the last byte: it is not repeated."""
    return msgspec.structs.replace(draft, whole=False)
