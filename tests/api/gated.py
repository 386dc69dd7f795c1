"""A gate of a test's own, and what comes to it."""

from __future__ import annotations

from collections import Counter

import msgspec
from starlette.types import Scope

from auction.api.admission import LEADS, PINGS, Bounds, Lane
from auction.api.gate import Gate, Refusal
from auction.api.lines import Caller
from auction.api.request import Request
from auction.api.wire import headers_of, key_of

PING_HEAD = b"POST /ping HTTP/1.1\r\nhost: x\r\n"
ONE = PING_HEAD + b"content-length: 2\r\n\r\n{}"
BODY = b'{"code":"overloaded"}'
HEAD = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: %d\r\n" % len(BODY)
HELD = 1_000_000
"""So many calls to the counters that nobody begins."""


class Doors:
    """A gate of a test: `calls` are open at the counters, `told` are the refusals."""

    def __init__(self, bounds: Bounds = PINGS) -> None:
        self.calls = self.looked_up = 0
        self.told: Counter[tuple[str, int]] = Counter()
        leads, self.pings = Lane[Request]("leads", LEADS), Lane[Request]("pings", bounds)
        self.gate = Gate(
            leads,
            self.pings,
            {"/ping": self.pings, "/post": leads},
            self.caller,
            lambda path: Refusal(503, HEAD, BODY),
            lambda path, status: self.told.update([(path, status)]),
            lambda: self.calls,
        )

    def caller(self, scope: Scope) -> Caller:
        """By the key as it is."""
        self.looked_up += 1
        return (key_of(headers_of(scope)) or "",)

    def hold(self) -> None:
        """From now on nobody begins."""
        self.calls, self.gate.admission.free = HELD, 0


def refusing() -> Doors:
    """A gate at which nobody may wait, and nobody begins."""
    doors = Doors(msgspec.structs.replace(PINGS, most_waiting=0))
    doors.hold()
    return doors
