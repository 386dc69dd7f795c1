"""Keeps the counters good: rebuilt from the ledger when they may have lost something, compared with it now and then.

The gate (`counters/era.py`) keeps calls from counters that are not known to be good; this is who makes them so. Of all
workers on all machines one rebuilds, under a mark in the counters that lapses if it dies; the others wait. A
worker also waits until the caps of its own market are counted: at its start they may be new.

It works on connections of its own: slow, whole, and in nobody's way.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

from auction import log
from auction.clock import Clock, SystemClock
from auction.counters import scripts
from auction.counters.counters import Counters
from auction.counters.era import (
    Era,
    Gate,
    Server,
    read_server,
    unfit,
    where,
)
from auction.counters.faults import CountersRebuilding, CountersUnavailable
from auction.counters.link import Link
from auction.counters.naming import HOUSE, REBUILD, RECALLED, RECALLING, RECONCILE
from auction.counters.sentinel import HEARD_S
from auction.errors import HouseError, OperatorError
from auction.ledger.house import RENEW_MS, HouseRow, counters_left, counters_seen, find_house, house_of
from auction.ledger.lease_book import RETRY_S as BOOK_RETRY_S
from auction.ledger.lease_book import LeaseBookOfWorker
from auction.ledger.reader import Reader
from auction.ledger.writer import Writer
from auction.market.market import Market
from auction.reconcile.own_link import own_link
from auction.reconcile.reconciling import Outcome, Reconciling
from auction.reconcile.seeding import seed_caps
from auction.tally import counts

MARK_MS = 6_000
"""A rebuild whose mark is not renewed for so long is dead."""
RETRY_S = 0.1
LONGEST_RETRY_S = 2.0
TICK_S = 1.0
SECOND_LOOK_MS = 15_000
"""After a rebuild the counters are compared once more, when what was on its way then has come to its end; and once
after a worker was held for dead."""


UNUSED_MS = 180_000
"""Counters that nobody saw for so long (each worker says so every few seconds) gave no ping of this minute."""


class Rebuilding:
    """The keeper of one worker's gate.

    Counts `rebuilds` it did itself, comparisons (`reconciles`, by how they ended), and what both of them found: windows
    that differed, places let go and taken.
    """

    def __init__(
        self,
        redis_url: str,
        reader: Reader,
        writer: Writer,
        book: LeaseBookOfWorker,
        clock: Clock,
        market: Callable[[], Market],
        reconcile_every_s: int,
    ) -> None:
        self.rebuilds = self.windows_differed = self.places_freed = self.places_taken = 0
        self.reconciles = counts()  # (how it ended,)
        self._redis_url = redis_url
        self._reader = reader
        self._writer = writer
        self._book = book
        self._clock = clock
        self._real = SystemClock()
        self._market = market
        self._every_ms = reconcile_every_s * 1_000
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._row: HouseRow | None = None
        self._counters_id: str | None = None
        self._seen_s = 0.0
        self._ledger_away = False
        self._soon = False
        self._was_up: bool | None = None

    async def open(self) -> Gate:
        """Learn who the ledger is. Raises `HouseError` where it does not answer."""
        made_id, now_ms = secrets.token_hex(8), self._real.now_ms()
        self._row = await self._writer.write(lambda conn: house_of(conn, made_id, now_ms))
        self.gate = Gate(self._row.house_id, self._wanted.set)
        return self.gate

    def start(self, link: Link) -> None:
        """Keep the gate of `link` from now on."""
        self._link = link
        self._where = where(link.address)
        self._task = asyncio.create_task(self._keep(), name="rebuilding")

    async def close(self) -> None:
        """Stop. Whoever still sees the counters says so by himself."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._counters_id is not None:
            mine = self._counters_id
            with contextlib.suppress(HouseError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._writer.write(lambda conn: counters_left(conn, mine))

    def compare_soon(self) -> None:
        """The counters may lack a step, or have one too many: a worker was held for dead, which may still have owed
        them one, or takes one as it wakes; or nobody knows whether what they follow was written. It is put right as
        soon as that can be told from a lead on its way."""
        self._soon = True

    async def make_good(self) -> None:
        """One try at what the gate waits for: counters that match the ledger, and count all caps of our market.

        Raises `HouseError` (try again), `OperatorError` (somebody has to change something).
        """
        assert self._row is not None
        await self._book.flush()  # what we leased while the ledger was away is to be counted
        async with own_link(self._redis_url) as link:
            server, era = await read_server(link.call)
            fault = unfit(server, era, self._row.house_id)
            if fault is not None:
                raise fault
            if server.replica:
                raise CountersUnavailable("the server is a read-only replica")
            if server.evicts is not None:
                log.warning("counters_may_evict", policy=server.evicts, detail="open offers may be dropped")
            if era.run != server.run:
                await self._rebuild(link, server, era)
            else:
                assert era.counters is not None, "settle_era.lua writes both"
                await self._see(era.counters)
                now_ms = self._clock.now_ms()
                await seed_caps(self._reader, Counters(link), None, self._market(), now_ms)
        self.gate.barred = None
        self.gate.settled = True

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._wanted.wait()
            self._tell_of_the_link()
            if self._wanted.is_set():
                await self._until_good()
            elif self._link.up:
                await self._tried(self._look_after)

    def _tell_of_the_link(self) -> None:
        """A line when the counters go away, and one when they answer again."""
        if self._link.up:
            if self._was_up is False:
                log.event("counters_back")
            self._was_up = True
        elif self._was_up:  # one that never was up is told at the start
            log.warning("counters_away", detail="calls get no answer; see AUCTION_REDIS_URL")
            self._was_up = False

    async def _until_good(self) -> None:
        pause_s = RETRY_S
        while not await self._tried(self.make_good):
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_RETRY_S)
        self._wanted.clear()
        self._link.look_again()

    async def _tried(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Whether it was done. What an operator has to change shuts the gate until it is."""
        try:
            await step()
        except CountersRebuilding:  # another worker is at it: soon there is nothing left to do
            return False
        except OperatorError as error:
            if self.gate.barred is None:
                log.warning("counters_barred", code=error.code, detail=error.detail)
            self.gate.barred = error
            self._wanted.set()
            self._link.look_again()
            return False
        except HouseError as error:
            self._ledger_away = self._ledger_away or error.code == "ledger_unavailable"
            log.warning("counters_not_checked", code=error.code, detail=str(error))
            return False
        except Exception:
            log.bug("counters_not_checked")
            return False
        return True

    async def _rebuild(self, link: Link, server: Server, era: Era) -> None:
        assert self._row is not None
        began_s, mark = monotonic(), secrets.token_hex(8)
        if not await link.call("SET", REBUILD, mark, "NX", "PX", MARK_MS):
            raise CountersRebuilding
        counters_id = era.counters or self._counters_id or secrets.token_hex(8)
        try:
            leased = await self._leased_lately()
            await self._see(counters_id)
            async with _renewed(link):
                # there may be workers that still trade on the one before
                if link.address.watched is not None:
                    await asyncio.sleep(HEARD_S)
                if self._ledger_away:  # others write only now what they leased while it was
                    await asyncio.sleep(2 * BOOK_RETRY_S)
                    self._ledger_away = False
                reconciling = Reconciling(
                    self._reader,
                    Counters(link),
                    self._clock.now_ms(),
                    repair=True,
                    all_open=True,
                    budgets=leased,
                )
                outcome = await reconciling.run(self._market())
            if outcome.busy:
                raise HouseError("counters_busy", "The counters move on while they are rebuilt.")
            # both before the gate opens: nobody would do it later, were we to end in between
            await link.call("SET", RECONCILE, "rebuilt", "PX", SECOND_LOOK_MS)
            # what they know of duplicates may be older than the ledger, and so may what is being told
            await link.call("DEL", RECALLED, RECALLING)
            now_ms = self._real.now_ms()
            words = (mark, self._row.house_id, counters_id, server.run, now_ms)
            if not await link.run(scripts.SETTLE_ERA, bool, 2, HOUSE, REBUILD, *words):
                raise HouseError("counters_lost", "The counters were lost while they were rebuilt.")
        except BaseException:
            with contextlib.suppress(HouseError):
                await link.call("DEL", REBUILD)
            raise
        self.rebuilds += 1
        self._note(outcome)
        log.event(
            "counters_rebuilt",
            windows=outcome.windows,
            mended=outcome.mended,
            places_freed=outcome.freed,
            places_taken=outcome.taken,
            took_ms=round((monotonic() - began_s) * 1_000),
        )

    async def _leased_lately(self) -> bool:
        """Whether pings of the seconds and minutes of now may have been leased: not where no counters were in use."""
        row = await self._reader.read(find_house)
        if row is None or row.counters_seen_ms is None:
            return False
        left = row.counters_seen_ms == 0  # a worker has left, nobody knows when
        return left or self._real.now_ms() - row.counters_seen_ms < UNUSED_MS

    async def _look_after(self) -> None:
        """Between two ticks: say that the counters are in use; compare them if that is due, and ours to do."""
        if monotonic() - self._seen_s >= RENEW_MS / 1_000 and self._counters_id is not None:
            await self._see(self._counters_id)
        if not self._every_ms:
            return
        if self._soon:
            self._soon = False
            try:
                await self._link.call("SET", RECONCILE, "soon", "PX", SECOND_LOOK_MS)
            except HouseError:
                self._soon = True
                raise
        if await self._link.call("EXISTS", RECONCILE):
            return
        if not await self._link.call("SET", RECONCILE, "due", "NX", "PX", self._every_ms):
            return
        async with own_link(self._redis_url) as link:
            reconciling = Reconciling(self._reader, Counters(link), self._clock.now_ms(), repair=True)
            outcome = await reconciling.run(self._market())
        self._note(outcome)
        self.reconciles["differed" if outcome.differences else "busy" if outcome.busy else "equal",] += 1
        if outcome.differences or outcome.freed:
            log.warning(
                "counters_differed",
                windows=len(outcome.differences),
                first=[f"{each.buyer_id} {each.cap}" for each in outcome.differences[:5]],
                places_freed=outcome.freed,
            )

    def _note(self, outcome: Outcome) -> None:
        self.windows_differed += len(outcome.differences)
        self.places_freed += outcome.freed
        self.places_taken += outcome.taken

    async def _see(self, counters_id: str) -> None:
        """These counters are in use with our ledger. Raises `OperatorError` if others are."""
        now_ms = self._real.now_ms()
        others = await self._writer.write(lambda conn: counters_seen(conn, counters_id, self._where, now_ms))
        if others is not None:
            raise _split(others, self._where)
        self._counters_id, self._seen_s = counters_id, monotonic()


@asynccontextmanager
async def _renewed(link: Link) -> AsyncIterator[None]:
    """Our mark lives on until the end of the block."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(MARK_MS / 4_000)
            with contextlib.suppress(HouseError):
                await link.call("PEXPIRE", REBUILD, MARK_MS)

    renewing = asyncio.create_task(renew(), name="rebuild-mark")
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


def _split(others: HouseRow, mine: str) -> OperatorError:
    return OperatorError(
        "counters_split",
        f"this ledger is traded on with other counters, at {others.counters_where}, and ours at {mine} know nothing of "
        "them: every cap would be filled twice. Give all machines of one ledger one Redis by AUCTION_REDIS_URL. "
        "(If that house has just been killed: it is forgotten after 20 seconds.)",
    )
