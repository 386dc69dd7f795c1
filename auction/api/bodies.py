"""Bodies come in: whole, and not above a size. (Within which time is the front's to say.)"""

from __future__ import annotations

from starlette.types import Receive

from auction.errors import SellerError

_MOST_DIGITS = 15
"""What is read of a declared length: more is too much in any case."""


class Bodies:
    """Reads bodies, each at most `most_bytes` long. Counts what it turned away: `too_large`, `cut_off`."""

    def __init__(self, most_bytes: int) -> None:
        self.too_large = self.cut_off = 0
        self._most_bytes = most_bytes

    async def read(self, declared: bytes | None, receive: Receive) -> bytes:
        """The whole body; `declared` is its `Content-Length`.

        Raises `SellerError`: 413 as soon as the size is known, 400 when the sender is gone.
        """
        if declared is not None and declared.isdigit() and int(declared[:_MOST_DIGITS]) > self._most_bytes:
            raise self._above()
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
