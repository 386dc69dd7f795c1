"""Pings of caps that a worker leases: what is written down of them before the counters give any.

The counters know what all workers leased of a window, and forget it when they are lost. So a worker first says in the
ledger how many it is about to lease. At every instant the ledger's sum over all workers is then at least what they
may spend, and the counters can be rebuilt from it (`reconcile.leased`) with no race left: what was leased before the
loss was written before it, and what is leased after the rebuild the counters know themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class PingLease(msgspec.Struct, frozen=True, gc=False):
    """Some pings of one cap's window: an hour's, or a longer one's. `cap_key` is the cap's under this buyer."""

    buyer_id: str
    cap_key: str
    start_ms: int
    end_ms: int
    pings: int


class LeaseBook(Protocol):
    """Where a worker writes down what it leases (`ledger.lease_book`)."""

    async def ahead(self, leases: Sequence[PingLease], within_ms: int) -> None:
        """These are about to be leased: returns when that is durable; or, where the ledger is away or late, after
        `within_ms` or at once. Then it is written as soon as it can be."""
        ...

    def back(self, leases: Sequence[PingLease]) -> None:
        """These were written ahead, and not leased. Nobody waits for it."""
        ...
