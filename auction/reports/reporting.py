"""Takes reports on leads in a running house: each is durable first, then the counters are told what it frees.

If they are away they are owed it. It may be told late, and twice: each sale is given back once, and whoever compares
counters and ledger (`reconciling`) mends what a worker that was killed in between did not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from auction import log
from auction.clock import Clock
from auction.counted import counted
from auction.counters.counters import RETURN_TOLD_MS, Counters, Place
from auction.errors import HouseError, SellerError
from auction.ledger.sealing import Sealer
from auction.ledger.writer import Writer
from auction.market.market import Market
from auction.market.model import Returns
from auction.market.windows import CapRule
from auction.post.owed import Owed
from auction.post.settling import Settling
from auction.reports.entering import enter
from auction.reports.report import Refusal, Report, Reported, Rules
from auction.tally import counts

_NOT_THERE: Final = frozenset({"unknown_lead", "unknown_order"})


class ReportRefused(SellerError):  # noqa: N818  (what whoever told it reads)
    """It cannot be entered so: the codes of `Refusal`."""

    def __init__(self, refusal: Refusal) -> None:
        again = [("retry-after", "1")] if refusal.code == "being_offered" else []
        status = 404 if refusal.code in _NOT_THERE else 409
        super().__init__(status, refusal.code, refusal.detail, headers=again)


class Reporting:
    """Enters reports. Counts them by what was told and what came of it, and the money that returns took back."""

    def __init__(
        self,
        writer: Writer,
        counters: Counters,
        settling: Settling,
        sealer: Sealer,
        market: Callable[[], Market],
        owed_to_counters: Owed,
        clock: Clock,
        most_a_second: int,
    ) -> None:
        self.heard = counts()  # (status, changed or same or refused or limited)
        self.returned_micros = counts()  # (campaign, price or payout or margin)
        self._writer = writer
        self._counters = counters
        self._settling = settling
        self._sealer = sealer
        self._market = market
        self._owed_to_counters = owed_to_counters
        self._clock = clock
        self._most_a_second = most_a_second
        self._second = 0
        self._in_second = counts()  # (buyer,)

    def admit(self, buyer_id: str) -> None:
        """One more postback of this buyer. Raises `SellerError` 429 above what a second takes."""
        second = self._clock.now_ms() // 1_000
        if second != self._second:
            self._second = second
            self._in_second.clear()
        self._in_second[buyer_id,] += 1
        if self._in_second[buyer_id,] > self._most_a_second:
            self.heard["any", "limited"] += 1
            raise SellerError(
                429,
                "rate_limited",
                f"More than {counted(self._most_a_second, 'postback')} in a second.",
                headers=[("retry-after", "1")],
            )

    async def report(self, report: Report) -> Reported:
        """Durable when it returns. Raises `ReportRefused`, and `HouseError` where the ledger is away."""
        now_ms, market = self._clock.now_ms(), self._market()
        rules = Rules(partial(returns_of, market), market.house.currency, self._sealer)
        try:
            reported = await self._writer.write(partial(enter, report=report, rules=rules, at_ms=now_ms))
        except HouseError:
            self._settling.in_doubt()
            raise
        if isinstance(reported, Refusal):
            self.heard[report.status, "refused"] += 1
            log.event("postback_refused", lead_id=reported.lead_id, code=reported.code, by=report.by)
            raise ReportRefused(reported)
        self.heard[report.status, "changed" if reported.changed else "same"] += 1
        if reported.changed:
            self._note(report, reported)
        if reported.settled is not None:
            await self._settling.follow(reported.settled, report.by, now_ms)
        await self._give_back(reported, caps_of_order(market, reported.order_id))
        return reported

    async def _give_back(self, reported: Reported, caps: Sequence[CapRule]) -> None:
        step = partial(self._free, reported, caps)
        try:
            await step()
        except HouseError:
            self._owed_to_counters.add(step)

    async def _free(self, reported: Reported, caps: Sequence[CapRule]) -> None:
        await free_returned(self._counters, reported, caps, self._clock.now_ms())

    def _note(self, report: Report, reported: Reported) -> None:
        log.event(
            "postback",
            lead_id=reported.lead_id,
            order=reported.order_id,
            told=report.status,
            state=reported.state,
            by=report.by,
        )
        if reported.returned_at_ms is not None and not reported.test:
            price, payout = reported.price_micros, reported.sale_payout_micros
            self.returned_micros[reported.campaign, "price"] += price
            self.returned_micros[reported.campaign, "payout"] += payout
            self.returned_micros[reported.campaign, "margin"] += price - payout


def returns_of(market: Market, order_id: str) -> Returns | None:
    """What this order may return, by the terms of now; nothing, if it is gone."""
    order = market.orders.get(order_id)
    return None if order is None else order.order.returns


def caps_of_order(market: Market, order_id: str) -> tuple[CapRule, ...]:
    """The caps in which its sales count, its buyer's among them."""
    order = market.orders.get(order_id)
    return () if order is None else order.caps


async def free_returned(counters: Counters, reported: Reported, caps: Sequence[CapRule], now_ms: int) -> None:
    """The place of a sale that was returned is free again, if its return frees it; and nobody bought such a lead, as
    far as a ping is told. Safe to do twice.

    Raises `HouseError`. Too long after the return it is left to the comparison with the ledger.
    """
    if reported.prints and not reported.test:
        await counters.forget_bought(reported.campaign, reported.prints)
    returned_at_ms = reported.returned_at_ms
    if returned_at_ms is None or not reported.freed or reported.test:
        return
    if now_ms - returned_at_ms > RETURN_TOLD_MS:
        return
    place = Place(reported.buyer_id, reported.order_id, reported.ping_id, reported.price_micros, tuple(caps))
    await counters.returned(place, reported.offered_at_ms, now_ms)
