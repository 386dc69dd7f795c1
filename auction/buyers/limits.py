"""The bounds of the fan-out client: connections, openings, times, sizes."""

from __future__ import annotations

import msgspec

from auction.buyers.http1 import BODY_LIMIT, HEAD_LIMIT


class FanoutLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of the fan-out client.

    `idle_s` is 4 because the usual servers close an idle connection after 5 (Node, uvicorn, Apache):
    whoever closes first decides whether the other writes into a closed connection. `drain_s` is how long an
    answer is awaited when its auction has closed: a connection that still answers is cheaper than a new one.
    `longest_s` is how long it is awaited in any case; no auction takes that long.
    """

    connections: int = 8_192
    connections_per_origin: int = 512
    openings_per_s: int = 128
    openings_burst: int = 128
    connect_timeout_s: float = 3.0
    drain_s: float = 5.0
    longest_s: float = 70.0
    idle_s: float = 4.0
    sweep_s: float = 0.25
    resolve_every_s: float = 30.0
    resolve_timeout_s: float = 5.0
    head_limit: int = HEAD_LIMIT
    body_limit: int = BODY_LIMIT
