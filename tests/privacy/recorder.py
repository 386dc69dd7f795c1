"""A buyer that writes down every byte it is sent, and answers what it was told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

NO_BID = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
Answering = Callable[["Request"], bytes]


class Request(Struct, frozen=True):
    """One request as it came off the wire: its line, all its bytes, and its body."""

    line: bytes
    raw: bytes
    body: bytes


class Recorder:
    """`requests` are those of all connections, in the order in which they were whole."""

    def __init__(self, answering: Answering) -> None:
        self.requests: list[Request] = []
        self.url = ""
        self._answering = answering

    def taken(self) -> list[Request]:
        """What came since the last call."""
        requests, self.requests = self.requests, []
        return requests

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = (
                    int(line.partition(b":")[2])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                body = await reader.readexactly(next(lengths, 0))
                request = Request(head.partition(b"\r\n")[0], head + body, body)
                self.requests.append(request)
                writer.write(self._answering(request))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def recording(answering: Answering = lambda _: NO_BID) -> AsyncIterator[Recorder]:
    """A recorder on a free port, until the end of the block."""
    recorder = Recorder(answering)
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield recorder
    finally:
        server.close()
