"""A primary that moves is followed: by sentinels that we make lie, fall silent and change their minds."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import hiredis
import pytest

from auction.counters import sentinel
from auction.counters.address import parse
from auction.counters.calls import pack
from auction.counters.embedded import EmbeddedValkey
from auction.counters.faults import CountersUnavailable
from auction.counters.link import Link
from auction.counters.sentinel import Place, Sentinels
from auction.counters.tls import client_context
from auction.errors import HouseError
from tests.api.wired import until
from tests.ports import held_port
from tests.valkeys import running_valkey, tell


class FakeSentinel:
    """Says that the primary is at `port`, by configuration `epoch`; or `reply`; or, while `silent`, nothing."""

    def __init__(self, port: int, epoch: int = 1) -> None:
        self.primary, self.epoch = port, epoch
        self.reply: bytes | None = None
        self.silent = False
        self.port = 0
        self.asked: list[list[bytes]] = []
        self._unanswered: list[asyncio.StreamWriter] = []

    async def serve(self, read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await read.read(1 << 16):
            parser.feed(data)
            while (command := parser.gets()) is not False:
                self.asked.append(command)
                if self.silent:
                    self._unanswered.append(write)
                else:
                    write.write(b"+OK\r\n" if command[0] == b"AUTH" else self._told())
        write.close()

    def answer(self) -> None:
        """It speaks from now on, also to what it was silent about."""
        self.silent = False
        for write in self._unanswered:
            write.write(self._told())

    def _told(self) -> bytes:
        known = (
            "name",
            "house",
            "ip",
            "127.0.0.1",
            "port",
            str(self.primary),
            "config-epoch",
            str(self.epoch),
        )
        return self.reply or pack(known)  # an array of strings is written as a command is


@asynccontextmanager
async def watching(*sentinels: FakeSentinel) -> AsyncIterator[str]:
    """Their hosts and ports, as an address lists them."""
    async with AsyncExitStack() as stack:
        for each in sentinels:
            server = await stack.enter_async_context(await asyncio.start_server(each.serve, "127.0.0.1"))
            each.port = server.sockets[0].getsockname()[1]
        yield ",".join(f"127.0.0.1:{each.port}" for each in sentinels)


@pytest.fixture(autouse=True)
def _busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers does so in time."""
    monkeypatch.setattr(sentinel, "ANSWER_S", 20.0)


class OpenGate:
    """Lets everything through."""

    async def greet(self, ask: Callable[..., Any]) -> None: ...

    async def check(self, ask: Callable[..., Any]) -> HouseError | None:
        await ask("PING")
        return None


async def test_the_newest_configuration_counts_whoever_answers_first() -> None:
    cut_off, knowing = FakeSentinel(1111, epoch=4), FakeSentinel(2222, epoch=5)
    async with watching(cut_off, knowing) as hosts:
        sentinels = Sentinels(parse(f"redis+sentinel://u:p@{hosts}/house/2"))
        found = await sentinels.primary()
        assert (str(found), found.user, found.db) == ("127.0.0.1:2222", "u", 2)
        assert cut_off.asked == knowing.asked == [[b"SENTINEL", b"MASTER", b"house"]]
        assert not await sentinels.moved_from(found)
        cut_off.epoch = 6
        assert await sentinels.moved_from(found)


async def test_sentinels_that_do_not_know_are_passed_over() -> None:
    ignorant, good = FakeSentinel(1111), FakeSentinel(2222)
    ignorant.reply = b"-ERR No such master with that name\r\n"
    with held_port() as refusing:
        async with watching(ignorant, good) as hosts:
            sentinels = Sentinels(parse(f"redis+sentinel://127.0.0.1:{refusing},{hosts}/house"))
            found = await sentinels.primary()
            assert found.port == 2222
            good.reply = b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"
            with pytest.raises(CountersUnavailable, match="No such master"):
                await sentinels.primary()
            assert not await sentinels.moved_from(found), (
                "that nobody knows where it is, is no reason to leave it"
            )


@pytest.mark.parametrize(
    ("host", "port"),
    [("a" * 64, "6379"), ("here..there", "6379"), ("", "6379"), ("127.0.0.1", "0"), ("127.0.0.1", "65536")],
)
async def test_a_place_that_there_cannot_be_is_no_answer(host: str, port: str) -> None:
    lying, good = FakeSentinel(0), FakeSentinel(2222)
    lying.reply = pack(("ip", host, "port", port, "config-epoch", "9"))
    async with watching(lying, good) as hosts:
        assert (await Sentinels(parse(f"redis+sentinel://{hosts}/house")).primary()).port == 2222


async def test_no_more_is_read_of_a_sentinel_than_it_has_to_say() -> None:
    endless = FakeSentinel(0)
    endless.reply = b"*1\r\n$4000000\r\n" + bytes(2_000_000)
    async with watching(endless) as hosts:
        with pytest.raises(CountersUnavailable, match="says too much"):
            await Sentinels(parse(f"redis+sentinel://{hosts}/house")).primary()


async def test_a_sentinel_with_a_password() -> None:
    told = FakeSentinel(2222)
    async with watching(told) as hosts:
        await Sentinels(
            parse(f"redis+sentinel://{hosts}/house?sentinel_user=us&sentinel_password=secret")
        ).primary()
    assert told.asked[0] == [b"AUTH", b"us", b"secret"]


async def found_silent(sentinels: Sentinels, one: FakeSentinel, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Asks until this one alone is known to be silent; it is not being asked any more."""
    place = ("127.0.0.1", one.port)
    monkeypatch.setattr(sentinel, "ANSWER_S", 0.1)

    async def noticed() -> bool:
        with suppress(CountersUnavailable):
            await sentinels.primary()
        return sentinels.silent == {place} and sentinels._asks[place].done()

    await until(noticed)
    monkeypatch.setattr(sentinel, "ANSWER_S", 3_600.0)  # longer than a test may take
    return place


async def test_a_silent_sentinel_is_not_waited_for_again_until_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent, good = FakeSentinel(1111, epoch=9), FakeSentinel(2222)
    silent.silent = True
    async with watching(silent, good) as hosts:
        sentinels = Sentinels(parse(f"redis+sentinel://{hosts}/house"))
        place = await found_silent(sentinels, silent, monkeypatch)
        assert (await sentinels.primary()).port == 2222
        under_way = sentinels._asks[place]
        assert (await sentinels.primary()).port == 2222
        assert sentinels._asks[place] is under_way, "while it is being asked it is not asked again"
        silent.answer()
        await until(lambda: not sentinels.silent)
        assert (await sentinels.primary()).port == 1111
        await sentinels.close()


async def test_where_no_other_knows_the_silent_one_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    late, going = FakeSentinel(1111), FakeSentinel(2222)
    late.silent = True
    async with watching(late, going) as hosts:
        sentinels = Sentinels(parse(f"redis+sentinel://{hosts}/house"))
        await found_silent(sentinels, late, monkeypatch)
        going.reply, late.silent = b"-ERR No such master with that name\r\n", False
        assert (await sentinels.primary()).port == 1111
        assert not sentinels.silent


async def test_a_link_goes_where_the_primary_goes(
    tmp_path: Path, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auction.counters.link._LOOK_S", 0.02)
    with running_valkey(tmp_path / "one") as one, running_valkey(tmp_path / "two") as two:
        ports = [int(url.rpartition(":")[2]) for url in (one, two)]
        told = FakeSentinel(ports[0])
        async with watching(told) as hosts:
            link = Link(f"redis+sentinel://{hosts}/house", bound_ms=5_000)
            link.guard(OpenGate())
            await link.open()
            try:
                await link.call("SET", "where", "one")
                told.primary, told.epoch = ports[1], 2
                await until(lambda: link.up and link.connects == 2)
                assert await link.call("GET", "where") is None
                assert await tell(one, "GET", "where") == b"one"
                monkeypatch.setattr(sentinel, "ANSWER_S", 0.2)
                looks = len(told.asked)
                await until(lambda: len(told.asked) >= looks + 2)
                told.silent = True  # the primary is still there: nothing is lost with those who watch it
                await until(lambda: link.silent_sentinels == 1)
                await link.call("SET", "where", "two")
                assert link.connects == 2
            finally:
                await link.close()


class Surprised(OpenGate):
    """Breaks over the first server that it sees."""

    def __init__(self) -> None:
        self.seen = 0

    async def greet(self, ask: Callable[..., Any]) -> None:
        self.seen += 1
        if self.seen == 1:
            raise TypeError("no server says such things")


async def test_what_no_server_says_does_not_end_the_link(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auction.counters.link._LONGEST_PAUSE_S", 0.02)
    link = Link(valkey.url, bound_ms=5_000)
    link.guard(Surprised())
    await link.open()
    try:
        assert await link.call("PING") == b"PONG"
    finally:
        await link.close()


async def test_trust_is_read_once_however_often_sentinels_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the loop longer than a call to the counters may take."""
    made: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    client_context.cache_clear()
    told = FakeSentinel(2222)
    async with watching(told) as hosts:
        sentinels = Sentinels(parse(f"rediss+sentinel://{hosts},{hosts}/house"))
        for _ in range(3):
            with pytest.raises(CountersUnavailable):  # it speaks no TLS
                await sentinels.primary()
    assert len(made) == 1


async def test_no_primary_is_told_with_every_sentinels_reason() -> None:
    with held_port() as refusing:
        link = Link(f"redis+sentinel://127.0.0.1:{refusing}/house")
        try:
            with pytest.raises(CountersUnavailable) as caught:
                await link.open(within_ms=500)
            assert "no sentinel knows where the primary house is" in str(caught.value)
            assert "refused" in str(caught.value) or "Connect call failed" in str(caught.value)
        finally:
            await link.close()
