"""Calls on one connection, and their replies in order: the hot half of the link.

Here a call is a future and a place in a queue. The calls of one turn of the loop leave as one write, and replies are
matched in their order. Three rules keep that sound:
- No call is ever taken out of the queue. A caller that is cancelled, or whose time is up, leaves its place
  behind, and the reply that comes for it is dropped in its turn. (Else the next caller gets it.)
- Every call is answered within its bound, or fails with `CountersUnavailable`. One timer watches the oldest
  call; as the bound is the same for all, those that are late are always the first of the queue.
- While a reply is late nothing more is sent; after `stall_ms` the connection is given up for a new one.

A call that failed may have been done: what is sent must be safe to do twice, or expire by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar, cast

import hiredis
import msgspec

from auction.counters.faults import CallError, CountersRebuilding, CountersUnavailable
from auction.counters.scripts import Script

T = TypeVar("T")
Argument = str | bytes | int

# the stub of hiredis asks for a tuple of one
pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)
_SECOND_LOOK_S = 0.001
_NOT_SENT = float("inf")

_AWAY = {
    *("NOSCRIPT", "LOADING", "BUSY", "READONLY", "OOM", "MISCONF"),
    *("NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK"),
}
"""What a server says that cannot serve us now; anything else it refuses is a mistake of ours."""


class _Call(msgspec.Struct):
    """One place in the queue."""

    future: asyncio.Future[Any]
    read: Callable[[Any], Any] | None
    packed: bytes
    sent_s: float
    script: Script | None


class Calls:
    """The calls of one process to one server, on the connection that there is.

    Counts, for metrics: `calls` sent, `late` (past the bound); refused at once because the server is away
    (`refused_away`) or stalled (`refused_stalled`), because it is compared with the ledger (`refused_rebuilding`), or
    because the queue is full (`refused_full`); and `reloads` of scripts that the server had forgotten.
    """

    _loop: asyncio.AbstractEventLoop

    def __init__(self, bound_ms: int, stall_ms: int, max_pending: int) -> None:
        self.calls = self.late = self.reloads = 0
        self.refused_away = self.refused_stalled = self.refused_full = self.refused_rebuilding = 0
        self._bound_s = bound_ms / 1000
        self._stall_s = stall_ms / 1000
        self._max_pending = max_pending
        self._pending: deque[_Call] = deque()
        self._outbox: list[_Call] = []
        self._dropping = 0  # replies still to come for calls that are past their bound
        self._stalled_s = 0.0
        self._ready = False
        self._guarded = False
        self._fault: Exception = CountersUnavailable("the link was never opened")
        self._wire: Wire | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._suspect: _Call | None = None
        self._reloading: set[bytes] = set()
        self._changed = asyncio.Event()
        self._look_now = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Calls that wait for their reply."""
        return len(self._pending)

    @property
    def up(self) -> bool:
        """Whether calls are being sent: connected, and no reply is late."""
        return self._ready and not self._dropping

    @property
    def connected(self) -> bool:
        """Whether there is a connection, whatever the gate says."""
        return self._wire is not None

    def call(self, *command: Argument) -> asyncio.Future[Any]:
        """Send one command; its reply as hiredis reads it (text is bytes)."""
        return self._call(pack(command), None, None)

    def run(self, script: Script, read: Callable[[Any], T], *arguments: Argument) -> asyncio.Future[T]:
        """Run a script with `arguments`: how many keys, the keys, the rest. `read` makes the result."""
        return self._call(pack((b"EVALSHA", script.sha, *arguments)), read, script)

    def _call(
        self, packed: bytes, read: Callable[[Any], Any] | None, script: Script | None
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._ready or self._dropping or len(self._pending) >= self._max_pending:
            self._refuse(future)
        else:
            self.calls += 1
            self._send(_Call(future, read, packed, _NOT_SENT, script))
        return future

    def _ask(self, *command: Argument) -> asyncio.Future[Any]:
        """A call that goes whether others may or not: the handshake's, and the gate's own."""
        return self._ask_packed(pack(command))

    def _ask_packed(self, packed: bytes) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        self._send(_Call(future, None, packed, _NOT_SENT, None))
        return future

    def _refuse(self, future: asyncio.Future[Any]) -> None:
        if isinstance(self._fault, CountersRebuilding) and not self._ready:
            self.refused_rebuilding += 1
            _fail(future, CountersRebuilding())
            return
        if not self._ready:
            self.refused_away += 1
            detail = f"no connection to the counters ({self._fault})"
        elif self._dropping:
            self.refused_stalled += 1
            detail = "the counters do not answer"
        else:
            self.refused_full += 1
            detail = "too many calls to the counters are under way"
        _fail(future, CountersUnavailable(detail))

    def _send(self, call: _Call) -> None:
        self._pending.append(call)
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(call)

    def _flush(self) -> None:
        outbox = self._outbox
        if outbox and self._wire is not None:
            now_s = monotonic()
            # their time runs from now: how long our own loop took is not the server's fault
            for call in outbox:
                call.sent_s = now_s
            self._wire.write(outbox[0].packed if len(outbox) == 1 else b"".join([c.packed for c in outbox]))
            if self._timer is None and self._ready:
                self._timer = self._loop.call_later(self._bound_s, self._watch)
        outbox.clear()

    def _replied(self, reply: Any) -> None:
        if type(reply) is hiredis.PushNotification:
            self._shut(CountersRebuilding())
            self._look_now.set()
            return
        if self._dropping:
            self._dropping -= 1
            return
        if not self._pending:
            self._drop(CountersUnavailable("the counters answered what nobody asked"))
            return
        call = self._pending.popleft()
        if type(reply) is hiredis.ReplyError:
            self._refused_by_server(call, str(reply))
            return
        future = call.future
        if future.done():  # its caller was cancelled
            return
        if call.read is None:
            future.set_result(reply)
            return
        try:
            result = call.read(reply)
        except Exception as bug:
            _fail(future, bug)
        else:
            future.set_result(result)

    def _refused_by_server(self, call: _Call, error: str) -> None:
        kind = error.partition(" ")[0]
        script = call.script
        if kind == "NOSCRIPT" and script is not None and not self._guarded:
            # The server was restarted behind a proxy, or told SCRIPT FLUSH. Once: no script, no second time.
            self._reload(script)
            self._send(_Call(call.future, call.read, call.packed, _NOT_SENT, None))
        elif kind in _AWAY:
            _fail(call.future, CountersUnavailable(f"the counters refuse: {error}"))
            # It was the primary once: its address may lead to the new one now. Without our scripts it is another run.
            if kind == "READONLY" or (kind == "NOSCRIPT" and self._guarded):
                self._drop(CountersUnavailable(error))
        else:
            _fail(call.future, CallError(error))

    def _reload(self, script: Script) -> None:
        if script.sha in self._reloading:
            return
        self.reloads += 1
        self._reloading.add(script.sha)
        loaded = self._ask_packed(load_script(script))
        loaded.add_done_callback(lambda _: self._reloading.discard(script.sha))

    def _watch(self) -> None:
        self._timer = None
        now_s = monotonic()
        if self._dropping and now_s - self._stalled_s >= self._stall_s:
            self._drop(CountersUnavailable("the counters do not answer"))
            return
        pending, due_s = self._pending, now_s - self._bound_s
        if pending and pending[0].sent_s <= due_s and self._suspect is not pending[0]:
            # It may be our own loop that was late, with the reply waiting in the socket: read it first.
            self._suspect = pending[0]
            self._timer = self._loop.call_later(_SECOND_LOOK_S, self._watch)
            return
        self._suspect = None
        while pending and pending[0].sent_s <= due_s:
            if not self._dropping:
                self._stalled_s = now_s
            self._dropping += 1
            self.late += 1
            _fail(pending.popleft().future, CountersUnavailable("the counters did not answer in time"))
        waits = [pending[0].sent_s - due_s] if pending and pending[0].sent_s < _NOT_SENT else []
        if self._dropping:
            waits.append(self._stalled_s + self._stall_s - now_s)
        if waits:
            self._timer = self._loop.call_later(min(waits), self._watch)

    def _shut(self, why: Exception) -> None:
        """No call goes from now on, and what is under way failed: it may have been done on counters that were lost."""
        self._ready = False
        self._fault = why
        for call in self._pending:  # their replies come all the same, each in its place
            _fail(call.future, why)

    def _drop(self, fault: Exception) -> None:
        """Give up the connection there is: everything that waits for it fails."""
        self._ready = False
        self._fault = fault
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._suspect = None
        self._dropping = 0
        self._reloading.clear()
        self._outbox.clear()
        pending, self._pending = self._pending, deque()
        for call in pending:
            _fail(call.future, CountersUnavailable(f"the connection to the counters was lost ({fault})"))
        self._changed.set()


class Wire(asyncio.Protocol):
    """One TCP or unix connection, from its opening to its end; a lost one never speaks for the next."""

    write: Callable[[bytes], None]
    _transport: asyncio.Transport

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._reader = hiredis.Reader()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.write = self._transport.write

    def data_received(self, data: bytes) -> None:
        reader, calls = self._reader, self._calls
        try:
            reader.feed(data)
            while calls._wire is self and (reply := reader.gets()) is not False:
                calls._replied(reply)
        except hiredis.ProtocolError as fault:
            calls._drop(CountersUnavailable(f"the counters do not speak RESP ({fault})"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self._calls._look_now.set()
        if self._calls._wire is self:
            self._calls._drop(CountersUnavailable(str(exc or "closed by the server")))

    def abort(self) -> None:
        self._transport.abort()


def load_script(script: Script) -> bytes:
    """The command that makes the server know a script."""
    return pack((b"SCRIPT", b"LOAD", script.source))


def _fail(future: asyncio.Future[Any], fault: Exception) -> None:
    if not future.done():
        future.set_exception(fault)
        future.exception()  # counted here: a caller that went away is no reason for a log line
