"""When a postback is sent again, and when it is given up. Pure: time and chance are arguments.

The waits are those of Standard Webhooks' example schedule, over three days, each a little longer or shorter by chance
so that what failed together does not come back together.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

from auction.ledger.postbacks import Tried

_S, _MIN, _H = 1_000, 60_000, 3_600_000
WAITS_MS: Final = (5 * _S, 5 * _MIN, 30 * _MIN, 2 * _H, 5 * _H, 10 * _H, 14 * _H, 20 * _H, 24 * _H)
"""After the first failed try, the second, and so on. After the last of them it is given up."""
JITTER: Final = 0.08
LONGEST_RETRY_AFTER_MS: Final = 6 * _H
"""Whoever asks for a longer pause than this gets this one."""
GONE: Final = 410
_WAIT_ASKED: Final = (429, 503)


def judge(
    tries: int,
    now_ms: int,
    chance: float,
    *,
    status: int,
    error: str | None = None,
    retry_after: str | None = None,
    answer: str | None = None,
) -> Tried:
    """What a postback is after its try number `tries`, which was answered `status` (0: not at all, for `error`).

    Any 2xx is heard. 410 asks never to be told this again. 429 and 503 may say in `Retry-After` how long to wait at
    least. `chance` is from 0 to 1.
    """
    said = status or None
    if 200 <= status < 300:
        return Tried(state="delivered", status=said, answer=answer)
    if status == GONE or tries > len(WAITS_MS):
        return Tried(state="given_up", status=said, error=error, answer=answer)
    wait_ms = round(WAITS_MS[tries - 1] * (1 + JITTER * (2 * chance - 1)))
    if status in _WAIT_ASKED and retry_after is not None:
        wait_ms = max(wait_ms, min(retry_after_ms(retry_after, now_ms), LONGEST_RETRY_AFTER_MS))
    return Tried(state="waiting", next_at_ms=now_ms + wait_ms, status=said, error=error, answer=answer)


def retry_after_ms(text: str, now_ms: int) -> int:
    """The pause that a `Retry-After` asks for: seconds, or a date. 0 for what is neither, or over."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text[:10]) * 1_000
    try:
        at_ms = int(parsedate_to_datetime(text).timestamp() * 1_000)
    except (ValueError, OverflowError):
        return 0
    return max(0, at_ms - now_ms)
