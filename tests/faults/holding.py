"""A buyer that holds its answer until the test lets it speak, and remembers every request from when it is whole."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from tests.faults.breaking import eventually, http


class HeldBuyer:
    """`speaks` is set: it answers at once, `says` to each; one that said so under a key says the same again."""

    def __init__(self) -> None:
        self.url = ""
        self.says = "accepted"
        self.speaks = asyncio.Event()
        self.keys: list[str] = []
        self.bodies: list[bytes] = []
        self.answered = 0
        self._bound: dict[str, str] = {}

    @property
    def leads(self) -> list[str]:
        """The leads that it took."""
        return [key.partition(":")[0] for key, said in self._bound.items() if said == "accepted"]

    async def until_asked(self, times: int = 1) -> None:
        """Until it has been sent so much."""

        async def asked() -> bool:
            return len(self.bodies) >= times

        await eventually(asked, 20)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            key = re.search(rb"(?i)idempotency-key: *(\S+)", head)
            assert length is not None
            assert key is not None
            body = await reader.readexactly(int(length[1]))
            self.keys.append(key[1].decode())
            said = self._bound.setdefault(self.keys[-1], self.says)
            self.bodies.append(body)
            await self.speaks.wait()
            writer.write(http("200 OK", msgspec.json.encode({"status": said}).decode()))
            await writer.drain()
            self.answered += 1
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever asked was killed
        finally:
            writer.close()

    def order(self, name: str, price: float) -> dict[str, Any]:
        """An order of this buyer, at a fixed price and with a cap."""
        return {"id": name, "buyer": name, "price": {"fixed": price}, "caps": [{"leads": 9, "per": "total"}]}


@asynccontextmanager
async def held_buyer() -> AsyncIterator[HeldBuyer]:
    """One on a socket."""
    buyer = HeldBuyer()
    server = await asyncio.start_server(buyer.serve, "127.0.0.1", 0)
    buyer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/post"
    try:
        yield buyer
    finally:
        buyer.speaks.set()
        server.close()
