"""Workers watch each other through the ledger: each beats, and takes over what a silent one left.

Two loops, so that a slow look delays no beat. A worker that finds itself fenced was held for dead: it ends its lease,
so that nothing it still has in hand can do any harm, and begins anew under another name.

A worker of this very machine whose process is gone is not waited for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial

import uuid_utils
from sqlalchemy import Connection

from auction import log
from auction.clock import Clock
from auction.errors import HouseError
from auction.ledger.reader import Reader
from auction.ledger.records import Stray, Worker
from auction.ledger.takeover import count_unsettled, forget_fenced, leads_in_hand, stray_leads
from auction.ledger.workers import all_workers, beat, fence, leave, register
from auction.ledger.writer import Writer
from auction.post.book import LeadBook
from auction.post.lease import Lease
from auction.process import host_name, is_alive
from auction.recovery.finishing import Recovery
from auction.recovery.vigil import Vigil

COUNT_EVERY = 10
"""Looks between two counts of what is not settled, and between two looks for leads that we let go of ourselves."""
LET_GO_MS = 60_000
"""A lead of ours that nobody here works on is taken up again after so long."""
LEAVE_WITHIN_S = 2.0


class Watching:
    """This worker's beats, and its eyes on the others. Counts those it `fenced`, and how often it was fenced itself.

    `held_for_dead` is called when it fences another, and when it finds that it was fenced itself.
    """

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        lease: Lease,
        book: LeadBook,
        recovery: Recovery,
        clock: Clock,
        held_for_dead: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._lease = lease
        self._book = book
        self._recovery = recovery
        self._clock = clock
        self._held_for_dead = held_for_dead
        self._vigil = Vigil(lease.lease_s, lease.beat_s)
        self._me = Worker(id="", host=host_name(), pid=os.getpid(), started_at_ms=0)
        self._tasks: list[asyncio.Task[None]] = []
        self._looks = 0
        self.fenced = 0
        self.fenced_self = 0
        self.beats_missed = 0
        self.pending_leads = 0
        self.unknown_offers = 0

    async def open(self) -> None:
        """Join the workers of this ledger. Raises `HouseError` where it is away."""
        await self._join()
        lease = self._lease
        self._tasks = [
            asyncio.create_task(_always(lease.beat_s, self._beat, self._missed), name="beats"),
            asyncio.create_task(_always(lease.beat_s, self.look, _ignored), name="watching"),
        ]

    async def close(self) -> None:
        """Leave them: what is still in our hands is anybody's."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        worker, self._me = self._lease.worker, self._me
        self._lease.end()
        try:
            async with asyncio.timeout(LEAVE_WITHIN_S):
                await self._writer.write(partial(leave, worker_id=worker))
        except (HouseError, TimeoutError):
            log.warning("worker_not_left", worker=worker)  # the others will find it silent

    async def look(self) -> None:
        """One look at the others, and at what they left behind."""
        workers, strays = await self._reader.read(_look)
        lease, at_s = self._lease, self._lease.elapsed()
        if not lease.stands(lease.worker):
            return  # it may be us who is held for dead
        others = [worker for worker in workers if worker.id != lease.worker and not worker.fenced]
        silent = self._vigil.look(others, at_s)
        ended = [worker for worker in others if worker in silent or self._has_ended(worker)]
        for worker in ended:
            if await self._writer.write(partial(fence, worker_id=worker.id, beats=worker.beats)):
                self.fenced += 1
                self._held_for_dead()
                log.warning("worker_fenced", worker=worker.id, pid=worker.pid, silent=worker in silent)
        if ended:
            strays = await self._reader.read(stray_leads)
        if self._looks % COUNT_EVERY == 0:
            eldest = min((worker.id for worker in workers if not worker.fenced), default="")
            strays = [*strays, *await self._let_go()]
            await self._count(eldest == lease.worker)
        self._looks += 1
        self._recovery.take_up(strays)
        if any(worker.fenced for worker in workers):
            await self._writer.write(forget_fenced)

    async def _let_go(self) -> list[Stray]:
        """Leads of our own that nobody here works on: something broke on their way."""
        before_ms = self._clock.now_ms() - LET_GO_MS
        mine = await self._reader.read(partial(leads_in_hand, worker=self._lease.worker, before_ms=before_ms))
        return [stray for stray in mine if (stray.lead_id, stray.worker) not in self._book.in_hand]

    async def _count(self, eldest: bool) -> None:
        """What is not settled in this ledger; told by one worker, so that the sum over all is right."""
        counted = await self._reader.read(count_unsettled) if eldest else (0, 0)
        self.pending_leads, self.unknown_offers = counted

    def _has_ended(self, worker: Worker) -> bool:
        return worker.host == self._me.host and not is_alive(worker.pid)

    async def _beat(self) -> None:
        lease = self._lease
        if not lease.worker:
            await self._join()
            return
        at_s = lease.elapsed()
        if await self._writer.write(partial(beat, worker_id=lease.worker)):
            lease.renew(at_s)
            return
        log.warning("fenced", worker=lease.worker)
        self.fenced_self += 1
        self._held_for_dead()
        lease.end()
        await self._join()

    async def _join(self) -> None:
        me = Worker(
            id=uuid_utils.uuid7().hex,
            host=self._me.host,
            pid=self._me.pid,
            started_at_ms=self._clock.now_ms(),
        )
        at_s = self._lease.elapsed()
        await self._writer.write(partial(register, worker=me))
        self._lease.begin(me.id, at_s)

    def _missed(self, error: HouseError) -> None:
        self.beats_missed += 1
        log.warning("beat_missed", code=error.code)


def _look(conn: Connection) -> tuple[list[Worker], list[Stray]]:
    return all_workers(conn), stray_leads(conn)


def _ignored(_: HouseError) -> None:
    """A look that the ledger did not answer: the next one may be."""


async def _always(
    every_s: float, step: Callable[[], Awaitable[None]], failed: Callable[[HouseError], None]
) -> None:
    """`step` now and then for ever, whatever goes wrong with one."""
    while True:
        try:
            await step()
        except HouseError as error:
            failed(error)
        except Exception:
            log.bug("watching_failed")
        await asyncio.sleep(every_s)
