"""Valkey servers that a test may stop, empty, set back and fill up."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import hiredis

from auction.counters.address import parse
from auction.counters.embedded import EmbeddedValkey, _binary
from loadtest.processes import Process
from tests.ports import held_port

# the stub of hiredis asks for a tuple of one
_pack = cast("Callable[[tuple[str | int, ...]], bytes]", hiredis.pack_command)


class OwnValkey:
    """One server with its data in `folder`; started again, it has the same URL and another run id."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._server = EmbeddedValkey(folder)
        self._data = folder / "valkey" / "appendonlydir"
        self._dump = folder / "dump"

    @property
    def url(self) -> str:
        """Where it is."""
        return self._server.url

    @property
    def pid(self) -> int:
        """Its process, which must run."""
        pid = self._server.pid
        assert pid is not None
        return pid

    def start(self) -> None:
        """Start it on the data that is there."""
        self._server.start()

    def stop(self) -> None:
        """End it, its data written."""
        self._server.stop()

    def kill(self) -> None:
        """End it as it stands."""
        os.kill(self.pid, signal.SIGKILL)
        deadline_s = time.monotonic() + 20
        while self._server.pid is not None:
            assert time.monotonic() < deadline_s
            time.sleep(0.001)

    def empty(self) -> None:
        """While it does not run: nothing is there when it starts."""
        shutil.rmtree(self._data)

    def dump(self) -> None:
        """Keep its data as it is now (a copy of the files, as a backup is)."""
        shutil.rmtree(self._dump, ignore_errors=True)
        shutil.copytree(self._data, self._dump)

    def restore(self) -> None:
        """While it does not run: the data is that of the last `dump`."""
        shutil.rmtree(self._data)
        shutil.copytree(self._dump, self._data)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It is there and does nothing, until the end of the block."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def tell(self, *command: str | int) -> Any:
        """One command, on a connection of its own."""
        return await tell(self.url, *command)


@contextmanager
def running_valkey(folder: Path, *settings: str, port: int | None = None) -> Iterator[str]:
    """A server on loopback with these settings (`--name`, `value`, …), as an operator would run his own: its URL.

    `port` is one that its caller holds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with nullcontext(port) if port else held_port() as port:
        command = [_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        with Process([*command, *settings], folder / "valkey.log") as server:
            server.wait_for_line("Ready to accept connections", 60)
            yield f"redis://127.0.0.1:{port}"


async def tell(url: str, *command: str | int) -> Any:
    """One command to the server at `url`, on a bare connection of its own. An error is returned."""
    at = parse(url)
    opening = asyncio.open_unix_connection(at.path) if at.path else asyncio.open_connection(at.host, at.port)
    read, write = await opening
    try:
        write.write(_pack(command))
        reader = hiredis.Reader()
        async with asyncio.timeout(20):
            while (reply := reader.gets()) is False:
                reader.feed(await read.read(1 << 16))
        return reply
    finally:
        write.close()
