"""One ask: what is sent to one buyer for one auction, and who is told what came of it."""

from __future__ import annotations

from typing import Protocol

from auction.market.reasons import Reason


class Round(Protocol):
    """One auction's asks, as the wire sees them. The auction's own object is the round: no layer in between.

    Exactly one of `answered` and `failed` is called for each slot that was asked, unless `closed` is True
    by then: the answer is then late; it is counted and drained, and its connection kept.

    Neither is called after `closed`. Both may ask again at once: the connection is free by then.
    """

    closed: bool

    def answered(self, slot: int, status: int, body: bytes, elapsed_us: int) -> None:
        """A whole response came, `elapsed_us` after the ask."""
        ...

    def failed(self, slot: int, reason: Reason, elapsed_us: int) -> None:
        """No answer, and none will come. May be called before `Fanout.ask` returns."""
        ...


Ask = tuple[bytes, Round, int, int]
"""(the whole request, round, slot, asked at in `perf_counter_ns`): a tuple, as one is made for every ask."""
