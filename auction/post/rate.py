"""How many posts a seller may send: in a window of their own, so that neither posts nor pings use up the others.

Every post that could be read counts, repeated and refused ones too: each costs the house a look at its stores. A
direct lead is counted once, among the pings.
"""

from __future__ import annotations

from auction.clock import Clock
from auction.counters.answers import Limited
from auction.counters.counters import Counters
from auction.errors import SellerError
from auction.market.market import TradedSeller
from auction.ping.service import RateState, rate_headers


class PostRate:
    """Counts posts. `refused` are those above their seller's limit."""

    def __init__(self, counters: Counters, clock: Clock) -> None:
        self._counters = counters
        self._clock = clock
        self.refused = 0

    async def admit(self, seller: TradedSeller) -> RateState | None:
        """Where the seller stands with this post; None where it has no limit. Raises `SellerError` 429."""
        rate = seller.post_rate
        if rate is None:
            return None
        gate = await self._counters.admit_post(seller.id, rate, self._clock.now_ms())
        assert gate.limit is not None
        assert gate.remaining is not None
        assert gate.reset_ms is not None
        state = RateState(gate.limit, gate.remaining, gate.reset_ms)
        if isinstance(gate, Limited):
            self.refused += 1
            detail = f"More than {gate.limit} posts in the window of your rate limit."
            headers = rate_headers(state, gate.retry_after_ms)
            raise SellerError(429, "rate_limited", detail, headers=headers)
        return state
