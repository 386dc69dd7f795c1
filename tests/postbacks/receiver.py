"""A seller's server on a socket: it remembers what it was told, and answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

OK = (200, b"ok")
Answering = Callable[["Heard"], tuple[int, bytes] | tuple[int, bytes, dict[str, str]]]


class Heard(msgspec.Struct, frozen=True):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """`answer` can be changed at any time; None never answers."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.answer: Answering | None = lambda _: OK
        self.url = ""
        self.most_at_once = self._at_once = 0
        self._changed = asyncio.Event()

    @property
    def told(self) -> list[str]:
        """The status in each signed body, or in the path."""
        return [
            msgspec.json.decode(one.body)["data"]["status"] if one.body else one.path for one in self.heard
        ]

    async def until(self, count: int, within_s: float = 30.0) -> None:
        """Waits for so many requests."""
        async with asyncio.timeout(within_s):
            while len(self.heard) < count:
                self._changed.clear()
                await self._changed.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            one = Heard(method, path, headers, body)
            self.heard.append(one)
            self._changed.set()
            if self.answer is None:
                await reader.read()
                return
            status, text, *more = self.answer(one)
            lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}", "Connection: close"]
            for extra in more:
                assert isinstance(extra, dict)
                lines += [f"{name}: {value}" for name, value in extra.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + text)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._at_once -= 1
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on loopback for the block."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, backlog=512)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()
