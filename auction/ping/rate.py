"""How a sender is told where it stands with a rate limit: in headers beside an answer, or in a refusal."""

from __future__ import annotations

from auction.counted import counted
from auction.counters.answers import Limited, Quota
from auction.errors import SellerError


def rate_headers(quota: Quota | None) -> tuple[tuple[bytes, bytes], ...]:
    """The `X-RateLimit-*` headers, where there is a limit; `Reset` in whole seconds since the epoch."""
    if quota is None or quota.limit is None or quota.remaining is None or quota.reset_ms is None:
        return ()
    return (
        (b"x-ratelimit-limit", b"%d" % quota.limit),
        (b"x-ratelimit-remaining", b"%d" % quota.remaining),
        (b"x-ratelimit-reset", b"%d" % -(-quota.reset_ms // 1000)),
    )


def too_many(what: str, limited: Limited) -> SellerError:
    """What is told to who sent more of them (`what` is one) than it may: 429, and when to come again."""
    told = [(name.decode(), value.decode()) for name, value in rate_headers(limited)]
    told.append(("retry-after", str(max(1, -(-limited.retry_after_ms // 1000)))))
    detail = f"More than {counted(limited.limit or 0, what)} in the window of your rate limit."
    return SellerError(429, "rate_limited", detail, headers=told)
