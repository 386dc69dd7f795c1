"""A bare fan-out on aiohttp and `gather` under Starlette, served by uvicorn on uvloop, and nothing else.

    python -m loadtest.references.aiohttp_fanout CA_FILE PLAIN_PORTS TLS_PORTS

POST /N asks the first N buyers with the body that came, POST /tls/N the first N over TLS, over connections that are
kept; when all have answered, so does it. Prints `listens on http://127.0.0.1:PORT`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable

import aiohttp
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_JSON = {"content-type": "application/json"}


def fan_out(session: aiohttp.ClientSession, urls: list[str]) -> Callable[[Request], Awaitable[JSONResponse]]:
    """The endpoint that asks as many of `urls` as its path says."""

    async def ask(url: str, body: bytes) -> bool:
        async with session.post(url, data=body, headers=_JSON) as answer:
            return bool(await answer.read()) and answer.status == 200

    async def endpoint(request: Request) -> JSONResponse:
        body = await request.body()
        answered = await asyncio.gather(*(ask(url, body) for url in urls[: request.path_params["count"]]))
        return JSONResponse({"answers": sum(answered)})

    return endpoint


def urls_of(scheme: str, ports: str) -> list[str]:
    """One URL for each of the comma-separated ports."""
    return [f"{scheme}://127.0.0.1:{port}/ping" for port in ports.split(",") if port]


async def serve(ca_file: str, plain_ports: str, tls_ports: str) -> None:
    """Serve until told to stop."""
    trust = ssl.create_default_context(cafile=ca_file or None)
    connector = aiohttp.TCPConnector(limit=0, ssl=trust)
    async with aiohttp.ClientSession(connector=connector) as session:
        plain, tls = (
            fan_out(session, urls_of("http", plain_ports)),
            fan_out(session, urls_of("https", tls_ports)),
        )
        app = Starlette(
            routes=[
                Route("/{count:int}", plain, methods=["POST"]),
                Route("/tls/{count:int}", tls, methods=["POST"]),
            ]
        )
        config = uvicorn.Config(
            app, loop="none", http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
        )
        listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        print(f"listens on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
