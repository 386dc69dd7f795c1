"""Bodies come in: whole, and not above a size. (Within which time is the front's to say.)"""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.types import Receive

from auction.errors import SellerError

_MOST_DIGITS = 15
"""What is read of a declared length: more is too much in any case."""


class Bodies:
    """Reads bodies, each at most `most_bytes` long. Counts what it turned away: `too_large`, `cut_off`."""

    def __init__(self, most_bytes: int) -> None:
        self.too_large = self.cut_off = 0
        self._most_bytes = most_bytes

    async def read(self, declared: bytes | None, receive: Receive, most_bytes: int | None = None) -> bytes:
        """The whole body; `declared` is its `Content-Length`. A door may have a `most_bytes` of its own.

        Raises `SellerError`: 413 as soon as the size is known, 400 when the sender is gone.
        """
        most = self._most_bytes if most_bytes is None else most_bytes
        if declared is not None and declared.isdigit() and int(declared[:_MOST_DIGITS]) > most:
            raise self._above(most)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise self._cut_off()
            body: bytes = message.get("body", b"")
            size += len(body)
            if size > most:
                raise self._above(most)
            if not message.get("more_body"):
                return body if not parts else b"".join([*parts, body])
            parts.append(body)

    async def pieces(self, declared: bytes | None, receive: Receive, most_bytes: int) -> AsyncIterator[bytes]:
        """The body as it comes, for one that is too long to be held. Raises as `read` does, before or in between."""
        if declared is not None and declared.isdigit() and int(declared[:_MOST_DIGITS]) > most_bytes:
            raise self._above(most_bytes)
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise self._cut_off()
            body: bytes = message.get("body", b"")
            size += len(body)
            if size > most_bytes:
                raise self._above(most_bytes)
            more = message.get("more_body", False)
            if body:
                yield body

    def _above(self, most_bytes: int) -> SellerError:
        self.too_large += 1
        return SellerError(413, "too_large", f"The body is above {most_bytes} bytes.")

    def _cut_off(self) -> SellerError:
        self.cut_off += 1
        return SellerError(400, "cut_off", "The connection closed before the whole body had come.")
