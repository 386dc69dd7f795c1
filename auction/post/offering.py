"""Offering one lead to one buyer: keep its place, send it, understand the answer.

An answer that nobody heard is asked for again with the same `Idempotency-Key`, but only where the buyer promised
that this is safe; elsewhere it stays unknown (DESIGN 5.4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from auction.buyers.delivery import Delivery, PostRequest
from auction.buyers.protocol import Accepted, NotSent, Rejected, Unknown
from auction.clock import Clock
from auction.counters.answers import Kept
from auction.counters.counters import Counters
from auction.market.model import Buyer
from auction.ping.bids import Win
from auction.ping.floor import Floor
from auction.ping.holding import place_of
from auction.ping.offer import OpenPing
from auction.post.records import LeadDraft, Told
from auction.post.sale import OfferState

RETRY_AFTER_S = (0.2, 1.0)
"""How long to wait before each repetition of an offer whose answer was not heard."""


class Offering:
    """Sends leads to buyers, one place kept for each."""

    def __init__(self, counters: Counters, delivery: Delivery, clock: Clock) -> None:
        self._counters = counters
        self._delivery = delivery
        self._clock = clock

    async def keep(self, floor: Floor, draft: LeadDraft, wins: Sequence[Win]) -> dict[str, bool]:
        """Keeps the places of these wins, in one write: order id → whether it has its place.

        Raises `HouseError` if the counters are away.
        """
        if draft.ping.test:
            return {win.bid.order_id: True for win in wins}
        now_ms = self._clock.now_ms()
        calls = [
            self._counters.keep(place_of(floor, draft.ping, win.bid.order_id, win.price_micros), now_ms)
            for win in wins
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return {win.bid.order_id: isinstance(result, Kept) for win, result in zip(wins, results, strict=True)}

    async def offer(self, floor: Floor, draft: LeadDraft, win: Win, kept: bool) -> Told:
        """One offer, to its answer. Never raises: whatever goes wrong is an answer of some kind."""
        at_ms = self._clock.now_ms()
        buyer = floor.market.buyers.get(win.bid.buyer_id)
        objection = _objection(floor, draft, win, buyer, kept)
        if objection is not None or buyer is None:
            state = OfferState.NOT_SENT if kept else OfferState.FULL
            return Told(win, state, at_ms, at_ms, kept, reason=objection)
        answer = await self._deliver(floor, draft, win, buyer)
        said_at_ms = self._clock.now_ms()
        if isinstance(answer, Accepted):
            return Told(
                win,
                OfferState.ACCEPTED,
                at_ms,
                said_at_ms,
                kept,
                buyer_lead_id=answer.buyer_lead_id,
                redirect_url=answer.redirect_url,
            )
        if isinstance(answer, Rejected):
            return Told(win, OfferState.REJECTED, at_ms, said_at_ms, kept, reason=answer.reason)
        if isinstance(answer, NotSent):
            return Told(win, OfferState.NOT_SENT, at_ms, said_at_ms, kept, reason=answer.reason.value)
        return Told(win, OfferState.UNKNOWN, at_ms, said_at_ms, kept, reason=answer.why)

    async def close(self, floor: Floor, draft: LeadDraft, told: Sequence[Told]) -> None:
        """After the outcome is durable: kept places become sold, those of refusals are given back.

        An unknown offer's place stays kept. If the counters are away now, the places stay taken, which
        errs on the side of the cap.
        """
        if draft.ping.test:
            return
        now_ms = self._clock.now_ms()
        calls = []
        for one in told:
            place = place_of(floor, draft.ping, one.win.bid.order_id, one.win.price_micros)
            if one.state is OfferState.ACCEPTED:
                calls.append(self._counters.sold(place, now_ms, one.win.price_micros))
            elif one.state is not OfferState.UNKNOWN and one.kept:
                calls.append(self._counters.release(place, now_ms))
        await asyncio.gather(*calls, return_exceptions=True)

    async def give_back(self, floor: Floor, ping: OpenPing, wins: Sequence[Win]) -> None:
        """The places of these wins are not needed any more."""
        if ping.test:
            return
        now_ms = self._clock.now_ms()
        calls = [
            self._counters.release(place_of(floor, ping, win.bid.order_id, win.price_micros), now_ms)
            for win in wins
        ]
        await asyncio.gather(*calls, return_exceptions=True)

    async def _deliver(
        self, floor: Floor, draft: LeadDraft, win: Win, buyer: Buyer
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
        )
        answer = await self._delivery.post(request)
        for wait_s in RETRY_AFTER_S if buyer.idempotent else ():
            if not isinstance(answer, Unknown):
                break
            await asyncio.sleep(wait_s)
            answer = await self._delivery.post(request)
        return answer


def _objection(floor: Floor, draft: LeadDraft, win: Win, buyer: Buyer | None, kept: bool) -> str | None:
    """Why an offer must not leave the house, if there is a reason. Post fields are known only now, so a filter
    on them is judged now."""
    if buyer is None or buyer.post_url is None:
        return "buyer_gone"
    if not kept:
        return "cap_full"
    order = floor.market.orders.get(win.bid.order_id)
    if order is not None and order.filter is not None and not order.filter.holds(draft.values):
        return "filtered"
    return None
