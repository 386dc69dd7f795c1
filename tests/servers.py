"""`auction serve` and its mock buyers as real processes, for tests that see them only from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml
from msgspec import Struct

from loadtest.processes import Process
from tests.house import KEY
from tests.stores import copy_migrated

ROOT = Path(__file__).parent.parent
TextOf = Callable[[str], str]
"""Makes a catalogue file, given where the mock buyers are."""


class Served(Struct, frozen=True):
    """A running `auction serve`. `text_of` made its catalogue."""

    url: str
    mock_url: str
    data_dir: Path
    process: Process
    database_url: str | None
    text_of: TextOf

    def arguments(self, *command: str) -> list[str]:
        """The command line of `auction` on this server's stores."""
        stores = ["--data-dir", str(self.data_dir)]
        if self.database_url is not None:
            stores += ["--database-url", self.database_url]
        return [sys.executable, "-m", "auction", *command, *stores]


@contextmanager
def running_buyers(folder: Path, manners: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Mock buyers of these manners, and where they are. They remember everything they were sent."""
    script = folder / "buyers.yaml"
    script.write_text(yaml.safe_dump({"buyers": {name: dict(manner) for name, manner in manners.items()}}))
    command = [sys.executable, "-m", "buyers_mock", str(script), "--port", "0", "--log-entries", "100000"]
    with Process(command, folder / "buyers.log", cwd=ROOT) as playing:
        yield playing.wait_for_line(r"listens on (http://\S+)")[1]


@contextmanager
def running_server(
    folder: Path,
    mock_url: str,
    text_of: TextOf,
    *,
    workers: int = 1,
    database_url: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """`auction serve` in `folder`, from when it is ready until the end of the block. What is there is found again.

    A new house finds empty tables (a start on nothing at all: `tests/cli/test_serve.py`, and the demo).

    Then it is told to stop, if it runs still, and must end well.
    """
    config, data_dir = folder / "catalogue.yaml", folder / "data"
    config.write_text(text_of(mock_url))
    command = [sys.executable, "-m", "auction", "serve", "--config", str(config), "--port", "0"]
    command += ["--workers", str(workers), "--data-dir", str(data_dir)]
    if database_url is not None:
        command += ["--database-url", database_url]
    elif not data_dir.exists():
        data_dir.mkdir(mode=0o700)
        copy_migrated(data_dir / "ledger.sqlite3")
    calm = {"AUCTION_ALLOW_PRIVATE_BUYERS": "1", "AUCTION_COUNTERS_TIMEOUT_MS": "5000", **(environ or {})}
    log = folder / "serve.log"
    with Process(command, log, cwd=ROOT, environ=calm, end_within_s=20) as process:
        url = process.wait_for_line(r"listens on (http://\S+)", 60)[1]
        process.wait_for_url(f"{url}/readyz")
        yield Served(url, mock_url, data_dir, process, database_url, text_of)
        assert process.end() in (0, -signal.SIGKILL), process.printed()


class Client:
    """A seller, and an eye on the mock. Every request has a connection of its own: so both of two workers serve."""

    def __init__(self, served: Served, session: aiohttp.ClientSession) -> None:
        self._served = served
        self._session = session

    async def post(self, path: str, body: object, **more: str) -> tuple[int, dict[str, Any]]:
        """One POST as JSON, with `more` headers: status and answer.

        Where the house says that more comes than it can serve, it is sent again, as a seller does: what is that much
        is the machine's to say, and no test of processes is about it.
        """
        data = msgspec.json.encode(body)
        headers = {"content-type": "application/json", "x-api-key": KEY, **more}
        give_up_s = time.monotonic() + 60
        while True:
            async with self._session.post(self._served.url + path, data=data, headers=headers) as response:
                status, answer = response.status, await response.json(content_type=None)
            if (status, answer.get("code")) != (503, "overloaded") or time.monotonic() > give_up_s:
                return status, answer
            await asyncio.sleep(0.1)

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """One GET: status and answer."""
        async with self._session.get(self._served.url + path, headers={"x-api-key": KEY}) as response:
            return response.status, await response.json(content_type=None)

    async def seen(self, buyer: str, kind: str) -> list[dict[str, Any]]:
        """What this mock buyer was sent, first to last."""
        async with self._session.get(
            f"{self._served.mock_url}/_log", params={"buyer": buyer, "kind": kind}
        ) as response:
            shown = await response.json()
            assert shown["dropped"] == 0
            return list(shown["entries"])

    async def until_seen(self, buyer: str, kind: str, times: int) -> None:
        """Waits until this mock buyer was sent so much."""
        give_up_s = time.monotonic() + 60
        while len(await self.seen(buyer, kind)) < times:
            assert time.monotonic() < give_up_s
            await asyncio.sleep(0.01)

    async def change_manner(self, buyer: str, manner: Mapping[str, Any]) -> None:
        """How this mock buyer behaves from now on."""
        async with self._session.put(f"{self._served.mock_url}/_manners/{buyer}", json=manner) as response:
            assert response.status == 200, await response.text()

    async def run(self, *command: str, environ: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """`auction COMMAND` on this server's stores, beside everything else: exit code, output, errors."""
        process = await asyncio.create_subprocess_exec(
            *self._served.arguments(*command),
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode(), errors.decode()


@asynccontextmanager
async def client_of(served: Served) -> AsyncIterator[Client]:
    """A seller of this server."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Client(served, session)
