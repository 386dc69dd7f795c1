"""One connection to Valkey or Redis, for the hot path.

Why not redis-py: a ping makes a handful of calls, and a client that takes a connection from a pool, a task
and a timer for each costs more than the auction. Here a call is a future and a place in a queue. The calls of
one turn of the loop leave as one write, and replies are matched in their order.

Three rules keep that sound:
- No call is ever taken out of the queue. A caller that is cancelled, or whose time is up, leaves its place
  behind, and the reply that comes for it is dropped in its turn. (Else the next caller gets it.)
- Every call is answered within its bound, or fails with `CountersUnavailable`. One timer watches the oldest
  call; as the bound is the same for all, those that are late are always the first of the queue.
- While a reply is late nothing more is sent; after `stall_ms` the connection is given up for a new one.

A call that failed may have been done: what is sent must be safe to do twice, or expire by itself.

A gate (`counters/era.py`), where there is one, has the last word: only while it says that the server still holds what
we put there do calls go. It is asked at every connection, when the server tells that keys were lost, and
now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import Any, Protocol, TypeVar, cast

import hiredis
import msgspec

from auction.counters import address
from auction.counters.scripts import Script
from auction.errors import HouseError, OperatorError

T = TypeVar("T")
Argument = str | bytes | int

# the stub of hiredis asks for a tuple of one
_pack = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 1.0
_SECOND_LOOK_S = 0.001
_LOOK_S, _LOOK_SHUT_S = 1.0, 0.1
"""How often the gate is asked while it is open, and while it is shut."""
_AWAY = {
    *("NOSCRIPT", "LOADING", "BUSY", "READONLY", "OOM", "MISCONF"),
    *("NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK"),
}
"""What a server says that cannot serve us now; anything else it refuses is a mistake of ours."""


class CountersUnavailable(HouseError):  # noqa: N818  (it says what is so, as HTTP's 503 does)
    """Valkey is away, stalled, full or refusing: 503. Whether the call was done is open.

    Its text says why, for logs and operators; a seller is told that it is so.
    """

    def __init__(self, why: str) -> None:
        super().__init__("counters_unavailable", "The counters are away; try again shortly.")
        self.why = why

    def __str__(self) -> str:
        return self.why


class CountersRebuilding(CountersUnavailable):
    """Valkey is there, and may have lost what it held: 503 until it was compared with the ledger."""

    def __init__(self) -> None:
        super().__init__("the counters are being compared with the ledger")
        self.code = "counters_rebuilding"
        self.detail = "The counters are being compared with the ledger; try again shortly."


class CallError(RuntimeError):
    """The server refused a call as wrong: a script that fails, a key of another kind. A bug, answered 500."""


class _Call(msgspec.Struct):
    """One place in the queue."""

    future: asyncio.Future[Any]
    read: Callable[[Any], Any] | None
    packed: bytes
    sent_s: float
    script: Script | None


class Gate(Protocol):
    """Says whether calls may go. `ask` sends one command on the connection that is asked about."""

    async def greet(self, ask: Callable[..., asyncio.Future[Any]]) -> None:
        """There is a new connection."""

    async def check(self, ask: Callable[..., asyncio.Future[Any]]) -> HouseError | None:
        """Why no call may go, or None. Raises `OperatorError` where none ever may."""


class Link:
    """The one connection of this process to one server; opened again by itself whenever it is lost.

    `scripts` are loaded on every connection. Counts, for metrics: `calls` sent, `late` (past the bound);
    refused at once because the server is away (`refused_away`) or stalled (`refused_stalled`), because it is compared
    with the ledger (`refused_rebuilding`), or because the queue is full (`refused_full`); `connects`, and `reloads` of
    scripts that the server had forgotten.
    """

    def __init__(
        self,
        url: str,
        scripts: Sequence[Script] = (),
        *,
        bound_ms: int = 50,
        stall_ms: int = 1_000,
        connect_ms: int = 1_000,
        max_pending: int = 10_000,
    ) -> None:
        self.address = address.parse(url)
        self.calls = self.late = self.connects = self.reloads = 0
        self.refused_away = self.refused_stalled = self.refused_full = self.refused_rebuilding = 0
        self._gate: Gate | None = None
        self._scripts = tuple(scripts)
        self._bound_s = bound_ms / 1000
        self._stall_s = stall_ms / 1000
        self._connect_s = connect_ms / 1000
        self._max_pending = max_pending
        self._pending: deque[_Call] = deque()
        self._outbox: list[bytes] = []
        self._dropping = 0  # replies still to come for calls that are past their bound
        self._stalled_s = 0.0
        self._ready = False
        self._fault: Exception = CountersUnavailable("the link was never opened")
        self._wire: _Wire | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._suspect: _Call | None = None
        self._reloading: set[bytes] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._look_now = asyncio.Event()

    # -- open and close ------------------------------------------------------------------------------

    def guard(self, gate: Gate) -> None:
        """Let `gate` decide when calls may go. Before the link is opened."""
        self._gate = gate

    async def open(self, within_ms: int = 5_000) -> None:
        """Connect, and stay connected from now on; call it once, on the loop that will use it.

        Raises `CountersUnavailable` if there is no connection after `within_ms` (it goes on trying), and
        `OperatorError` if the server is there and does not take us (a wrong password, no such db).
        """
        self.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_ms / 1000):
                while not self._ready and not isinstance(self._fault, OperatorError):
                    await self._change()
        if not self._ready:
            raise self._fault

    def start(self) -> None:
        """As `open`, but waits for nothing: calls are refused until there is a connection."""
        self._loop = asyncio.get_running_loop()
        self._keeper = self._loop.create_task(self._keep_open(), name="counters-link")

    async def first_word(self, within_ms: int = 5_000) -> CountersUnavailable | None:
        """Waits until a server answered, or `within_ms`: why calls do not go now, None if they do.

        Raises `OperatorError` as `open` does.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_ms / 1000):
                while not self._ready and not isinstance(self._fault, OperatorError | CountersRebuilding):
                    await self._change()
        if isinstance(self._fault, OperatorError) and not self._ready:
            raise self._fault
        return None if self._ready else cast("CountersUnavailable", self._fault)

    async def passed(self, within_ms: int) -> bool:
        """Has the gate asked again at once, and waits until calls go: whether they do."""
        self.look_again()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_ms / 1000):
                while not self._ready:
                    await self._change()
        return self._ready

    def look_again(self) -> None:
        """Has the gate asked again, now."""
        self._look_now.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def close(self) -> None:
        """Give up the connection; what is pending fails."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        wire = self._wire
        self._drop(CountersUnavailable("the link is closed"))
        if wire is not None:
            await wire.lost.wait()

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

    # -- calls ---------------------------------------------------------------------------------------

    def call(self, *command: Argument) -> asyncio.Future[Any]:
        """Send one command; its reply as hiredis reads it (text is bytes)."""
        return self._call(_pack(command), None, None)

    def run(self, script: Script, read: Callable[[Any], T], *arguments: Argument) -> asyncio.Future[T]:
        """Run a script with `arguments`: how many keys, the keys, the rest. `read` makes the result."""
        return self._call(_pack((b"EVALSHA", script.sha, *arguments)), read, script)

    def _call(
        self, packed: bytes, read: Callable[[Any], Any] | None, script: Script | None
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._ready or self._dropping or len(self._pending) >= self._max_pending:
            self._refuse(future)
        else:
            self.calls += 1
            self._send(_Call(future, read, packed, monotonic(), script))
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
        self._outbox.append(call.packed)
        if self._timer is None and self._ready:
            self._timer = self._loop.call_later(self._bound_s, self._watch)

    def _flush(self) -> None:
        outbox = self._outbox
        if outbox and self._wire is not None:
            self._wire.write(outbox[0] if len(outbox) == 1 else b"".join(outbox))
        outbox.clear()

    # -- replies -------------------------------------------------------------------------------------

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
        if kind == "NOSCRIPT" and script is not None and self._gate is None:
            # The server was restarted behind a proxy, or told SCRIPT FLUSH. Once: no script, no second time.
            self._reload(script)
            self._send(_Call(call.future, call.read, call.packed, monotonic(), None))
        elif kind in _AWAY:
            _fail(call.future, CountersUnavailable(f"the counters refuse: {error}"))
            # It was the primary once: its address may lead to the new one now. Without our scripts it is another run.
            if kind == "READONLY" or (kind == "NOSCRIPT" and self._gate is not None):
                self._drop(CountersUnavailable(error))
        else:
            _fail(call.future, CallError(error))

    def _reload(self, script: Script) -> None:
        if script.sha in self._reloading:
            return
        self.reloads += 1
        self._reloading.add(script.sha)
        loaded: asyncio.Future[Any] = self._loop.create_future()
        loaded.add_done_callback(lambda _: self._reloading.discard(script.sha))
        self._send(_Call(loaded, None, _load(script), monotonic(), None))

    # -- the bound -----------------------------------------------------------------------------------

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
        waits = [pending[0].sent_s - due_s] if pending else []
        if self._dropping:
            waits.append(self._stalled_s + self._stall_s - now_s)
        if waits:
            self._timer = self._loop.call_later(min(waits), self._watch)

    # -- the connection ------------------------------------------------------------------------------

    async def _keep_open(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(self._connect_s):
                    wire = await self._connect()
                pause_s = _FIRST_PAUSE_S
                if self._gate is not None:
                    await self._attend(self._gate, wire)
                await wire.lost.wait()
            except TimeoutError:
                self._drop(CountersUnavailable(f"no answer from {self.address}"))
            except OSError as fault:
                self._drop(CountersUnavailable(f"{self.address}: {fault}"))
            except CountersUnavailable as fault:
                self._drop(fault)
            except OperatorError as fault:
                self._drop(fault)
                pause_s = _LONGEST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _connect(self) -> _Wire:
        at = self.address
        opening: Coroutine[Any, Any, tuple[Any, _Wire]]
        if at.path is not None:
            opening = self._loop.create_unix_connection(lambda: _Wire(self), at.path)
        else:
            tls = ssl.create_default_context() if at.tls else None
            opening = self._loop.create_connection(lambda: _Wire(self), at.host, at.port, ssl=tls)
        _, wire = await opening
        self._wire = wire
        await self._shake_hands()
        if self._wire is not wire:  # it was given up after its last reply, and before we came to hear of that
            raise self._fault
        if self._gate is not None:
            await self._gate.greet(self._ask)
        else:
            self._ready = True
        self.connects += 1
        self._changed.set()
        return wire

    async def _attend(self, gate: Gate, wire: _Wire) -> None:
        """Asks the gate until the connection is lost. Raises `OperatorError`, and `TimeoutError` for no answer."""
        why: Exception | None
        while not wire.lost.is_set():
            self._look_now.clear()
            try:
                async with asyncio.timeout(self._connect_s):
                    why = await gate.check(self._ask)
            except CountersUnavailable:
                # a notice came between, or a stall: that was dealt with where it was found
                why = None if self._ready else self._fault
            if self._wire is not wire:
                return
            if why is None and not self._look_now.is_set():
                self._ready = True
            elif why is not None:
                self._shut(why)
            self._changed.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S if self._ready else _LOOK_SHUT_S):
                    await self._look_now.wait()

    def _ask(self, *command: Argument) -> asyncio.Future[Any]:
        """The gate's own calls go whether others may or not."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._send(_Call(future, None, _pack(command), monotonic(), None))
        return future

    def _shut(self, why: Exception) -> None:
        """No call goes from now on, and what is under way failed: it may have been done on counters that were lost."""
        self._ready = False
        self._fault = why
        for call in self._pending:  # their replies come all the same, each in its place
            _fail(call.future, why)

    async def _shake_hands(self) -> None:
        commands: list[bytes] = []
        at = self.address
        if at.password is not None:
            user = (at.user,) if at.user is not None else ()
            commands.append(_pack(("AUTH", *user, at.password)))
        if at.db:
            commands.append(_pack(("SELECT", at.db)))
        commands.append(_pack(("PING",)))
        commands += map(_load, self._scripts)
        replies: list[asyncio.Future[Any]] = []
        for packed in commands:
            replies.append(self._loop.create_future())
            self._send(_Call(replies[-1], None, packed, monotonic(), None))
        try:
            for reply in replies:
                await reply
        except CallError as fault:
            raise OperatorError("bad_redis_url", f"{at} does not take us: {fault}") from None

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


class _Wire(asyncio.Protocol):
    """One TCP or unix connection, from its opening to its end; a lost one never speaks for the next."""

    write: Callable[[bytes], None]
    _transport: asyncio.Transport

    def __init__(self, link: Link) -> None:
        self._link = link
        self._reader = hiredis.Reader()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.write = self._transport.write

    def data_received(self, data: bytes) -> None:
        reader, link = self._reader, self._link
        try:
            reader.feed(data)
            while link._wire is self and (reply := reader.gets()) is not False:
                link._replied(reply)
        except hiredis.ProtocolError as fault:
            link._drop(CountersUnavailable(f"the counters do not speak RESP ({fault})"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self._link._look_now.set()
        if self._link._wire is self:
            self._link._drop(CountersUnavailable(str(exc or "closed by the server")))

    def abort(self) -> None:
        self._transport.abort()


def _load(script: Script) -> bytes:
    return _pack((b"SCRIPT", b"LOAD", script.source))


def _fail(future: asyncio.Future[Any], fault: Exception) -> None:
    if not future.done():
        future.set_exception(fault)
        future.exception()  # counted here: a caller that went away is no reason for a log line
