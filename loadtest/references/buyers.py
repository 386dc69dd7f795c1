"""The buyers of `buyers.c`, for a machine without a C compiler: the same words, the same ports, the same answers.

python -m loadtest.references.buyers PLAIN SILENT TLS [CERT KEY]
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
from typing import cast

import uvloop

PLAIN, SILENT, TLS = "plain", "silent", "tls"


class Buyer(asyncio.Protocol):
    """One connection: requests with a Content-Length in, an answer at once."""

    requests = 0

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            length = self._data[:end].lower().partition(b"content-length:")[2].partition(b"\r")[0]
            whole = end + 4 + int(length or 0)
            if len(self._data) < whole:
                return
            if not self._silent:
                self._transport.write(self._answer(self._data))
            self._data = self._data[whole:]

    @staticmethod
    def _answer(request: bytes) -> bytes:
        if request.startswith(b"GET /count"):
            body = b'{"requests":%d}' % Buyer.requests
        else:
            Buyer.requests += 1
            number = Buyer.requests
            if request.startswith(b"POST /post"):
                body = b'{"status":"accepted","buyer_lead_id":"b-%d"}' % number
            else:
                cents = random.randrange(2000, 4000)
                body = b'{"bid":%d.%02d,"bid_id":"b-%d","expires_in":60}' % (*divmod(cents, 100), number)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % len(body) + body


async def serve(plain: int, silent: int, tls: int, *pem: str) -> None:
    """Answer until told to stop."""
    context = None
    if pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pem)
    loop = asyncio.get_running_loop()
    ports: dict[str, list[int]] = {}
    servers = []
    for kind, count in ((PLAIN, plain), (SILENT, silent), (TLS, tls)):
        ports[kind] = []
        for _ in range(count):
            server = await loop.create_server(
                lambda silent=kind == SILENT: Buyer(silent=silent),
                "127.0.0.1",
                0,
                ssl=context if kind == TLS else None,
                backlog=4096,
            )
            servers.append(server)
            ports[kind].append(server.sockets[0].getsockname()[1])
    print(json.dumps(ports, separators=(",", ":")), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    plain, silent, tls = map(int, sys.argv[1:4])
    uvloop.run(serve(plain, silent, tls, *sys.argv[4:]))
