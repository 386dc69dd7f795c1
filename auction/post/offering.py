"""Offering one lead to one buyer: keep its place, send it, understand the answer.

An answer that nobody heard is asked for again with the same `Idempotency-Key`, but only where the buyer promised
that this is safe; elsewhere it stays unknown. Once an answer was lost, only the buyer's own word on that
key settles it: that nobody listens now, or that a limiter turns us away, says nothing of what was taken before (P1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import perf_counter
from typing import TypeVar

from auction import log
from auction.buyers.delivery import Delivery, PostRequest
from auction.buyers.protocol import Accepted, NotSent, Rejected, Unknown, settles
from auction.clock import Clock
from auction.counters.answers import Kept
from auction.counters.counters import Counters, Place
from auction.errors import HouseError
from auction.ledger.faults import TakenOver
from auction.market.model import Buyer
from auction.market.personal import repeats
from auction.market.reasons import Reason
from auction.ping.bids import Win
from auction.ping.floor import Floor
from auction.ping.holding import place_of
from auction.ping.offer import OpenPing
from auction.post.lease import Lease
from auction.post.objection import objection_to
from auction.post.owed import Owed
from auction.post.records import LeadDraft, Told
from auction.post.sale import OfferState
from auction.post.tally import PostTally

T = TypeVar("T")

RETRY_AFTER_S = (0.2, 1.0)
"""How long to wait before each repetition of an offer whose answer was not heard."""


async def together(offers: Sequence[Awaitable[Told]]) -> Sequence[Told | BaseException]:
    """What came of offers that leave at once, or went wrong with them, in their order. One needs no task of its own."""
    if len(offers) != 1:
        return await asyncio.gather(*offers, return_exceptions=True)
    try:
        return (await offers[0],)
    except Exception as error:
        return (error,)


class Offering:
    """Sends leads to buyers, one place kept for each, as long as the worker's lease stands."""

    def __init__(self, counters: Counters, delivery: Delivery, lease: Lease, clock: Clock) -> None:
        self._counters = counters
        self._delivery = delivery
        self._lease = lease
        self._clock = clock
        self.tally = PostTally()
        self.owed = Owed("counters")

    async def keep(self, floor: Floor, draft: LeadDraft, wins: Sequence[Win], at_ms: int) -> dict[str, bool]:
        """Keeps the places of these wins as of `at_ms`, in one write: order id → whether it has its place.

        Raises `HouseError` if the counters are away.
        """
        if draft.ping.test:
            return {win.bid.order_id: True for win in wins}
        calls = [
            self._counters.keep(place_of(floor, draft.ping, win.bid.order_id, win.price_micros), at_ms)
            for win in wins
        ]
        results = await _all(calls)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return {win.bid.order_id: isinstance(result, Kept) for win, result in zip(wins, results, strict=True)}

    async def offer(self, floor: Floor, draft: LeadDraft, win: Win, kept: bool, at_ms: int) -> Told:
        """One offer, as of `at_ms`, to its answer. Raises `TakenOver` if we may not send it, and nothing else:
        whatever goes wrong is an answer of some kind."""
        began_s = perf_counter()
        told = await self._offer(floor, draft, win, kept, at_ms)
        self.tally.offered(win.bid.buyer_id, told.state, int((perf_counter() - began_s) * 1e6))
        return told

    async def _offer(self, floor: Floor, draft: LeadDraft, win: Win, kept: bool, at_ms: int) -> Told:
        buyer = floor.market.buyers.get(win.bid.buyer_id)
        objection = objection_to(floor.market, draft, win, buyer, kept, at_ms)
        if objection is not None or buyer is None:
            state = OfferState.NOT_SENT if kept else OfferState.FULL
            return Told(win, state, at_ms, at_ms, kept, reason=objection)
        return await self._told(floor, draft, win, buyer, kept, at_ms, lost=None)

    async def repeat(self, floor: Floor, draft: LeadDraft, win: Win, kept: bool, at_ms: int) -> Told:
        """An offer that another worker made `at_ms`, or was about to: nobody knows what it was answered.

        It is sent again, with the same key and body, only where the buyer promised that this is safe; else it stays
        unknown. So it does where its buyer is gone, and where it has no place: then it may never have been
        sent, and a buyer who takes it now would be over its cap. Raises `TakenOver` as `offer` does.
        """
        buyer = floor.market.buyers.get(win.bid.buyer_id)
        if buyer is None or buyer.post_url is None:
            why = "buyer_gone"
        elif not draft.whole:
            why = "lead_unreadable"
        elif not buyer.idempotent:
            why = "answer_lost"
        elif not kept:
            why = "no_place"
        else:
            lost = Unknown("answer_lost")
            return await self._told(floor, draft, win, buyer, kept, at_ms, lost)
        return Told(win, OfferState.UNKNOWN, at_ms, self._clock.now_ms(), kept, reason=why)

    async def _told(
        self,
        floor: Floor,
        draft: LeadDraft,
        win: Win,
        buyer: Buyer,
        kept: bool,
        at_ms: int,
        lost: Unknown | None,
    ) -> Told:
        """What the buyer says. With `lost`, the answer to an earlier sending was not heard."""
        try:
            answer = await self._deliver(floor, draft, win, buyer, lost)
        except TakenOver:
            raise
        except Exception:  # it may have left before: the other offers go on, and this one is to be settled
            log.bug("offer_failed", lead_id=draft.lead_id, order=win.bid.order_id)
            answer = Unknown("internal_error")
        said_at_ms = self._clock.now_ms()
        if isinstance(answer, Accepted):
            return Told(
                win,
                OfferState.ACCEPTED,
                at_ms,
                said_at_ms,
                kept,
                buyer_lead_id=_unless_personal(draft, answer.buyer_lead_id),
                redirect_url=answer.redirect_url,
            )
        if isinstance(answer, Rejected):
            reason = _unless_personal(draft, answer.reason) or "rejected"
            return Told(win, OfferState.REJECTED, at_ms, said_at_ms, kept, reason=reason)
        if isinstance(answer, NotSent):
            return Told(win, OfferState.NOT_SENT, at_ms, said_at_ms, kept, reason=answer.reason.value)
        return Told(win, OfferState.UNKNOWN, at_ms, said_at_ms, kept, reason=answer.why)

    async def close(self, floor: Floor, draft: LeadDraft, told: Sequence[Told]) -> None:
        """After the outcome is durable: kept places become sold, those of refusals are given back.

        An unknown offer's place stays kept. If the counters are away now, the places stay taken, which errs on the
        side of the cap, until they are back: this lead is settled, so it is never too late for it.
        """
        if draft.ping.test:
            return
        steps: list[Callable[[], asyncio.Future[bool]]] = []
        offered = {one.win.bid.order_id for one in told}
        for win in draft.ping.wins:
            if win.bid.order_id not in offered:  # the seller chose another
                place = place_of(floor, draft.ping, win.bid.order_id, win.price_micros)
                steps.append(partial(self._release, place))
        for one in told:
            place = place_of(floor, draft.ping, one.win.bid.order_id, one.win.price_micros)
            if one.state is OfferState.ACCEPTED:
                steps.append(partial(self._sold, place))
            elif one.state is not OfferState.UNKNOWN:  # also where it is not known to be kept
                steps.append(partial(self._release, place))
        sold_to = [one.win.bid.order_id for one in told if one.state is OfferState.ACCEPTED]
        if sold_to and draft.prints.at_ping:
            steps.append(partial(self._bought, draft, sold_to))
        done = await _all([step() for step in steps])
        for step, result in zip(steps, done, strict=True):
            if isinstance(result, HouseError):
                self.owed.add(step)

    def _sold(self, place: Place) -> asyncio.Future[bool]:
        return self._counters.sold(place, self._clock.now_ms(), place.price_micros)

    def _bought(self, draft: LeadDraft, order_ids: Sequence[str]) -> asyncio.Future[bool]:
        prints, at_ms = draft.prints, draft.lead.created_at_ms
        return self._counters.bought(draft.lead.campaign, prints.at_ping, order_ids, at_ms, prints.keep_ms)

    def _release(self, place: Place) -> asyncio.Future[bool]:
        return self._counters.release(place, self._clock.now_ms())

    async def give_back(self, floor: Floor, ping: OpenPing, wins: Sequence[Win]) -> None:
        """The places of these wins are not needed any more."""
        await self._give_back(self._counters.release, floor, ping, wins)

    async def give_back_held(self, floor: Floor, ping: OpenPing) -> None:
        """The places that are held for this auction are not needed any more. One that is kept by now stays: whoever
        keeps it, under the same ping's id, offers the lead."""
        await self._give_back(self._counters.release_held, floor, ping, ping.wins)

    async def _give_back(
        self,
        release: Callable[[Place, int], asyncio.Future[bool]],
        floor: Floor,
        ping: OpenPing,
        wins: Sequence[Win],
    ) -> None:
        if ping.test:
            return
        now_ms = self._clock.now_ms()
        await _all(
            [release(place_of(floor, ping, win.bid.order_id, win.price_micros), now_ms) for win in wins]
        )

    async def _deliver(
        self, floor: Floor, draft: LeadDraft, win: Win, buyer: Buyer, lost: Unknown | None
    ) -> Accepted | Rejected | Unknown | NotSent:
        assert buyer.post_url is not None, f"{buyer.id} has no post_url"
        request = PostRequest(
            url=buyer.post_url,
            body=draft.body(win),
            idempotency_key=f"{draft.lead_id}:{win.bid.order_id}",
            timeout_ms=buyer.post_timeout_ms,
            headers=floor.headers_of(buyer.id),
            signing_secret=floor.secret_of(buyer.id),
            ca_file=buyer.ca_file,
            idempotent=buyer.idempotent,
        )
        answer = lost or await self._send(draft, request)
        pauses_s = RETRY_AFTER_S if lost is None else (0, *RETRY_AFTER_S)
        for wait_s in pauses_s if buyer.idempotent else ():
            if not isinstance(answer, Unknown):
                break
            await asyncio.sleep(wait_s)
            repeated = await self._send(draft, request)
            if settles(repeated):
                answer = repeated
        return answer

    async def _send(self, draft: LeadDraft, request: PostRequest) -> Accepted | Rejected | Unknown | NotSent:
        """One sending, if the lead is certainly in our hands still when its first byte leaves. Raises `TakenOver`."""
        worker = draft.lead.worker
        while await self._lease.wait(worker):
            answer = await self._delivery.post(request, lambda: self._lease.stands(worker))
            if not (isinstance(answer, NotSent) and answer.reason is Reason.WITHHELD):
                return answer
        raise TakenOver(draft.lead_id, "offered", "sent")


async def _all(calls: Sequence[asyncio.Future[T]]) -> list[T | Exception]:
    """What came of these calls, or went wrong with them. They are under way, so they are waited for in turn."""
    results: list[T | Exception] = []
    for call in calls:
        try:
            results.append(await call)
        except Exception as error:
            results.append(error)
    return results


def _unless_personal(draft: LeadDraft, said: str | None) -> str | None:
    """A buyer's word on a lead, kept and shown in clear: nothing, if it says whose lead it is."""
    personal = (value for name, value in draft.values.items() if name not in draft.ping.values)
    return None if said is None or repeats(said, personal) else said
