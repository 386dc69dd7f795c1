"""What becomes of asks and of the connections that carry them, in numbers."""

from __future__ import annotations

from operator import add

import msgspec


class PoolCounts(msgspec.Struct):
    """What has become of an origin's asks and connections since the start."""

    answered: int = 0
    late: int = 0  # whole answers to closed auctions
    reused: int = 0
    opened: int = 0
    retried: int = 0
    unsent: int = 0  # the auction closed while its connection was being opened
    busy: int = 0  # too many connections
    throttled: int = 0  # too many openings a second
    unreachable: int = 0  # no address that we know of, or may use
    connect_failed: int = 0
    tls_failed: int = 0
    lost: int = 0
    timed_out: int = 0
    bad_http: int = 0
    too_large: int = 0
    closed_by_peer: int = 0  # while idle
    expired: int = 0  # idle for too long

    def __add__(self, other: PoolCounts) -> PoolCounts:
        return PoolCounts(*map(add, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))
