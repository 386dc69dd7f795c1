"""A front with an application of a test's own behind it, and clients that speak bytes to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from auction.api.front import Front, FrontLimits
from auction.api.gate import Gate
from auction.api.request import Served
from tests.api.wired import Wired, wired

QUICK = FrontLimits(sweep_s=0.02)
JSON = (b"content-type", b"application/json")


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers what it was asked: method, path, query, headers by name, and the body."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    heard = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        "body": body.decode("latin-1"),
        "cut_off": message["type"] == "http.disconnect",
    }
    await answer(send, msgspec.json.encode(heard))


async def answer(send: Any, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    """One whole answer."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [JSON, *headers, length]})
    await send({"type": "http.response.body", "body": body})


class Shut:
    """An application whose answers wait until they are let out; it notes what it was asked, and what became of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.open = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        try:
            await self.open.wait()
            await answer(send, msgspec.json.encode(scope["path"]))
            self.ended.append(scope["path"])
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise


class Fronted:
    """A running front: `url` is where it listens."""

    def __init__(self, front: Front, url: str) -> None:
        self.front = front
        self.url = url

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Wired]:
        """One connection."""
        async with wired(self.url) as one:
            yield one


@asynccontextmanager
async def fronted(
    app: Served, limits: FrontLimits = QUICK, gate: Gate | None = None
) -> AsyncIterator[Fronted]:
    """Serves `app` until the end of the block."""
    front = Front(app, limits, gate)
    listening = socket.create_server(("127.0.0.1", 0))
    await front.start(listening)
    try:
        yield Fronted(front, f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        if not front.stopping:
            await front.stop(5)
