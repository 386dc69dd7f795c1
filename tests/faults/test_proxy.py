"""The proxy spoils what it is told to, that and nothing else, and stops when it is told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.api.wired import until
from tests.faults.proxy import (
    CloseAtOnce,
    Cut,
    Delay,
    Drip,
    Fault,
    Garbage,
    HalfClose,
    NeverAnswer,
    Oversize,
    Partition,
    Proxy,
    Refuse,
    Reset,
    proxied,
)
from tests.ports import held_port

SOON_S = 0.15


class Line:
    """A connection to the proxy, whose target says everything back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self, size: int, within_s: float = 20.0) -> bytes:
        async with asyncio.timeout(within_s):
            return await self.reader.readexactly(size)

    async def silent(self) -> bool:
        """Nothing is heard, and it is not over either."""
        try:
            await self.hear(1, SOON_S)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def echo(folder: Path | None = None) -> AsyncIterator[int | Path]:
    """A target that says everything back; on a unix socket in this folder, if one is given."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()

    if folder is not None:
        server = await asyncio.start_unix_server(serve, folder / "echo.sock")
        target: int | Path = folder / "echo.sock"
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        target = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        server.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with echo() as target, proxied(target) as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


async def echoes(line: Line, data: bytes = b"hello") -> bool:
    await line.say(data)
    return await line.hear(len(data)) == data


async def test_without_a_fault_it_is_not_there(proxy: Proxy) -> None:
    async with connected(proxy) as line:
        assert await echoes(line, b"x" * 300_000)
        line.writer.write_eof()
        assert await line.reader.read() == b""
    assert proxy.passed_bytes == {"up": 300_000, "down": 300_000}
    assert proxy.counts == {"connections": 1}


async def test_a_unix_socket_behind_a_port(tmp_path: Path) -> None:
    async with echo(tmp_path) as target, proxied(target) as proxy, connected(proxy) as line:
        assert await echoes(line)


async def test_delay_is_of_one_way_and_ends_when_it_is_healed(proxy: Proxy) -> None:
    async with connected(proxy) as line:
        assert await echoes(line)
        await proxy.put(Delay(100, jitter_ms=50), "down")
        began_s = time.monotonic()
        assert await echoes(line)
        assert time.monotonic() - began_s >= 0.1
        assert proxy.counts["Delay"] == 1, "on the other way nothing is late"
        await proxy.put(Delay(60_000))
        await line.say(b"held")
        assert await line.silent()
        await proxy.heal()
        assert await line.hear(4) == b"held"


async def test_drip(proxy: Proxy) -> None:
    async with connected(proxy) as line:
        await proxy.put(Drip(size=2, every_ms=20), "up")
        began_s = time.monotonic()
        assert await echoes(line, b"0123456789")
        assert time.monotonic() - began_s >= 0.08
        assert proxy.counts["Drip"] == 5
        await proxy.put(Drip(every_ms=60_000))
        await line.say(b"ab")
        await asyncio.sleep(0.05)
        await proxy.heal()
        assert await line.hear(2) == b"ab"


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_partition_of_one_way_holds_back_and_loses_nothing(proxy: Proxy, way: str) -> None:
    async with connected(proxy) as line:
        assert await echoes(line)
        await proxy.put(Partition(), "up" if way == "up" else "down")
        passed = dict(proxy.passed_bytes)
        await line.say(b"held")
        heard = 0 if way == "up" else 4
        await until(lambda: proxy.passed_bytes["up"] - passed["up"] == heard)
        assert await line.silent()
        assert proxy.passed_bytes["up"] - passed["up"] == heard
        await proxy.heal()
        assert await line.hear(4) == b"held"


async def test_a_connection_opened_in_a_partition_is_silent_until_it_is_healed(proxy: Proxy) -> None:
    await proxy.put(Partition())
    async with connected(proxy) as line:
        await line.say(b"hello")
        assert await line.silent()
        await proxy.heal()
        assert await line.hear(5) == b"hello"


async def test_a_reset_is_a_reset_and_the_next_connection_gets_it_too(proxy: Proxy) -> None:
    await proxy.put(Reset(), "down")
    for _ in range(2):
        async with connected(proxy) as line:
            await line.say(b"hello")
            with pytest.raises(ConnectionResetError):
                await line.hear(1)
    assert proxy.counts["Reset"] == 2
    await proxy.heal()
    async with connected(proxy) as line:
        assert await echoes(line)


async def test_all_connections_are_reset_at_once(proxy: Proxy) -> None:
    async with connected(proxy) as one, connected(proxy) as other:
        assert await echoes(one)
        assert await echoes(other)
        proxy.reset_all()
        for line in (one, other):
            with pytest.raises(ConnectionResetError):
                await line.hear(1)


async def test_half_closed_the_other_way_goes_on(proxy: Proxy) -> None:
    async with connected(proxy) as line:
        assert await echoes(line)
        await proxy.put(HalfClose(), "down")
        await line.say(b"last")
        assert await line.hear(4) == b"last"
        assert await line.reader.read() == b""
        before = proxy.passed_bytes["up"]
        await line.say(b"still heard")
        await until(lambda: proxy.passed_bytes["up"] > before)


async def test_every_connection_half_closed_now(proxy: Proxy) -> None:
    async with connected(proxy) as line:
        assert await echoes(line)
        proxy.half_close_all("down")
        async with asyncio.timeout(5):
            assert await line.reader.read() == b""


@pytest.mark.parametrize("after", [0, 3])
async def test_a_cut_comes_after_so_many_bytes_of_each_connection(proxy: Proxy, after: int) -> None:
    await proxy.put(Cut(after), "up")
    passed = 0
    for _ in range(2):
        async with connected(proxy) as line:
            await line.say(b"hello")
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await line.hear(5)
        passed += after
    assert proxy.counts["Cut"] == 2


async def test_bytes_before_the_cut_pass(proxy: Proxy) -> None:
    async with connected(proxy) as line:
        assert await echoes(line)
        await proxy.put(Cut(8), "down")
        assert await echoes(line, b"12345")
        await line.say(b"67890")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await line.hear(5)


async def test_garbage_by_the_seed_in_place_of_so_many_bytes() -> None:
    heard = []
    for _ in range(2):
        async with echo() as target, proxied(target, seed=11) as proxy, connected(proxy) as line:
            await proxy.put(Garbage(6), "down")
            await line.say(b"0123456789")
            heard.append(await line.hear(10))
            assert await echoes(line, b"well again")
    assert heard[0] == heard[1]
    assert heard[0][:6] != b"012345"
    assert heard[0][6:] == b"6789"


async def test_oversize(proxy: Proxy) -> None:
    async with connected(proxy) as line:
        await proxy.put(Oversize(1_000_000), "down")
        await line.say(b"hello")
        assert await line.hear(1_000_005) == b"hello" + b"x" * 1_000_000
        assert await echoes(line)


@pytest.mark.parametrize("fault", [CloseAtOnce(), NeverAnswer(), Refuse()])
async def test_how_a_connection_begins(proxy: Proxy, fault: Fault) -> None:
    async with connected(proxy) as before:
        assert await echoes(before)
        await proxy.put(fault)
        if isinstance(fault, Refuse):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)
        else:
            async with connected(proxy) as line:
                if isinstance(fault, CloseAtOnce):
                    assert await line.reader.read() == b""
                else:
                    await line.say(b"hello")
                    assert await line.silent()
        assert await echoes(before), "those that were there go on"
    await proxy.heal()
    async with connected(proxy) as line:
        assert await echoes(line)


async def test_connections_are_bounded_and_those_beyond_are_counted() -> None:
    async with echo() as target, proxied(target, most_connections=1) as proxy, connected(proxy) as line:
        assert await echoes(line)
        async with connected(proxy) as beyond:
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await beyond.hear(1)
        assert proxy.counts["turned_away"] == 1
        assert await echoes(line)
    assert proxy.connections == 0


async def test_a_target_that_is_away_resets() -> None:
    with held_port() as target:
        async with proxied(target) as proxy, connected(proxy) as line:
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await line.hear(1)
            assert proxy.counts["target_away"] == 1
