"""Bodies come in: whole, not above a size, and within a time.

Why no `asyncio.timeout` around a body: nearly every one is there before it is asked for, and a timer each would cost
a ping more than reading its JSON. One timer looks at the oldest instead: as the time is the same for all, those
that are late are always the first.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from starlette.types import Receive

from auction.errors import SellerError

WITHIN_S = 10.0
_MOST_DIGITS = 15
"""What is read of a declared length: more is too much in any case."""


class Bodies:
    """Reads bodies, each at most `most_bytes` long. Counts what it turned away: `too_large`, `too_slow`, `cut_off`."""

    def __init__(self, most_bytes: int, within_s: float = WITHIN_S) -> None:
        self.too_large = self.too_slow = self.cut_off = 0
        self._most_bytes = most_bytes
        self._within_s = within_s
        self._since_s: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, declared: bytes | None, receive: Receive) -> bytes:
        """The whole body; `declared` is its `Content-Length`.

        Raises `SellerError`: 413 as soon as the size is known, 408 when the time is up, 400 when the sender is gone.
        """
        if declared is not None and declared.isdigit() and int(declared[:_MOST_DIGITS]) > self._most_bytes:
            raise self._above()
        task = asyncio.current_task()
        assert task is not None, "doors run in tasks"
        self._since_s[task] = monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._within_s, self._look)
        try:
            return await self._read(receive)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise SellerError(
                408, "too_slow", "The body took too long to come.", headers=[("connection", "close")]
            ) from None
        finally:
            del self._since_s[task]
            self._late.discard(task)

    async def _read(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.cut_off += 1
                raise SellerError(400, "cut_off", "The connection closed before the whole body had come.")
            body: bytes = message.get("body", b"")
            size += len(body)
            if size > self._most_bytes:
                raise self._above()
            if not message.get("more_body"):
                return body if not parts else b"".join([*parts, body])
            parts.append(body)

    def _above(self) -> SellerError:
        self.too_large += 1
        return SellerError(413, "too_large", f"The body is above {self._most_bytes} bytes.")

    def _look(self) -> None:
        self._timer = None
        due_s = monotonic() - self._within_s
        for task, since_s in self._since_s.items():
            if since_s > due_s:
                self._timer = asyncio.get_running_loop().call_later(since_s - due_s, self._look)
                return
            if task not in self._late:
                self.too_slow += 1
                self._late.add(task)
                task.cancel()
