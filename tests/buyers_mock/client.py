"""Clients that speak to a mock over real sockets, byte by byte if need be."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import yaml

from buyers_mock.script import Script, read_script
from buyers_mock.server import Listening


class Answer(msgspec.Struct):
    """One HTTP answer, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Writes a request; gives its bytes."""
        data = request(method, path, body, headers)
        self.writer.write(data)
        return data

    async def answer(self) -> Answer:
        """Reads one answer. Raises `asyncio.IncompleteReadError` where it ends too early."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])
        }
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(head[0].split(" ")[1]), headers, body)

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        self.send(method, path, body, headers)
        return await self.answer()

    async def ping(self, buyer: str, **headers: str) -> Answer:
        return await self.ask("POST", f"/{buyer}/ping", {"ping_id": "p"}, _dashed(headers))

    async def post(self, buyer: str, lead_id: str, *, lead: object = None, key: str | None = None) -> Answer:
        headers = {} if key is None else {"idempotency-key": key}
        return await self.ask("POST", f"/{buyer}/post", {"lead_id": lead_id, "lead": lead or {}}, headers)


def request(method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> bytes:
    """A request's bytes; a body that is no bytes is sent as JSON."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: mock", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def script_of(buyers: Mapping[str, object]) -> Script:
    """A script as if it had been read from a file."""
    return read_script(yaml.safe_dump({"buyers": dict(buyers)}))


class Mock:
    """A mock that plays, and connections to it."""

    def __init__(self, mock: Listening, exits: contextlib.AsyncExitStack) -> None:
        self.mock = mock
        self._exits = exits

    async def connect(self) -> Client:
        host, _, port = self.mock.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        self._exits.callback(writer.close)
        return Client(reader, writer)

    async def stats(self) -> Any:
        client = await self.connect()
        return (await client.ask("GET", "/_stats")).said


Opener = Callable[..., Awaitable[Mock]]
