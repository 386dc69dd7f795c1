"""What all pings of this worker add up to: outcomes, times, and what each buyer did. Read by `/metrics`."""

from __future__ import annotations

from auction.buyers.health import FAILED, Health
from auction.market.orders import TradedOrder
from auction.market.reasons import Reason
from auction.ping.auction import Outcome
from auction.ping.journal import STAGES, Trace
from auction.tally import OWN_US, WAIT_US, Histogram, counts


class PingTally:
    """Counts every ping once, at its end; and tells the buyers' health what they did."""

    def __init__(self, health: Health) -> None:
        self.answers = counts()  # (campaign, offer or the reason why not)
        self.orders = counts()  # (buyer, reason)
        self.own_us = Histogram(OWN_US)
        self.buyers_us = Histogram(WAIT_US)
        self.stages_us = tuple(Histogram(OWN_US) for _ in STAGES)
        self.saved_ms = 0.0
        self._health = health

    def note(self, trace: Trace, answer: str, own_us: int) -> None:
        """One ping is over; `answer` is `offer`, or the reason for no bid."""
        self.answers[trace.campaign, answer] += 1
        self.own_us.add(own_us)
        self.buyers_us.add(trace.buyers_us)
        self.saved_ms += trace.saved_ms
        for histogram, lap_us in zip(self.stages_us, trace.laps_us, strict=True):
            histogram.add(lap_us)
        orders, health, unwell = self.orders, self._health, self._health.unwell
        for left_out in trace.left_out:
            orders[left_out] += 1
        for order, outcome in zip(trace.asked, trace.outcomes, strict=True):
            reason = outcome.reason
            orders[order.buyer_id, reason] += 1
            if order.live:
                if (reason in FAILED or order.buyer_id in unwell) and not (
                    trace.hurried and _is_excused(order, outcome)
                ):
                    health.note(order.buyer_id, reason)
                if trace.adaptive:
                    health.time(order.buyer_id, reason, outcome.elapsed_us)


def _is_excused(order: TradedOrder, outcome: Outcome) -> bool:
    """Whether an answer that did not come in a hurried ping tells nothing of its buyer, which had not half of its own
    time. Or a seller that gives no time could have buyers asked less by all others."""
    return outcome.reason is Reason.TIMEOUT and outcome.elapsed_us < order.buyer.timeout_ms * 500
