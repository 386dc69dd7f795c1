"""The way of a lead that is taken: offered on until it is sold, refused by all, or nobody knows.

A post begins here with its winners; a lead that another worker left behind (`recovery`) goes on here with what is
durable of it. Every step is durable before the next, and is this worker's only while the lead is in its hands: where
it is not, `TakenOver` is raised, nothing more is sent, and what buyers clearly said by then is handed in late.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import msgspec
from msgspec.structs import replace

from auction import log
from auction.clock import Clock
from auction.errors import HouseError
from auction.ledger.faults import TakenOver
from auction.ping.bids import Win
from auction.ping.floor import Floor
from auction.post.answer import Answers, encode_post_answer
from auction.post.book import LeadBook
from auction.post.claiming import Claiming
from auction.post.offering import Offering, together
from auction.post.records import LeadDraft, Told
from auction.post.sale import OfferState, Sale
from auction.post.settling import Said, Settling

Offer = Callable[[Floor, LeadDraft, Win, bool, int], Awaitable[Told]]


class Course(msgspec.Struct):
    """One lead on its way: its sale, what was said of it so far, and when the offers that are out were intended.

    `unwritten` is what was said that the ledger does not know yet; `repeated` are orders that bought such a lead
    before: it is not sent to them. `withdrawn` are orders that it was not sent to because the ledger did not answer: it
    may have the intent all the same.
    """

    floor: Floor
    draft: LeadDraft
    sale: Sale
    at_ms: int
    told: list[Told] = []
    unwritten: list[Told] = []
    repeated: frozenset[str] = frozenset()
    withdrawn: tuple[str, ...] = ()


class Selling:
    """Sells leads that are taken. What they came to is counted in the offering's tally."""

    def __init__(
        self,
        book: LeadBook,
        offering: Offering,
        claiming: Claiming,
        settling: Settling,
        answers: Answers,
        clock: Clock,
    ) -> None:
        self._book = book
        self._offering = offering
        self._claiming = claiming
        self._settling = settling
        self._answers = answers
        self._clock = clock
        self._tally = offering.tally

    async def go_on(self, course: Course, kept: Mapping[str, bool], offer: Offer | None = None) -> bytes:
        """From the offers that are out to the end: the seller's answer, durable.

        `kept` says which of them have their places; `offer` is how they are sent, where not in the ordinary way.
        Raises `TakenOver`, and `HouseError` where what came of it is not written yet.
        """
        lead = course.draft.lead
        try:
            await self._round(course, kept, offer or self._offering.offer)
            while await self._next(course):
                await self._round(course, await self._keep(course), self._offering.offer)
            return await self._settle(course)
        except TakenOver:
            self._hand_in(course)
            raise
        except HouseError:
            raise  # it is written later: the lead stays in the book's hands
        except BaseException:
            self._book.let_go(lead.lead_id, lead.worker)
            raise

    async def _round(self, course: Course, kept: Mapping[str, bool], offer: Offer) -> None:
        """To all that are out at once, each to its answer. Raises `TakenOver` where we may not send any more."""
        out, at_ms = course.sale.out, course.at_ms
        offers = [
            offer(course.floor, course.draft, win, kept[win.bid.order_id], at_ms)
            for win in out
            if win.bid.order_id not in course.repeated
        ]
        results = await together(offers)
        said = [one for one in results if isinstance(one, Told)]
        said += [
            Told(win, OfferState.NOT_SENT, at_ms, at_ms, kept[win.bid.order_id], reason="duplicate")
            for win in out
            if win.bid.order_id in course.repeated
        ]
        course.told += said
        course.unwritten = said
        for failed in results:
            if isinstance(failed, BaseException):
                raise failed
        for one in said:
            course.sale.record(one.win.bid.order_id, one.state, one.reason)

    async def _next(self, course: Course) -> bool:
        """Whom to offer it to now, the intent durable. False when the sale is over."""
        sale, now_ms = course.sale, course.draft.ping.post_instant(self._clock.now_ms())
        sale.expire((now_ms - course.draft.ping.at_ms) / 1000)
        wins = sale.next_offers()
        if not wins:
            return False
        repeated = await self._book.intend(course.draft, course.unwritten, wins, now_ms)
        if repeated is not None:
            course.at_ms = now_ms  # one instant: a place is kept in the windows its sale is written in
            course.repeated = repeated
            return True
        course.withdrawn = tuple(win.bid.order_id for win in wins)
        sale.stop("ledger_unavailable")
        return False

    async def _keep(self, course: Course) -> dict[str, bool]:
        """The places of runners-up. Where the counters are away there are none: somebody may have the lead already."""
        wins = course.sale.out
        try:
            return await self._offering.keep(course.floor, course.draft, wins, course.at_ms)
        except HouseError:
            return {win.bid.order_id: False for win in wins}

    async def _settle(self, course: Course) -> bytes:
        """What came of it, durable, then told to the counters. What cannot be written now is written later."""
        draft, sale, told = course.draft, course.sale, course.told
        body = encode_post_answer(draft.answer(sale.state, told, sale.reason))
        answer = self._answers.seal(draft.lead_id, body)
        settlement = draft.settlement(sale, told, answer, self._clock.now_ms())
        if course.withdrawn:
            settlement = replace(settlement, withdrawn=course.withdrawn)
        await self._book.settle(
            settlement, then=partial(self._settled, course), lost=partial(self._hand_in, course)
        )
        return body

    async def _settled(self, course: Course) -> None:
        """The outcome is durable: the counters, the log and the claim follow."""
        lead, state = course.draft.lead, course.sale.state.value
        self._tally.settled(course.draft.ping, course.sale.state, course.sale.sold)
        finished = self._claiming.finish(lead.ping_id, lead.lead_id)  # leaves in one write with what follows
        try:
            await self._offering.close(course.floor, course.draft, course.told)
            log.event("lead", lead_id=lead.lead_id, state=state, seller=lead.seller, campaign=lead.campaign)
        finally:
            await finished

    def _hand_in(self, course: Course) -> None:
        """The lead is another's: what buyers clearly said may yet settle those very offers, and nothing else."""
        lead = course.draft.lead
        self._book.let_go(lead.lead_id, lead.worker)
        log.warning("lead_taken_over", lead_id=lead.lead_id)
        for one in course.told:
            if one.state in (OfferState.ACCEPTED, OfferState.REJECTED):
                said = Said(
                    accepted=one.state is OfferState.ACCEPTED,
                    by="late answer",
                    order_id=one.win.bid.order_id,
                    reason=one.reason,
                    buyer_lead_id=one.buyer_lead_id,
                )
                self._settling.late(lead.lead_id, said)
