"""A TCP proxy that breaks on purpose: it stands between two parts of the house, on loopback, and spoils what they say.

A fault is put on one way or on both while the proxy runs, and stays until it is healed: `up` is what the client
says to its target, `down` what the target answers. What a fault does to bytes it does from then on; those of how a
connection begins (`Refuse`, `CloseAtOnce`, `NeverAnswer`) meet the connections that come while they stand.

A partition holds bytes back and loses none: TCP would send them again, so after it the two go on where they were. A
SYN cannot be dropped on loopback without the machine's firewall: through a partition a connection opens, and is silent.

Nothing is unbounded: connections have a limit (more are reset, and counted), a way of one connection keeps one
chunk at a time, and `Oversize` and `Garbage` say how much they send.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Literal

from msgspec import Struct

from tests.ports import bound

Way = Literal["up", "down"]
WAYS: tuple[Way, Way] = ("up", "down")
CHUNK = 65_536
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)


class Fault(Struct, frozen=True, tag=True):
    """What a way, or a connection, suffers from."""


class Delay(Fault, frozen=True):
    """Every chunk is `ms` late, and up to `jitter_ms` more by the proxy's seed."""

    ms: float
    jitter_ms: float = 0.0


class Drip(Fault, frozen=True):
    """`size` bytes at a time, one lot every `every_ms`."""

    size: int = 1
    every_ms: float = 20.0


class Partition(Fault, frozen=True):
    """A black hole: nothing passes until it is healed, and the end of the connection neither."""


class Reset(Fault, frozen=True):
    """The next chunk is not passed on: both ends get a RST instead."""


class HalfClose(Fault, frozen=True):
    """After the next chunk this way is closed (FIN); the other goes on."""


class Cut(Fault, frozen=True):
    """`after` more bytes of each connection, then both ends get a RST."""

    after: int


class Garbage(Fault, frozen=True):
    """The next `size` bytes of each connection are others, by the proxy's seed."""

    size: int = 64


class Oversize(Fault, frozen=True):
    """After the next chunk of each connection come `size` bytes that nobody asked for."""

    size: int = 8 * 1024 * 1024


class Refuse(Fault, frozen=True):
    """Nobody listens."""


class CloseAtOnce(Fault, frozen=True):
    """A connection is taken and closed."""


class NeverAnswer(Fault, frozen=True):
    """A connection is taken, what it says is read and thrown away, and that is all."""


_ON_CONNECTIONS = (Refuse, CloseAtOnce, NeverAnswer)


class Proxy:
    """One listening port that leads to one target. Counts what it did in `counts`, by the fault's name.

    `target` is a port on loopback or the path of a unix socket.
    """

    def __init__(self, target: int | Path, *, seed: int = 7, most_connections: int = 512) -> None:
        self.counts: Counter[str] = Counter()
        self.passed_bytes: dict[Way, int] = {"up": 0, "down": 0}
        self._target = target
        self._rng = Random(seed)
        self._most = most_connections
        self._ways: dict[Way, Fault | None] = {"up": None, "down": None}
        self._entry: Fault | None = None
        self._changed = asyncio.Event()
        self._lines: set[_Line] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        # holds the port while nobody listens on it: bound, so that it is nobody else's, and silent
        self._reserved = bound()
        self.port: int = self._reserved.getsockname()[1]

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._lines)

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, sock=bound(self.port))

    async def close(self) -> None:
        """End everything, at once."""
        await self._deafen()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._reserved.close()

    async def put(self, fault: Fault, *ways: Way) -> None:
        """From now on this fault, on these ways (both where none is named)."""
        if isinstance(fault, _ON_CONNECTIONS):
            assert not ways, f"{type(fault).__name__} is a connection's, not a way's"
            self._entry = fault
            if isinstance(fault, Refuse):
                await self._deafen()
        for way in () if isinstance(fault, _ON_CONNECTIONS) else ways or WAYS:
            self._ways[way] = fault
        self._wake()

    async def heal(self) -> None:
        """No fault any more. What was held back goes on its way."""
        self._entry = None
        self._ways = {"up": None, "down": None}
        self._wake()
        if self._server is None:
            await self.open()

    def reset_all(self) -> None:
        """Both ends of every connection get a RST, now."""
        for line in tuple(self._lines):
            self.counts["Reset"] += 1
            line.reset()

    def half_close_all(self, way: Way) -> None:
        """Every connection is closed (FIN) on this way, now."""
        for line in tuple(self._lines):
            self.counts["HalfClose"] += 1
            line.end(way)

    async def _deafen(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.counts["connections"] += 1
        try:
            await self._carry(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy closes: asyncio would tell of a cancelled connection as of a mistake
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""
        if len(self._lines) >= self._most:
            self.counts["turned_away"] += 1
            _reset(writer)
            return
        if isinstance(self._entry, CloseAtOnce):
            self.counts["CloseAtOnce"] += 1
            writer.close()
            return
        if isinstance(self._entry, NeverAnswer):
            self.counts["NeverAnswer"] += 1
            while await _read(reader):
                pass
            return
        while isinstance(self._ways["up"], Partition):
            await self._changed.wait()
        try:
            there_reader, there_writer = await self._connect()
        except OSError:
            self.counts["target_away"] += 1
            _reset(writer)
            return
        line = _Line({"up": there_writer, "down": writer})
        self._lines.add(line)
        try:
            ways = (self._pass(line, "up", reader), self._pass(line, "down", there_reader))
            await asyncio.gather(*ways)
        finally:
            self._lines.discard(line)
            there_writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(str(self._target))
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pass(self, line: _Line, way: Way, reader: asyncio.StreamReader) -> None:
        """One way of one connection, until it ends or a fault ends it."""
        spoiled: Fault | None = None  # whose measure `left` is
        left = 0
        while True:
            chunk = await _read(reader)
            while isinstance(fault := self._ways[way], Partition):
                self.counts["Partition"] += 1
                await self._changed.wait()
            if not chunk:
                line.end(way)
                return
            if fault is not spoiled:
                spoiled, left = fault, _measure(fault)
            if isinstance(fault, Reset) or (isinstance(fault, Cut) and len(chunk) >= left):
                self.counts[type(fault).__name__] += 1
                await line.write(way, chunk[: left if isinstance(fault, Cut) else 0])
                line.reset()
                return
            chunk, used = self._spoil(fault, chunk, left)
            left -= used
            await self._send(line, way, fault, chunk)
            self.passed_bytes[way] += len(chunk)
            if isinstance(fault, HalfClose):
                self.counts["HalfClose"] += 1
                line.end(way)
                while await _read(reader):  # as a peer that has no more to say, and still hears
                    pass
                return

    def _spoil(self, fault: Fault | None, chunk: bytes, left: int) -> tuple[bytes, int]:
        """What becomes of a chunk, and how much of the fault's measure that used up."""
        if isinstance(fault, Garbage) and left:
            self.counts["Garbage"] += 1
            size = min(left, len(chunk))
            return self._rng.randbytes(size) + chunk[size:], size
        if isinstance(fault, Oversize) and left:
            self.counts["Oversize"] += 1
            return chunk + b"x" * fault.size, left
        return chunk, len(chunk) if isinstance(fault, Cut) else 0

    async def _send(self, line: _Line, way: Way, fault: Fault | None, chunk: bytes) -> None:
        if isinstance(fault, Delay):
            self.counts["Delay"] += 1
            await self._sleep(fault, way, fault.ms + fault.jitter_ms * self._rng.random())
        while isinstance(fault, Drip) and chunk and self._ways[way] is fault:
            self.counts["Drip"] += 1
            await line.write(way, chunk[: fault.size])
            chunk = chunk[fault.size :]
            await self._sleep(fault, way, fault.every_ms)
        await line.write(way, chunk)

    async def _sleep(self, fault: Fault, way: Way, ms: float) -> None:
        """So long, or until the fault is healed."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + ms / 1000
        while self._ways[way] is fault and loop.time() < until_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until_s):
                    await self._changed.wait()


class _Line:
    """One connection: where each way of it is written to."""

    def __init__(self, writers: dict[Way, asyncio.StreamWriter]) -> None:
        self._writers = writers

    async def write(self, way: Way, data: bytes) -> None:
        """Passes bytes on. A peer that went makes the connection's other way end as well."""
        writer = self._writers[way]
        if not data or writer.is_closing():
            return
        try:
            writer.write(data)
            await writer.drain()
        except OSError:
            self.reset()

    def end(self, way: Way) -> None:
        """No more bytes on this way."""
        writer = self._writers[way]
        if not writer.is_closing() and writer.can_write_eof():
            with contextlib.suppress(OSError):
                writer.write_eof()

    def reset(self) -> None:
        """A RST for both ends."""
        for writer in self._writers.values():
            _reset(writer)


@asynccontextmanager
async def proxied(target: int | Path, *, seed: int = 7, most_connections: int = 512) -> AsyncIterator[Proxy]:
    """A proxy to a port or a unix socket, open until the end of the block."""
    proxy = Proxy(target, seed=seed, most_connections=most_connections)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()


def _measure(fault: Fault | None) -> int:
    """How many bytes of one connection the fault is about."""
    return (
        fault.after if isinstance(fault, Cut) else fault.size if isinstance(fault, Garbage | Oversize) else 0
    )


async def _read(reader: asyncio.StreamReader) -> bytes:
    """What came; nothing where the connection ended, in whatever way."""
    try:
        return await reader.read(CHUNK)
    except OSError:
        return b""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closed so that the other end gets a RST. (A unix socket has none: there it is an end like any.)"""
    ours = writer.get_extra_info("socket")
    if ours is not None and ours.family == socket.AF_INET and not writer.is_closing():
        with contextlib.suppress(OSError):
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)
    writer.transport.abort()
