"""The fan-out client: asks many buyers at once, each with one call that never waits.

An ask is one `send` on a connection that lies ready, an answer one `recv` in a reader that is always
registered: no task, no timer, no future per buyer. Time is kept by whoever asks (it sets `closed` on its
round) and, for what nobody waits for any more, by one sweep for the whole client.

Everything that may block (names, certificate stores) is done in `prepare`, before a market is traded on.
Pools belong to origins, not to markets: a new market finds the connections of the old one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from time import perf_counter_ns

from auction.buyers.address import resolve
from auction.buyers.ask import Round
from auction.buyers.counts import PoolCounts
from auction.buyers.http1 import frame
from auction.buyers.limits import FanoutLimits
from auction.buyers.pool import Pool, Total
from auction.buyers.target import Target, compile_target
from auction.buyers.tls import client_context
from auction.errors import OperatorError
from auction.market.reasons import Reason

__all__ = ["Fanout", "FanoutLimits", "PoolCounts", "Round", "Target", "compile_target"]

_RESOLVE_AT_ONCE = 16
_ONLY_PRIVATE = "all its addresses are private, and refused; AUCTION_ALLOW_PRIVATE_BUYERS=1 allows them"


class Fanout:
    """One per process and loop: `prepare`, then `ask` as often as you like, then `close`."""

    def __init__(self, limits: FanoutLimits | None = None, *, allow_private: bool = False) -> None:
        self._limits = limits or FanoutLimits()
        self._allow_private = allow_private
        self._total = Total(self._limits.connections)
        self._pools: dict[str, Pool] = {}
        self._contexts: dict[str | None, ssl.SSLContext] = {}
        self._resolving = asyncio.Semaphore(_RESOLVE_AT_ONCE)
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._refresher: asyncio.Task[None] | None = None
        self._gone = PoolCounts()
        self.resolve_failed = 0

    @property
    def pools(self) -> Mapping[str, Pool]:
        """The pools, by origin."""
        return self._pools

    @property
    def connections(self) -> int:
        """How many connections there are, over all origins."""
        return self._total.held

    def counts(self) -> PoolCounts:
        """The counts of all origins together, also of those that are gone."""
        return sum((pool.counts for pool in self._pools.values()), self._gone)

    def ask(self, target: Target, body: bytes, round_: Round, slot: int, lines: bytes = b"") -> None:
        """Sends `body` to `target`; the answer goes to `round_` under `slot`. Never raises, never waits.

        `round_.failed` may be called before this returns. `lines` are headers of this request alone, each
        ended by CRLF (`Signer.lines`).
        """
        ask = (frame(target.head, body, lines), round_, slot, perf_counter_ns())
        pool = self._pools.get(target.origin)
        if pool is None:
            round_.failed(slot, Reason.CONNECT_FAILED, 0)
        elif pool.idle:
            pool.counts.reused += 1
            pool.idle.pop().carry(ask)
        else:
            pool.open(ask)

    async def prepare(self, targets: Iterable[Target], *, warm: int = 0) -> tuple[str, ...]:
        """Makes ready for `targets`: pools, trust, addresses, and `warm` connections to each new origin.

        Returns a sentence for the operator for each origin that cannot be reached yet; names are tried
        again in the background. Pools of origins that are no longer wanted go when their last connection has.
        """
        self._start()
        wanted = {target.origin: target for target in targets}
        for origin, pool in list(self._pools.items()):
            if origin not in wanted and not pool.held:
                self._gone += self._pools.pop(origin).counts
        loop = asyncio.get_running_loop()
        for origin, target in wanted.items():
            if origin not in self._pools:
                self._pools[origin] = Pool(target, loop, self._limits, self._total)
        unready = [pool for origin, pool in self._pools.items() if origin in wanted and not pool.ready]
        problems = await asyncio.gather(*(self._make_ready(pool) for pool in unready))
        for pool in unready:
            for _ in range(warm if pool.ready else 0):
                pool.open(None)
        return tuple(problem for problem in problems if problem)

    async def close(self) -> None:
        """Closes every connection; asks that are still out fail."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.gather(self._refresher, return_exceptions=True)
            self._refresher = None
        for pool in self._pools.values():
            pool.close()

    def _start(self) -> None:
        if self._refresher is None:
            self._refresher = asyncio.create_task(self._refresh(), name="fanout addresses")
            self._sweep()

    async def _make_ready(self, pool: Pool) -> str | None:
        try:
            if pool.tls:
                pool.context = await self._context(pool.ca_file)
        except OperatorError as error:
            return f"{pool.origin}: {error.detail}"
        return await self._resolve(pool)

    async def _context(self, ca_file: str | None) -> ssl.SSLContext:
        if ca_file not in self._contexts:
            self._contexts[ca_file] = await asyncio.to_thread(client_context, ca_file)
        return self._contexts[ca_file]

    async def _resolve(self, pool: Pool) -> str | None:
        """Gives `pool` its addresses. On failure it keeps those it had."""
        async with self._resolving:
            try:
                found = await resolve(
                    pool.host,
                    pool.port,
                    allow_private=self._allow_private,
                    timeout_s=self._limits.resolve_timeout_s,
                )
            except (OSError, UnicodeError) as error:
                self.resolve_failed += 1
                return f"{pool.origin}: the name does not resolve: {error or 'no answer in time'}"
        pool.resolved(found)
        if not found.addresses:
            return f"{pool.origin}: {_ONLY_PRIVATE}"
        return None

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._limits.resolve_every_s)
            await asyncio.gather(*(self._make_ready(pool) for pool in self._pools.values()))

    def _sweep(self) -> None:
        now_ns = perf_counter_ns()
        for pool in self._pools.values():
            pool.sweep(now_ns)
        self._sweep_timer = asyncio.get_running_loop().call_later(self._limits.sweep_s, self._sweep)
