"""What may be returned, pure: the window and the share that an order's `returns` allow.

Both are counted from when the lead was offered to the order, as its caps are: that is when the buyer had it.
"""

from __future__ import annotations

from auction.market.model import Returns

DAY_MS = 86_400_000


def share_percent(terms: Returns) -> int:
    """The share as a whole number of percent, 0 to 100."""
    return int(terms.share.removesuffix("%"))


def window_begins_ms(terms: Returns, now_ms: int) -> int:
    """A lead that was offered at this moment or later may be returned now."""
    return now_ms - terms.days * DAY_MS


def bought_needed(terms: Returns, returned: int) -> int | None:
    """How many leads an order must have bought in its window, so that one more than `returned` of them may be returned.

    None: none may be, however many it bought. Whole numbers: `(returned + 1) / bought ≤ share`, to the last lead.
    """
    share = share_percent(terms)
    return None if share == 0 else -(-(returned + 1) * 100 // share)


def too_late(terms: Returns, offered_at_ms: int, now_ms: int) -> bool:
    """Whether the window of a lead is over."""
    return offered_at_ms < window_begins_ms(terms, now_ms)
