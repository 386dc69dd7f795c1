"""The arithmetic of a ping's deadline, pure. All in milliseconds unless the name says otherwise.

What is left after `reserve` is the buyers': the reserve is for ranking, holding and answering, so that the answer
leaves *by* the seller's deadline and not just after it (P6).
"""

from __future__ import annotations

MOST_RESERVE_MS = 5.0
LEAST_ASK_MS = 3.0
"""With less than this left nobody is asked: no buyer could answer, and each would count it as a ping."""


def granted_tmax_ms(asked_ms: int | None, campaign_ms: int) -> int:
    """The seller's `tmax`, bounded by the campaign's; the campaign's where the seller names none."""
    return campaign_ms if asked_ms is None else min(asked_ms, campaign_ms)


def reserve_ms(tmax_ms: int) -> float:
    """A tenth of the time, at most 5 ms."""
    return min(MOST_RESERVE_MS, tmax_ms / 10)


def tier_share_ms(left_ms: float, tiers_left: int) -> float:
    """How long this tier may take: an equal share of what is left, all of it for the last."""
    return left_ms / max(1, tiers_left)
