"""Forgetting a person: what to look for, what is taken out of answers, and the same for whatever is too old.

Personal data can be found though it is sealed, because every lead leaves keyed hashes of its phones and emails when it
is taken (`people`), which are nobody's without the house's key.

Files remember longer than stores do: SQLite's log and the counters' append-only file hold what was erased until they
are written anew. `forget` sees to both at once; `Retention` to the log when it erased, to the file once a day.

Not covered: copies that others hold (buyers have what they bought), backups, and what a PostgreSQL keeps of rows until
it vacuums.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import uuid_utils
from msgspec.structs import replace
from sqlalchemy import Connection, Engine

from auction import log
from auction.clock import Clock
from auction.counters.files import rewrite_files
from auction.counters.link import Link
from auction.errors import HouseError
from auction.ledger.engine import overwrite_what_is_erased
from auction.ledger.forgetting import (
    Erased,
    Words,
    drop_old_pings,
    forget_leads,
    old_leads,
    record_erasure,
    take_chore,
)
from auction.ledger.outbox import drop_old_events
from auction.ledger.ping_leases import drop_old_leases, fold_old_leases
from auction.ledger.refused import drop_old_refused
from auction.ledger.request_keys import drop_old_keys
from auction.ledger.sealing import Sealer
from auction.ledger.writer import Writer
from auction.ping.journal import without_words
from auction.post.answer import Answers, decode_post_answer, encode_post_answer

DAY_MS = 86_400_000
FIRST_REWRITE_MS = 3_600_000
"""How long after its start a house has the counters' file written anew first; then once a day."""
CHORE = "retention"
LOOK_EVERY_S = 60.0
FIRST_LOOK_S = 15.0
LEASE_MS = 600_000
"""How long a worker has the chore before another may take it: it asks for it again at every look."""
LEADS_A_BATCH, PINGS_A_BATCH, EVENTS_A_BATCH, KEYS_A_BATCH, LEASES_A_BATCH = 100, 500, 500, 500, 500
REWRITTEN_WITHIN_S = 60.0
"""How long the counters may take over their file."""
MOST_BATCHES = 2_000
"""In one look; what is left waits for the next."""
PAUSE_S = 0.02
MOST_REFUSED = 1_000
"""Refused postbacks that one look drops: they are kept as long as the log of pings."""


def words_of(sealer: Sealer) -> Words:
    """What is taken out: of an answer the redirect URL, of a ping's detail the buyers' own words."""
    answers = Answers(sealer)

    def stripped(lead_id: str, kept: str) -> str:
        answer = decode_post_answer(answers.open(lead_id, kept))
        return answers.seal(lead_id, encode_post_answer(replace(answer, redirect_url=None)))

    return Words(stripped, without_words)


class Ages(msgspec.Struct, frozen=True):
    """How many days personal data, the log of pings, and what sellers were told are kept; 0: for good."""

    pii_days: int
    pings_days: int
    postbacks_days: int = 0


class Files:
    """The files of this house's stores, that hold what was erased until somebody tidies up."""

    def __init__(self, engine: Engine, counters: Link | None) -> None:
        """`counters` are there where their files are ours too."""
        self._engine = engine
        self._counters = counters
        self._uncut = False
        self._rewrite_at_ms = 0

    async def tidy(self, now_ms: int, *, erased: bool) -> None:
        """Cut the ledger's log where something was `erased` (or an earlier cut did not succeed), and once a day have
        the counters write their file anew. Raises `HouseError` and what SQLAlchemy raises: then the next time."""
        if erased or self._uncut:
            self._uncut = True
            self._uncut = not await asyncio.to_thread(overwrite_what_is_erased, self._engine)
        if self._counters is None:
            return
        if not self._rewrite_at_ms:  # not while the house begins: it holds up the counters for a moment
            self._rewrite_at_ms = now_ms + FIRST_REWRITE_MS
        if now_ms < self._rewrite_at_ms <= now_ms + DAY_MS:
            return
        if await rewrite_files(self._counters, REWRITTEN_WITHIN_S):
            self._rewrite_at_ms = now_ms + DAY_MS


class Retention:
    """Erases what is too old, in one worker of all. Counts `leads`, `pings`, `postbacks` (events that sellers were
    told), `request_keys`, and looks that `failed`.

    Keys of changes are always dropped when their day is over, and leases of pings a day after their window.
    """

    def __init__(
        self,
        writer: Writer,
        sealer: Sealer,
        clock: Clock,
        worker: str,
        ages: Ages,
        files: Files | None = None,
    ) -> None:
        self.leads = self.pings = self.postbacks = self.request_keys = self.failed = 0
        self._writer = writer
        self._words = words_of(sealer)
        self._clock = clock
        self._worker = worker
        self._ages = ages
        self._files = files
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._look_always(), name="retention")

    async def close(self) -> None:
        """Stop; what is left is found by the next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> Erased | None:
        """Erase what is too old by now; None if another worker has the chore. Raises `HouseError`."""
        now_ms = self._clock.now_ms()
        chore = partial(take_chore, name=CHORE, holder=self._worker, now_ms=now_ms, for_ms=LEASE_MS)
        if not await self._writer.write(chore):
            return None
        await self._drop_keys(now_ms)
        await self._tidy_leases(now_ms - DAY_MS)
        erased = Erased()
        if self._ages.pii_days:
            before_ms = now_ms - self._ages.pii_days * DAY_MS
            erased += await self._batches(partial(self._leads_before, before_ms, now_ms))
        if self._ages.pings_days:
            before_ms = now_ms - self._ages.pings_days * DAY_MS
            erased += await self._batches(partial(drop_old_pings, before_ms=before_ms, most=PINGS_A_BATCH))
            refused = partial(drop_old_refused, before_ms=before_ms, most=MOST_REFUSED)
            await self._writer.write(refused)  # what is left waits for the next look
        if self._ages.postbacks_days:
            await self._drop_events(now_ms - self._ages.postbacks_days * DAY_MS)
        if erased != Erased():
            note = partial(
                record_erasure, erasure_id=uuid_utils.uuid7().hex, at_ms=now_ms, asked="age", erased=erased
            )
            await self._writer.write(note)
            log.event("too_old_erased", leads=erased.leads, pings=erased.pings)
        if self._files is not None:
            await self._files.tidy(now_ms, erased=erased != Erased())
        return erased

    async def _drop_keys(self, now_ms: int) -> None:
        for _ in range(MOST_BATCHES):
            dropped = await self._writer.write(partial(drop_old_keys, now_ms=now_ms, most=KEYS_A_BATCH))
            self.request_keys += dropped
            if dropped < KEYS_A_BATCH:
                break
            await asyncio.sleep(PAUSE_S)

    async def _tidy_leases(self, before_ms: int) -> None:
        """Of pings that were leased, what no counter is rebuilt from any more; and of windows that never end, one row
        is enough for all processes that are gone."""
        for step in (drop_old_leases, fold_old_leases):
            for _ in range(MOST_BATCHES):
                done = await self._writer.write(partial(step, before_ms=before_ms, most=LEASES_A_BATCH))
                if done < LEASES_A_BATCH:
                    break
                await asyncio.sleep(PAUSE_S)

    def _leads_before(self, before_ms: int, now_ms: int, conn: Connection) -> Erased:
        ids = old_leads(conn, before_ms, LEADS_A_BATCH)
        return forget_leads(conn, ids, self._words, now_ms, duplicates_too=False)

    async def _drop_events(self, before_ms: int) -> None:
        """They name nobody: that they are gone is not an erasure."""
        for _ in range(MOST_BATCHES):
            dropped = await self._writer.write(
                partial(drop_old_events, before_ms=before_ms, most=EVENTS_A_BATCH)
            )
            if not dropped:
                return
            self.postbacks += dropped
            await asyncio.sleep(PAUSE_S)

    async def _batches(self, step: Callable[[Connection], Erased]) -> Erased:
        erased = Erased()
        for _ in range(MOST_BATCHES):
            batch = await self._writer.write(step)
            if batch == Erased():
                break
            erased += batch
            self.leads += batch.leads
            self.pings += batch.pings
            await asyncio.sleep(PAUSE_S)  # posts write in between
        return erased

    async def _look_always(self) -> None:
        pause_s = FIRST_LOOK_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = LOOK_EVERY_S
            await self._try(self.look)

    async def _try(self, look: Callable[[], Awaitable[object]]) -> None:
        try:
            await look()
        except HouseError as error:
            self.failed += 1
            log.warning("retention_waits", code=error.code)
        except Exception:
            self.failed += 1
            log.bug("retention_failed")
