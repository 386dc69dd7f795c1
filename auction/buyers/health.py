"""Whether a buyer is worth asking just now: an estimate of failure and latency, pure.

A buyer that fails (no answer in time, a broken one, none at all) costs every auction its patience. So a failing
buyer is asked less, in proportion, and never less than `LEAST_SHARE`: that share is what shows that it is well
again. There is no switch that opens and closes: a share moves smoothly, and a healthy buyer is asked always.
(The ramp is Prebid's, which lets a tenth through; a no-bid is an answer, and counts as health.)

Which pings a sick buyer is left out of is a hash of ping and buyer: no randomness, the same in every worker.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from auction.market.reasons import Family, Reason

Mode = Literal["on", "shadow", "off"]

WEIGHT = 1 / 32
"""Of each new answer in the estimates: about thirty answers are remembered."""
WELL_BELOW = 0.2
"""Up to this failure rate a buyer is asked every time; eight failures in a row bring a well one above it."""
FORGOTTEN = 0.001
"""A failure rate below this is none."""
LEAST_SEEN = 20
"""With fewer answers than this its latency is not known."""
LEAST_SHARE = 0.05
LEAST_PATIENCE_MS = 20.0
DEVIATIONS = 6
"""An adaptive time-out is the usual latency and this many deviations: late only by what is unheard of."""

_OURS = frozenset({Reason.CUT_OFF, Reason.BUSY, Reason.FORBIDDEN_ADDRESS, Reason.NO_TIME})
"""Failures that tell nothing of the buyer."""
FAILED = frozenset(reason for reason in Reason if reason.family is Family.FAILED) - _OURS
"""What counts against a buyer."""


class BuyerHealth(msgspec.Struct):
    """What is known of one buyer: failure rate 0 … 1; latency of its answers and how much it wavers, in ms."""

    failure: float = 0.0
    answers: int = 0
    latency_ms: float = 0.0
    deviation_ms: float = 0.0

    def note(self, failed: bool) -> None:
        """One more answer, or none."""
        self.failure += (failed - self.failure) * WEIGHT
        if self.failure < FORGOTTEN:
            self.failure = 0.0

    def time(self, elapsed_ms: float) -> None:
        """How long an answer took."""
        self.answers += 1
        weight = max(WEIGHT, 1 / self.answers)
        off = elapsed_ms - self.latency_ms
        self.latency_ms += off * weight
        self.deviation_ms += (abs(off) - self.deviation_ms) * weight

    @property
    def share(self) -> float:
        """The share of pings that it is asked in: 1 while well, down to `LEAST_SHARE`."""
        if self.failure <= WELL_BELOW:
            return 1.0
        return max(LEAST_SHARE, 1 - (self.failure - WELL_BELOW) / (1 - WELL_BELOW))

    def patience_ms(self, declared_ms: float) -> float:
        """How long its answer is worth waiting for, at most `declared_ms`."""
        if self.answers < LEAST_SEEN:
            return declared_ms
        usual = self.latency_ms + DEVIATIONS * self.deviation_ms
        return min(declared_ms, max(LEAST_PATIENCE_MS, 2 * self.latency_ms, usual))


class Health:
    """All buyers of this worker. `spared` counts asks that were left out (in shadow mode: would have been), and
    `spared_of` them by buyer."""

    def __init__(self, mode: Mode = "on") -> None:
        self.mode = mode
        self.buyers: dict[str, BuyerHealth] = {}
        self.spared = 0
        self.spared_of: dict[str, int] = {}
        self.unwell: set[str] = set()  # who has failed of late: news of anybody else need not be noted
        self._sick: dict[str, float] = {}

    def note(self, buyer_id: str, reason: Reason) -> None:
        """What came of one ask. Nothing comes of one that did not fail, of a buyer that is not `unwell`."""
        failed = reason in FAILED
        if not failed and (buyer_id not in self.unwell or reason in _OURS):
            return
        buyer = self._buyer(buyer_id)
        buyer.note(failed)
        if buyer.failure:
            self.unwell.add(buyer_id)
        else:
            self.unwell.discard(buyer_id)
        share = buyer.share
        if share < 1:
            self._sick[buyer_id] = share
        else:
            self._sick.pop(buyer_id, None)

    def time(self, buyer_id: str, reason: Reason, elapsed_us: int) -> None:
        """How long its answer took, for a campaign whose patience is adaptive."""
        if reason not in FAILED and reason not in _OURS:
            self._buyer(buyer_id).time(elapsed_us / 1000)

    def left_out(self, ping_id: str, buyers: Iterable[str]) -> list[str]:
        """Those of `buyers` that this ping does without. Empty in no time while all are well."""
        if not self._sick or self.mode == "off":
            return []
        out = [buyer for buyer in buyers if self._sick.get(buyer, 1.0) <= _draw(ping_id, buyer)]
        self.spared += len(out)
        for buyer in out:
            self.spared_of[buyer] = self.spared_of.get(buyer, 0) + 1
        return out if self.mode == "on" else []

    @property
    def sick(self) -> dict[str, float]:
        """The buyers that are asked less, with the share they are asked in."""
        return self._sick

    def patience_ms(self, buyer_id: str, declared_ms: float) -> float:
        """How long this buyer's answer is worth waiting for."""
        buyer = self.buyers.get(buyer_id)
        return declared_ms if buyer is None else buyer.patience_ms(declared_ms)

    def _buyer(self, buyer_id: str) -> BuyerHealth:
        buyer = self.buyers.get(buyer_id)
        if buyer is None:
            buyer = self.buyers[buyer_id] = BuyerHealth()
        return buyer


def _draw(ping_id: str, buyer_id: str) -> float:
    """0 … 1, the same every time for one ping and buyer."""
    return zlib.crc32(f"{ping_id}:{buyer_id}".encode()) / 2**32
