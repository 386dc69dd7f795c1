"""How many posts a seller may send: in a window of their own, so that neither posts nor pings use up the others; and
how many requests one key may, where a door says so.

Every post that could be read counts, repeated and refused ones too: each costs the house a look at its stores. A
direct lead is counted once, among the pings.
"""

from __future__ import annotations

from hashlib import sha256

from auction.clock import Clock
from auction.counters.answers import Limited, Quota
from auction.counters.counters import Counters
from auction.errors import HouseError
from auction.market.market import Rate, TradedSeller
from auction.ping.rate import too_many


class PostRate:
    """Counts posts. `refused` are those above their seller's limit."""

    def __init__(self, counters: Counters, clock: Clock) -> None:
        self._counters = counters
        self._clock = clock
        self.refused = 0

    async def admit(self, seller: TradedSeller) -> Quota | None:
        """Where the seller stands with this post; None where it has no limit. Raises `SellerError` 429."""
        rate = seller.post_rate
        if rate is None:
            return None
        gate = await self._counters.admit_post(seller.id, rate, self._clock.now_ms())
        if isinstance(gate, Limited):
            self.refused += 1
            raise too_many("post", gate)
        return gate


class KeyRate:
    """Counts the requests of each key at one door, the same over all workers. `refused` are those above the limit.

    `lenient`: what needs no counters but for this is let through where they are away, and counted as `uncounted`.
    """

    def __init__(
        self, counters: Counters, clock: Clock, door: str, rate: Rate, *, lenient: bool = False
    ) -> None:
        self.door = door
        self.refused = self.uncounted = 0
        self._counters = counters
        self._clock = clock
        self._rate = rate
        self._lenient = lenient

    async def admit(self, caller: str, key: str) -> Quota | None:
        """Where this key of the caller (such as `seller:acme`) stands with this request; None where nobody knows.

        Raises `SellerError` 429.
        """
        of = f"{self.door}:{sha256(key.encode()).hexdigest()[:16]}"
        try:
            gate = await self._counters.admit_request(caller, of, self._rate, self._clock.now_ms())
        except HouseError:
            if not self._lenient:
                raise
            self.uncounted += 1
            return None
        if isinstance(gate, Limited):
            self.refused += 1
            raise too_many("request", gate)
        return gate
