"""One connection to Valkey or Redis, for the hot path: kept open, and guarded.

Why not redis-py: a ping makes a handful of calls, and a client that takes a connection from a pool, a task
and a timer for each costs more than the auction. What a call is, and how it gets its reply, is in `calls`.

A gate (`counters/era.py`), where there is one, has the last word: only while it says that the server still holds what
we put there do calls go. It is asked at every connection, when the server tells that keys were lost, and
now and then. Where sentinels watch the server they are asked just as often, and followed when it moves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, cast

from auction import log
from auction.counters import address
from auction.counters.calls import Calls, Wire, load_script, pack
from auction.counters.faults import CallError, CountersRebuilding, CountersUnavailable
from auction.counters.scripts import Script
from auction.counters.sentinel import Sentinels
from auction.counters.tls import client_context
from auction.errors import HouseError, OperatorError

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 1.0
_LOOK_S, _LOOK_SHUT_S = 1.0, 0.1
"""How often the gate is asked while it is open, and while it is shut."""


class Gate(Protocol):
    """Says whether calls may go. `ask` sends one command on the connection that is asked about."""

    async def greet(self, ask: Callable[..., asyncio.Future[Any]]) -> None:
        """There is a new connection."""

    async def check(self, ask: Callable[..., asyncio.Future[Any]]) -> HouseError | None:
        """Why no call may go, or None. Raises `OperatorError` where none ever may."""


class Link(Calls):
    """The one connection of this process to one server; opened again by itself whenever it is lost.

    `scripts` are loaded on every connection. Counts what `Calls` does, and `connects`.
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
        super().__init__(bound_ms, stall_ms, max_pending)
        self.address = self._at = address.parse(url)
        self._sentinels = Sentinels(self.address) if self.address.watched is not None else None
        self.connects = 0
        self._gate: Gate | None = None
        self._scripts = tuple(scripts)
        self._connect_s = connect_ms / 1000
        self._keeper: asyncio.Task[None] | None = None

    @property
    def silent_sentinels(self) -> int:
        """How many sentinels did not answer the last time."""
        return 0 if self._sentinels is None else len(self._sentinels.silent)

    def guard(self, gate: Gate) -> None:
        """Let `gate` decide when calls may go. Before the link is opened."""
        self._gate = gate
        self._guarded = True

    async def open(self, within_ms: int = 5_000) -> None:
        """Connect, and stay connected from now on; call it once, on the loop that will use it.

        Raises `CountersUnavailable` if there is no connection after `within_ms` (it goes on trying), and
        `OperatorError` if the server is there and does not take us (a wrong password, no such db).
        """
        self.start()
        await self._until_ready(within_ms, OperatorError)
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
        await self._until_ready(within_ms, OperatorError, CountersRebuilding)
        if isinstance(self._fault, OperatorError) and not self._ready:
            raise self._fault
        return None if self._ready else cast("CountersUnavailable", self._fault)

    async def passed(self, within_ms: int) -> bool:
        """Has the gate asked again at once, and waits until calls go: whether they do."""
        self.look_again()
        await self._until_ready(within_ms)
        return self._ready

    def look_again(self) -> None:
        """Has the gate asked again, now."""
        self._look_now.set()

    async def _until_ready(self, within_ms: int, *or_why: type[Exception]) -> None:
        """Waits until calls go, or until they do not for one of these reasons, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_ms / 1000):
                while not self._ready and not isinstance(self._fault, or_why):
                    self._changed.clear()
                    await self._changed.wait()

    async def close(self) -> None:
        """Give up the connection; what is pending fails."""
        keeper, self._keeper = self._keeper, None
        try:
            if keeper is not None:
                keeper.cancel()
                await asyncio.wait([keeper])  # to await it would take a cancellation of our own for its end
            if self._sentinels is not None:
                await self._sentinels.close()
        finally:
            wire = self._wire
            self._drop(CountersUnavailable("the link is closed"))
        if wire is not None:
            await wire.lost.wait()

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
                self._drop(CountersUnavailable(f"no answer from {self._at}"))
            except OSError as fault:
                self._drop(CountersUnavailable(f"{self._at}: {fault}"))
            except CountersUnavailable as fault:
                self._drop(fault)
            except OperatorError as fault:
                self._drop(fault)
                pause_s = _LONGEST_PAUSE_S
            except Exception as bug:  # whatever answered there, the next one may be another
                log.bug("counters_link_broke", at=str(self._at))
                self._drop(CountersUnavailable(f"{self._at}: {bug}"))
                pause_s = _LONGEST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _connect(self) -> Wire:
        at = self._at = self.address if self._sentinels is None else await self._sentinels.primary()
        opening: Coroutine[Any, Any, tuple[Any, Wire]]
        if at.path is not None:
            opening = self._loop.create_unix_connection(lambda: Wire(self), at.path)
        else:
            tls = client_context() if at.tls else None
            opening = self._loop.create_connection(lambda: Wire(self), at.host, at.port, ssl=tls)
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

    async def _attend(self, gate: Gate, wire: Wire) -> None:
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
            if self._sentinels is not None and await self._sentinels.moved_from(self._at):
                self._drop(CountersUnavailable(f"{self._at} is the primary no more"))
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S if self._ready else _LOOK_SHUT_S):
                    await self._look_now.wait()

    async def _shake_hands(self) -> None:
        commands: list[bytes] = []
        at = self._at
        if at.password is not None:
            user = (at.user,) if at.user is not None else ()
            commands.append(pack(("AUTH", *user, at.password)))
        if at.db:
            commands.append(pack(("SELECT", at.db)))
        commands.append(pack(("PING",)))
        commands += map(load_script, self._scripts)
        replies = [self._ask_packed(packed) for packed in commands]
        try:
            for reply in replies:
                await reply
        except CallError as fault:
            raise OperatorError("bad_redis_url", f"{at} does not take us: {fault}") from None
