"""Things that break on purpose: a buyer that goes away, a ledger and counters that fail at one step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from auction.counters.faults import CountersUnavailable
from auction.ledger.faults import away
from tests.house import House, catalogue


class AwayAt:
    """The ledger's writer, which says at the first `times` writes of `op` that it is away.

    With `written` the write was done all the same: a commit whose answer was lost.
    """

    def __init__(self, writer: Any, op: str, *, times: int = 1, written: bool = False) -> None:
        self._writer = writer
        self._op = op
        self._times = times
        self._written = written

    async def write(self, op: partial[Any]) -> Any:
        if op.func.__name__ != self._op or self._times == 0:
            return await self._writer.write(op)
        self._times -= 1
        if self._written:
            await self._writer.write(op)
        raise away()


class CountersAwayAt:
    """The counters, which fail at the first `times` calls of one step; `done` says whether they did it."""

    def __init__(self, counters: Any, step: str, *, times: int = 1, done: bool = False) -> None:
        self._counters = counters
        self._step = step
        self._times = times
        self._done = done

    def __getattr__(self, name: str) -> Any:
        step = getattr(self._counters, name)
        if name != self._step or self._times == 0:
            return step
        self._times -= 1

        async def fails(*arguments: Any) -> Any:
            if self._done:
                await step(*arguments)
            raise CountersUnavailable("the counters did not answer in time")

        return fails


Answers = Callable[[int, asyncio.Server], bytes | None]
"""What a buyer writes to its nth request (from 0), and what it does to its own server; None: nothing, a reset."""


@asynccontextmanager
async def buyer(answers: Answers) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A buyer on a socket: its URL, and the bodies that it was sent."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        seen.append(await reader.readexactly(length))
        answer = answers(len(seen) - 1, server)
        if answer is None:
            writer.transport.abort()
        else:
            writer.write(answer)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/post", seen
    finally:
        server.close()


def http(status: str, body: str = "{}") -> bytes:
    """A whole answer."""
    data = body.encode()
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status.encode(), len(data), data)


async def eventually(holds: Callable[[], Awaitable[bool]], within_s: float = 20.0) -> None:
    """Waits until it holds."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110  (what is awaited is another process, or another room)
            await asyncio.sleep(0.01)


async def apply_to(house: House, orders: list[dict[str, Any]], **changes: Any) -> None:
    """Another catalogue for a running house; returns when it trades on it."""
    swaps = house.exchange.swapping.swaps
    await house.store(catalogue(orders, mock_url=house.mock.url, **changes))

    async def swapped() -> bool:
        return house.exchange.swapping.swaps > swaps

    await eventually(swapped)
