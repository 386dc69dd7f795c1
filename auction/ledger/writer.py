"""Group commit: one thread a process, which writes all that waits in one transaction.

A commit costs a wait for the disk whatever it holds, so the posts that come in while one commit runs share
the next. There is no timer and no batch size to tune for it: alone a write goes at once, under load batches
form by themselves. A write's future resolves when its transaction is committed, and not before (P4).

One bad write takes nobody along: if the transaction fails, the batch is halved and run again, until the
faulty one stands alone and fails with its own exception (a few more commits, where one by one would be
hundreds).

The log of pings goes the same way but in transactions of its own, at most a few a second: so a row that the
database refuses can never cost a post anything, and no savepoint is needed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct
from sqlalchemy import Connection, Engine

from auction.ledger.engine import writing
from auction.ledger.faults import away, full, is_away, is_conflict
from auction.ledger.pings import insert_pings
from auction.ledger.records import PingRow

T = TypeVar("T")
_log = logging.getLogger(__name__)

_MOST_TRIES: Final = 4
"""How often a write alone is run when another process's transaction stood in its way."""


class _Write(Struct, gc=False):
    """One op that waits; after its turn, what it returned or raised."""

    op: Callable[[Connection], Any]
    future: asyncio.Future[Any]
    value: Any = None
    error: Exception | None = None


class Writer:
    """The one way into the ledger. Open it inside the running loop, whose futures it resolves.

    `stall_s` bounds how long any write waits for a database that neither answers nor fails; a lock that
    another process holds gives up sooner by itself (`open_engine`'s `busy_ms`).
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_queue: int = 10_000,
        max_batch: int = 512,
        max_pings: int = 20_000,
        ping_batch: int = 500,
        ping_age_s: float = 0.2,
        stall_s: float = 4.0,
    ) -> None:
        self.writes = 0
        self.commits = 0
        self.writes_refused = 0
        self.writes_away = 0
        self.pings_logged = 0
        self._pings_refused = 0
        self._pings_lost = 0
        self._engine = writing(engine)
        self._max_queue = max_queue
        self._max_batch = max_batch
        self._max_pings = max_pings
        self._ping_batch = ping_batch
        self._ping_age_s = ping_age_s
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Write] = deque()
        self._pings: deque[PingRow] = deque()
        self._pings_due_s = 0.0
        self._flushes_asked = 0
        self._flushes_done = 0
        self._turn: list[_Write] = []
        self._turn_since_s = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._closing = False
        self._wake = threading.Event()
        self._done = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def write(self, op: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Runs `op` in the next transaction; resolves with what it returned once that is durable.

        `op` may be run more than once, each time in a fresh transaction. Raises (at once)
        `HouseError("ledger_full")` when the queue is full. The future fails with the op's own exception, or
        with `HouseError("ledger_unavailable")`: then the database is away, locked or full, and it is *not
        known* whether the op was written. To cancel the future does not stop the op.
        """
        if len(self._queue) >= self._max_queue:
            self.writes_refused += 1
            raise full("writes")
        if self._closing:
            raise away()
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Write(op, future))
        if not self._wake.is_set():
            self._wake.set()
        if self._watch is None:
            self._turn_since_s = max(self._turn_since_s, time.monotonic())
            self._watch = self._loop.call_later(self._stall_s / 4, self._look_at_turn)
        return future

    def log_ping(self, row: PingRow) -> bool:
        """Queues one auction for the log; False (and counted) when there is no room. Never blocks, never
        raises."""
        waiting = len(self._pings)
        if waiting >= self._max_pings or self._closing:
            self._pings_refused += 1
            return False
        self._pings.append(row)
        if waiting == self._ping_batch:
            self._wake.set()
        return True

    @property
    def waiting(self) -> int:
        """Writes in the queue, not counting those of the running transaction."""
        return len(self._queue)

    @property
    def pings_waiting(self) -> int:
        """Rows of the log not yet written."""
        return len(self._pings)

    @property
    def pings_dropped(self) -> int:
        """Rows of the log that found no room, or could not be written: each is counted by its own thread."""
        return self._pings_refused + self._pings_lost

    async def flush(self) -> None:
        """Returns when all that was handed over before is written (or counted as dropped)."""
        self._flushes_asked += 1
        await self.write(_nothing)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Writes what waits, for at most `timeout_s`; what is left then fails as `ledger_unavailable`."""
        self._closing = True
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._done.wait()
        except TimeoutError:
            self._give_up()
            self._pings_refused += len(_take(self._pings, len(self._pings)))
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    # on the loop

    def _look_at_turn(self) -> None:
        """A database that hangs fails nothing by itself: then we fail what waits for it."""
        self._watch = None
        if not self._turn and not self._queue:
            return
        if time.monotonic() - self._turn_since_s > self._stall_s:
            self._give_up()
        self._watch = self._loop.call_later(self._stall_s / 4, self._look_at_turn)

    def _give_up(self) -> None:
        self._resolve(_all_away(self._turn))
        self._resolve(_all_away(self._queue_emptied()))

    def _resolve(self, turn: Sequence[_Write]) -> None:
        for write in turn:
            if write.future.done():  # cancelled, or given up while the database hung
                continue
            if write.error is None:
                write.future.set_result(write.value)
            else:
                write.future.set_exception(write.error)

    # on the thread

    def _run(self) -> None:
        self._pings_due_s = time.monotonic() + self._ping_age_s
        while not self._closing or self._queue or self._pings:
            self._wake.wait(self._ping_age_s)
            self._wake.clear()
            try:
                self._take_turn()
            except Exception:
                _log.exception("the ledger's writer goes on after a mistake of its own")
        self._tell(self._done.set)

    def _take_turn(self) -> None:
        self._turn = turn = _take(self._queue, self._max_batch)
        asked = self._flushes_asked  # read after the queue: a flush that is in this turn is seen
        everything = self._closing or asked != self._flushes_done
        try:
            if self._write_pings(everything) and self._commit(turn):
                self._tell(self._resolve, turn)
            else:  # everybody behind would wait as long and be told the same
                self._fail([*turn, *self._queue_emptied()])
        finally:
            self._turn = []
            self._flushes_done = asked
        if self._queue:
            self._wake.set()

    def _commit(self, turn: Sequence[_Write]) -> bool:
        """Runs all of `turn`, each once to the end, in as few transactions as can be. False: the database
        is away."""
        if not turn:
            return True
        tries = 0
        while True:
            tries += 1
            self._turn_since_s = time.monotonic()
            try:
                self._transact(turn)
                return True
            except Exception as error:
                if is_away(error):
                    _log.warning("the ledger does not answer: %s", type(error).__name__)
                    return False
                if len(turn) > 1:
                    break
                if not is_conflict(error) or tries == _MOST_TRIES:
                    turn[0].value, turn[0].error = None, away() if is_conflict(error) else error
                    return True
        half = len(turn) // 2
        return self._commit(turn[:half]) and self._commit(turn[half:])

    def _transact(self, turn: Sequence[_Write]) -> None:
        with self._engine.begin() as conn:
            for write in turn:
                write.value = write.op(conn)
        self.commits += 1
        self.writes += len(turn)

    def _write_pings(self, everything: bool) -> bool:
        """One batch of the log if it is due, or all of it. False: the database is away."""
        while self._pings:
            now_s = time.monotonic()
            if not (everything or now_s >= self._pings_due_s or len(self._pings) >= self._ping_batch):
                break
            self._pings_due_s = now_s + self._ping_age_s
            if not self._log(_take(self._pings, self._ping_batch)):
                return False
            if (self._turn or self._queue) and not everything:  # posts go first
                break
        return True

    def _log(self, rows: Sequence[PingRow]) -> bool:
        """Writes the rows; what cannot be written is dropped and counted. False: the database is away."""
        self._turn_since_s = time.monotonic()
        try:
            with self._engine.begin() as conn:
                insert_pings(conn, rows)
            self.commits += 1
            self.pings_logged += len(rows)
            return True
        except Exception as error:
            gone = is_away(error)
            if len(rows) == 1 or gone:
                self._pings_lost += len(rows)
                _log.warning("%d pings dropped from the log: %s", len(rows), type(error).__name__)
                return not gone
        half = len(rows) // 2
        return self._log(rows[:half]) and self._log(rows[half:])

    def _fail(self, turn: Sequence[_Write]) -> None:
        if turn:
            self.writes_away += len(turn)
            self._tell(self._resolve, _all_away(turn))

    def _queue_emptied(self) -> list[_Write]:
        return _take(self._queue, len(self._queue))

    def _tell(self, callback: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            _log.warning("the ledger's writer outlived its loop")


def _nothing(_: Connection) -> None:
    """What `flush` waits for."""


def _take(waiting: deque[T], most: int) -> list[T]:
    """At most `most` from the left; both threads may take at once."""
    taken: list[T] = []
    try:
        while len(taken) < most:
            taken.append(waiting.popleft())
    except IndexError:
        pass
    return taken


def _all_away(turn: Sequence[_Write]) -> list[_Write]:
    return [_Write(write.op, write.future, error=away()) for write in turn]
