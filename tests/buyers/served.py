"""Buyers of all manners on loopback, and a round that remembers what it was told."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

from auction.buyers.fanout import Fanout, Target, compile_target
from auction.market.reasons import Reason

Manner = Callable[["Line"], Awaitable[None]]
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"bid":1.5}'


class Told:
    """A round that remembers, and whom a test can wait for."""

    def __init__(self) -> None:
        self.closed = False
        self.answers: dict[int, tuple[int, bytes]] = {}
        self.failures: dict[int, Reason] = {}
        self.elapsed_us: dict[int, int] = {}
        self._changed = asyncio.Event()

    def answered(self, slot: int, status: int, body: bytes, elapsed_us: int) -> None:
        assert not self.closed
        self._note(slot, elapsed_us)
        self.answers[slot] = (status, body)

    def failed(self, slot: int, reason: Reason, elapsed_us: int) -> None:
        assert not self.closed
        self._note(slot, elapsed_us)
        self.failures[slot] = reason

    async def all_of(self, count: int) -> None:
        while len(self.elapsed_us) < count:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 30)

    def _note(self, slot: int, elapsed_us: int) -> None:
        assert slot not in self.elapsed_us, f"slot {slot} was told twice"
        self.elapsed_us[slot] = elapsed_us
        self._changed.set()


class Line:
    """One connection as a buyer's server sees it."""

    def __init__(self, server: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.number = server.lines
        self._server = server

    async def request(self) -> bytes:
        """The next whole request; raises `IncompleteReadError` when there is none."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await self.reader.readexactly(length)
        self._server.requests.append(head + body)
        return head + body

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Closes with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Served:
    """A server of one manner."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.lines = 0
        self.open = 0
        self.requests: list[bytes] = []
        self.port = 0
        self.scheme = "http"

    async def start(self, context: ssl.SSLContext | None) -> None:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=context, backlog=2048, limit=2**24
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.scheme = "https" if context else "http"

    def target(self, path: str = "/bid", *, ca_file: str | None = None, host: str = "127.0.0.1") -> Target:
        return compile_target(f"{self.scheme}://{host}:{self.port}{path}", {}, 300, ca_file)

    def stop_listening(self) -> None:
        """Refuses new connections; those there are stay."""
        assert self._server is not None
        self._server.close()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.lines += 1
        self.open += 1
        try:
            await self._manner(Line(self, reader, writer))
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort() if writer.transport.is_closing() else writer.close()
            self.open -= 1
            self._tasks.discard(task)


Serve = Callable[..., Awaitable[Served]]
Fanouts = Callable[..., Fanout]


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what no event tells."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
