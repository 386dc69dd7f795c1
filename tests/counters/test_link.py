"""The link against a server that we make freeze, close and answer late; then against the real one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import hiredis
import pytest
import uvloop

from auction.counters import scripts
from auction.counters.embedded import EmbeddedValkey
from auction.counters.faults import CallError, CountersUnavailable
from auction.counters.link import Link
from auction.errors import OperatorError

OpenLink = Callable[..., Awaitable[Link]]


class FakeServer:
    """Speaks RESP on loopback: `ECHO x` answers x, everything else `+OK`; silent while `frozen`."""

    def __init__(self) -> None:
        self.frozen = False
        self.error: bytes | None = None
        self.junk = b""  # after every answer
        self.connections = 0
        self.reads = 0
        self.commands: list[list[bytes]] = []
        self._owed: list[bytes] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        parser = hiredis.Reader()
        try:
            while data := await reader.read(1 << 16):
                self.reads += 1
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    self.commands.append(command)
                    self._owed.append(self._answer(command))
                self.thaw_if_not_frozen()
        except ConnectionError:
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def _answer(self, command: list[bytes]) -> bytes:
        if command[0] == b"ECHO":
            return self.error or b"$%d\r\n%s\r\n" % (len(command[1]), command[1])
        return b"+OK\r\n"

    def thaw_if_not_frozen(self) -> None:
        if not self.frozen:
            self.say(b"".join(self._owed) + self.junk)
            self._owed.clear()

    def thaw(self) -> None:
        self.frozen = False
        self.thaw_if_not_frozen()

    def say(self, data: bytes) -> None:
        self._writers[-1].write(data)

    def close(self) -> None:
        self._owed.clear()
        for writer in self._writers:
            writer.close()
        self._writers.clear()


@asynccontextmanager
async def faked() -> AsyncIterator[tuple[FakeServer, str]]:
    fake = FakeServer()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    try:
        yield fake, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        fake.close()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def linked(url: str, **settings: int) -> AsyncIterator[Link]:
    link = Link(url, (), **settings)
    await link.open(within_ms=20_000)
    try:
        yield link
    finally:
        await link.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (the conditions are states of others, not events of ours)
            await asyncio.sleep(0.002)


async def test_calls_of_one_turn_leave_as_one_write_and_replies_keep_their_order() -> None:
    async with faked() as (fake, url), linked(url, bound_ms=20_000) as link:
        before = fake.reads
        answers = [link.call("ECHO", at) for at in range(300)]
        assert await asyncio.gather(*answers) == [b"%d" % at for at in range(300)]
        assert fake.reads - before == 1


async def test_a_connection_that_ends_with_its_handshake_is_not_taken_for_ready() -> None:
    """Else calls would wait for it that were never sent, and the next connection's replies would go to them."""
    async with faked() as (fake, url):
        fake.junk = b"x"
        link = Link(url, (), bound_ms=500)
        with pytest.raises(CountersUnavailable, match="RESP"):
            await link.open(within_ms=1_000)
        for _ in range(50):
            assert not link.up
            refused = link.call("ECHO", "never sent")
            with pytest.raises(CountersUnavailable):
                await refused
            await asyncio.sleep(0.002)
        fake.junk = b""
        await until(lambda: link.up)
        assert [await link.call("ECHO", at) for at in range(20)] == [b"%d" % at for at in range(20)]
        await link.close()


async def test_late_calls_fail_at_the_bound_and_their_replies_are_dropped_in_order() -> None:
    async with faked() as (fake, url), linked(url, bound_ms=300, stall_ms=20_000) as link:
        fake.frozen = True
        started_s = asyncio.get_running_loop().time()
        late = [link.call("ECHO", f"late{at}") for at in range(3)]
        for call in late:
            with pytest.raises(CountersUnavailable, match="in time"):
                await call
        assert asyncio.get_running_loop().time() - started_s >= 0.29
        assert link.late == 3
        assert not link.up

        for _ in range(2):  # while stalled: at once, and nothing is sent
            refused = link.call("ECHO", "never")
            assert refused.done()
            with pytest.raises(CountersUnavailable):
                await refused
        assert link.refused_stalled == 2

        fake.thaw()
        await until(lambda: link.up)
        assert await link.call("ECHO", "next") == b"next"
        assert [b"ECHO", b"never"] not in fake.commands
        assert link.connects == 1


async def test_each_call_has_its_own_bound() -> None:
    async with faked() as (fake, url), linked(url, bound_ms=300, stall_ms=20_000) as link:
        fake.frozen = True
        loop, failed_s = asyncio.get_running_loop(), list[float]()
        sent_s = []
        for name in ("first", "second"):
            sent_s.append(loop.time())
            link.call("ECHO", name).add_done_callback(lambda _: failed_s.append(loop.time()))
            await asyncio.sleep(0.15)
        await until(lambda: len(failed_s) == 2)
        for sent, failed in zip(sent_s, failed_s, strict=True):
            assert failed - sent >= 0.29
        assert link.late == 2


async def test_our_own_late_loop_is_not_the_servers_fault() -> None:
    """The reply lies in the socket when the timer is due: it is read before anybody is failed."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked, still, answered = threading.Event(), threading.Event(), threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(b"+PONG\r\n")
            connection.recv(1024)
            asked.set()
            still.wait(20)
            connection.sendall(b"$2\r\nok\r\n")
            answered.set()
            connection.recv(1024)

    def stand_still() -> None:
        loop.remove_reader(wakes)
        still.set()
        assert answered.wait(20)
        time.sleep(1.1)  # past the bound; uvloop then runs its timers before it looks at any socket

    loop = asyncio.get_running_loop()
    thread = threading.Thread(target=serve)
    thread.start()
    wakes, wake = socket.socketpair()
    with listener, wakes, wake:
        loop.add_reader(wakes, stand_still)
        async with linked(f"redis://127.0.0.1:{listener.getsockname()[1]}", bound_ms=1_000) as link:
            call = link.call("ECHO", "ok")
            assert await asyncio.to_thread(asked.wait, 20)
            wake.send(b"!")
            assert await call == b"ok"
            assert link.late == 0
    await asyncio.to_thread(thread.join)


async def test_a_cancelled_caller_leaves_its_place_behind() -> None:
    async with faked() as (fake, url), linked(url, bound_ms=20_000) as link:
        fake.frozen = True
        calls = [link.call("ECHO", at) for at in range(5)]
        calls[0].cancel()
        calls[3].cancel()
        await until(lambda: len(fake.commands) >= 6)
        fake.thaw()
        assert [await calls[at] for at in (1, 2, 4)] == [b"1", b"2", b"4"]
        assert await link.call("ECHO", "x") == b"x"


async def test_a_stall_ends_in_a_new_connection() -> None:
    async with faked() as (fake, url), linked(url, bound_ms=300, stall_ms=100) as link:
        fake.frozen = True
        with pytest.raises(CountersUnavailable):
            await link.call("ECHO", "late")
        await until(lambda: not link._ready)
        fake.close()
        fake.frozen = False
        await until(lambda: link.up)
        assert link.connects == 2
        assert await link.call("ECHO", "x") == b"x"


async def test_a_lost_connection_fails_what_is_pending_and_comes_back() -> None:
    async with faked() as (fake, url), linked(url, bound_ms=20_000) as link:
        fake.frozen = True
        pending = link.call("ECHO", "pending")
        await until(lambda: [b"ECHO", b"pending"] in fake.commands)
        fake.close()
        with pytest.raises(CountersUnavailable, match="lost"):
            await pending
        away = link.call("ECHO", "away")
        assert away.done()
        assert link.refused_away == 1
        fake.frozen = False
        await until(lambda: link.up)
        assert await link.call("ECHO", "x") == b"x"
        assert fake.connections == link.connects == 2


async def test_calls_of_the_turn_in_which_the_connection_is_lost_are_not_sent_on_the_next() -> None:
    async with faked() as (fake, url), linked(url, bound_ms=20_000) as link:
        call = link.call("ECHO", "x")
        link._drop(CountersUnavailable("gone"))
        with pytest.raises(CountersUnavailable):
            await call
        await until(lambda: link.up)
        assert await link.call("ECHO", "y") == b"y"
        assert [b"ECHO", b"x"] not in fake.commands


async def test_who_is_cancelled_while_he_closes_his_link_is_cancelled() -> None:
    """Else whoever stops him waits for ever: he goes on as if nobody had."""
    async with faked() as (fake, url), linked(url) as link:

        async def close_and_go_on() -> str:
            await link.close()
            return "goes on"

        closing = asyncio.create_task(close_and_go_on())
        await asyncio.sleep(0)  # it waits for the keeper's end
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(CountersUnavailable):
            await link.call("ECHO", "a")
        assert fake.connections == 1, "what it held is given up all the same"


async def test_the_queue_is_bounded() -> None:
    async with faked() as (fake, url), linked(url, bound_ms=20_000, max_pending=3) as link:
        fake.frozen = True
        calls = [link.call("ECHO", at) for at in range(5)]
        assert [call.done() for call in calls] == [False, False, False, True, True]
        assert link.refused_full == 2
        await until(lambda: len(fake.commands) >= 4)
        fake.thaw()
        assert await asyncio.gather(*calls[:3]) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("garbage", [b"+nobody asked\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_what_is_no_answer_ends_the_connection(garbage: bytes) -> None:
    async with faked() as (fake, url), linked(url, bound_ms=20_000) as link:
        fake.say(garbage)
        await until(lambda: link.connects == 2)
        assert await link.call("ECHO", "x") == b"x"


@pytest.mark.parametrize(
    "error",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Errors writing to the AOF file",
        "LOADING server is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "MOVED 3999 127.0.0.1:6381",
    ],
)
async def test_a_server_that_cannot_serve_is_unavailable(error: str) -> None:
    async with faked() as (fake, url), linked(url, bound_ms=20_000) as link:
        fake.error = f"-{error}\r\n".encode()
        with pytest.raises(CountersUnavailable, match=error.split()[0]) as caught:
            await link.call("ECHO", "x")
        assert (caught.value.status, caught.value.code) == (503, "counters_unavailable")
        fake.error = None
        await until(lambda: link.up)
        assert await link.call("ECHO", "y") == b"y"
        assert link.connects == (2 if error.startswith("READONLY") else 1)


async def test_nobody_there() -> None:
    async with faked() as (_, url):
        pass
    link = Link(url)
    with pytest.raises(CountersUnavailable):
        await link.open(within_ms=50)
    assert link.call("PING").done()
    await link.close()


async def test_the_real_server_lets_in_who_knows_the_password(
    valkey: EmbeddedValkey, open_link: OpenLink
) -> None:
    link = await open_link()
    await link.call("ACL", "SETUSER", "house", "on", ">se cret", "~*", "+@all")
    try:
        path = valkey.url.removeprefix("unix://")
        async with linked(f"unix://house:se%20cret@{path}?db=3", bound_ms=5_000) as known:
            assert await known.call("ACL", "WHOAMI") == b"house"
            assert b"db=3" in await known.call("CLIENT", "INFO")
        for wrong in (f"unix://house:wrong@{path}", f"unix://{path}?db=999"):
            stranger = Link(wrong)
            with pytest.raises(OperatorError) as caught:
                await stranger.open()
            assert "wrong@" not in caught.value.detail
            await stranger.close()
    finally:
        await link.call("ACL", "DELUSER", "house")


async def test_a_mistake_of_ours_is_an_error_of_its_own(link: Link) -> None:
    with pytest.raises(CallError, match="wrong number of arguments"):
        await link.call("GET")
    await link.call("SET", "{buyer:b}:counts", "text")
    hold = link.run(scripts.HOLD, int, 4, *["{buyer:b}:counts"] * 4, 0, "p/o", 1)
    with pytest.raises(CallError, match="WRONGTYPE"):
        await hold
    assert await link.call("GET", "{buyer:b}:counts") == b"text"


async def test_a_result_that_cannot_be_read_fails_only_its_call(link: Link) -> None:
    finish = link.run(scripts.FINISH, dict, 1, "{ping:p}", "c", "a", 1)
    with pytest.raises(TypeError):
        await finish
    assert await link.call("PING") == b"PONG"


async def test_forgotten_scripts_are_loaded_once_and_the_calls_done(link: Link) -> None:
    await link.call("SCRIPT", "FLUSH")
    turns = [link.run(scripts.TURN, list, 1, "{campaign:c}:turns", "a", "b") for _ in range(5)]
    after = link.call("PING")
    assert await asyncio.gather(*turns) == [[1, 2], [2, 1], [1, 2], [2, 1], [1, 2]]
    assert await after == b"PONG"
    assert link.reloads == 1


async def test_a_script_that_cannot_be_loaded_does_not_go_round_for_ever(link: Link) -> None:
    unloadable = scripts.Script("unloadable", b"this is not Lua", b"0" * 40)
    with pytest.raises(CountersUnavailable, match="NOSCRIPT"):
        await link.run(unloadable, list, 0)
    assert await link.call("PING") == b"PONG"


async def test_the_real_server_frozen(valkey: EmbeddedValkey) -> None:
    async with linked(valkey.url, bound_ms=500, stall_ms=20_000) as link:
        assert valkey.pid is not None
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            with pytest.raises(CountersUnavailable):
                await link.call("ECHO", "late")
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        await until(lambda: link.up)
        assert await link.call("ECHO", "x") == b"x"
        assert link.connects == 1


async def test_the_real_server_killed_and_started_again(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    server.start()
    link = Link(server.url, scripts.ALL, bound_ms=5_000)
    try:
        await link.open()
        assert await link.call("SET", "a", "1") == b"OK"
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: not link.up)
        assert link.call("GET", "a").done()
        # its sockets close before it has ended; until then none is started
        await until(lambda: server.pid is None)
        await asyncio.to_thread(server.start)
        await until(lambda: link.up)
        assert await link.call("GET", "a") == b"1"
        assert await link.run(scripts.TURN, list, 1, "{campaign:c}:turns", "a", "b") == [1, 2]
        assert link.reloads == 0  # every connection loads them
    finally:
        await link.close()
        server.stop()


def test_the_same_on_uvloop() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_calls_of_one_turn_leave_as_one_write_and_replies_keep_their_order())
        runner.run(test_late_calls_fail_at_the_bound_and_their_replies_are_dropped_in_order())
        runner.run(test_our_own_late_loop_is_not_the_servers_fault())
        runner.run(test_a_stall_ends_in_a_new_connection())
        runner.run(test_a_lost_connection_fails_what_is_pending_and_comes_back())
