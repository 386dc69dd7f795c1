"""A client that writes bytes: what an HTTP library would never send, sent, and what comes back, read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec

KEY_LINE = b"x-api-key: test-key\r\n"


class Answer(msgspec.Struct):
    """One response: `json` is its body read, None if it has none."""

    status: int
    headers: dict[str, str]
    json: Any

    @property
    def code(self) -> str | None:
        """The reason code of a problem."""
        return self.json.get("code") if isinstance(self.json, dict) else None

    @property
    def fields(self) -> list[str]:
        """The fields that a problem names."""
        return [error["field"] for error in self.json.get("errors", [])]


class Wired:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def write(self, *parts: bytes) -> None:
        """Send these bytes as they are."""
        self.writer.write(b"".join(parts))

    async def answer(self, *, head: bool = False) -> Answer:
        """The next response; `head`: to a HEAD, which has no body whatever its length says."""
        async with asyncio.timeout(30):
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            length = 0 if head or status == 100 else int(headers["content-length"])
            body = await self._reader.readexactly(length)
        return Answer(status, headers, msgspec.json.decode(body) if body else None)

    async def send(
        self,
        path: str | bytes,
        body: bytes | None = None,
        *,
        method: str = "POST",
        key: bytes = KEY_LINE,
        headers: Sequence[bytes] = (b"content-type: application/json",),
    ) -> Answer:
        """One request and its response."""
        self.write(request(path, body, method=method, key=key, headers=headers))
        return await self.answer(head=method == "HEAD")

    async def closed(self) -> bool:
        """Whether the server ends the connection."""
        async with asyncio.timeout(30):
            return await self._reader.read(1) == b""


def request(
    path: str | bytes,
    body: bytes | None = None,
    *,
    method: str = "POST",
    key: bytes = KEY_LINE,
    headers: Sequence[bytes] = (b"content-type: application/json",),
) -> bytes:
    """A whole request."""
    target = path.encode() if isinstance(path, str) else path
    lines = b"".join(header + b"\r\n" for header in headers)
    length = b"" if body is None else b"content-length: %d\r\n" % len(body)
    start = b"%b %b HTTP/1.1\r\nhost: house\r\n" % (method.encode(), target)
    return start + key + lines + length + b"\r\n" + (body or b"")


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[Wired]:
    """A connection to the house at `url`."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Wired(reader, writer)
    finally:
        writer.close()


async def until(holds: Callable[[], bool | Awaitable[bool]], within_s: float = 30.0) -> None:
    """Waits until it holds: what is awaited is another process, or the other end of a line."""
    async with asyncio.timeout(within_s):
        while not (held if isinstance(held := holds(), bool) else await held):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
