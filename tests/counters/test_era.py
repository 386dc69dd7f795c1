"""For which run of a server the counters are good: what it says of itself, and what the gate makes of it."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from auction.counters.address import parse
from auction.counters.era import Era, Gate, Server, server_of, unfit, where
from auction.counters.faults import CallError, CountersRebuilding, CountersUnavailable
from auction.errors import HouseError, OperatorError

INFO = (
    b"# Server\r\nrun_id:r1\r\n# Memory\r\nmaxmemory:%d\r\nmaxmemory_policy:%s\r\n"
    b"# Replication\r\nrole:%s\r\nmaster_replid:m1\r\n"
)


def info(memory: int = 0, policy: bytes = b"noeviction", role: bytes = b"master") -> bytes:
    return INFO % (memory, policy, role)


@pytest.mark.parametrize(
    ("told", "server"),
    [
        (info(), Server("r1:m1", False, None)),
        (info(role=b"slave"), Server("r1:m1", True, None)),
        (info(memory=1, policy=b"allkeys-lfu"), Server("r1:m1", False, "allkeys-lfu")),
        (info(memory=0, policy=b"allkeys-lfu"), Server("r1:m1", False, None)),
        (info(memory=1), Server("r1:m1", False, None)),
        (b"", Server(":", False, None)),
    ],
)
def test_what_a_server_says_of_itself(told: bytes, server: Server) -> None:
    assert server_of(told) == server


@pytest.mark.parametrize(
    ("evicts", "ledger", "code"),
    [
        (None, None, None),
        (None, "l1", None),
        (None, "l2", "counters_of_another"),
        ("allkeys-lru", "l1", "counters_evict"),
        ("volatile-ttl", "l1", None),
    ],
)
def test_what_an_operator_has_to_change(evicts: str | None, ledger: str | None, code: str | None) -> None:
    fault = unfit(Server("r1:m1", False, evicts), Era(ledger, "c1", "r1:m1"), "l1")
    assert (None if fault is None else fault.code) == code


def test_a_place_has_one_name_from_everywhere_it_can_be_reached_from(monkeypatch: pytest.MonkeyPatch) -> None:
    class Machine:
        nodename = "node1"

    monkeypatch.setattr(os, "uname", Machine)
    told = {
        url: where(parse(url)) for url in ("redis://redis.internal/2", "redis://localhost", "unix:///v.sock")
    }
    assert list(told.values()) == ["redis.internal:6379/2", "node1:6379/0", "node1:/v.sock/0"]


class Answers:
    """A server, as a gate asks it."""

    def __init__(self) -> None:
        self.era: list[bytes | None] = [b"l1", b"c1", b"r1:m1"]
        self.info = info()
        self.tracks = True
        self.asked: list[tuple[Any, ...]] = []

    def __call__(self, *command: Any) -> asyncio.Future[Any]:
        self.asked.append(command)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if command[0] == "HELLO" and not self.tracks:
            future.set_exception(CallError("ERR unknown command"))
        else:
            future.set_result({"HMGET": self.era, "INFO": self.info}.get(command[0], b"OK"))
        return future


def gate() -> tuple[Gate, list[int]]:
    wanted: list[int] = []
    return Gate("l1", lambda: wanted.append(1)), wanted


async def code_of(one: Gate, server: Answers) -> str | None:
    try:
        why: HouseError | OperatorError | None = await one.check(server)
    except OperatorError as error:
        why = error
    return None if why is None else why.code


async def test_calls_go_when_the_run_is_known_and_our_market_is_counted() -> None:
    (one, wanted), server = gate(), Answers()
    await one.greet(server)
    assert isinstance(await one.check(server), CountersRebuilding)
    assert wanted
    one.settled = True
    assert await one.check(server) is None
    assert ("CLIENT", "CACHING", "YES") in server.asked


@pytest.mark.parametrize("run", [None, b"r0:m1", b"r1:m0", b""])
async def test_no_call_goes_after_a_loss_and_our_market_is_counted_again(run: bytes | None) -> None:
    (one, wanted), server = gate(), Answers()
    one.settled, server.era = True, [b"l1", b"c1", run] if run is not None else [None, None, None]
    assert await code_of(one, server) == "counters_rebuilding"
    assert wanted
    server.era = [b"l1", b"c1", b"r1:m1"]
    assert await code_of(one, server) == "counters_rebuilding"
    one.settled = True
    assert await code_of(one, server) is None


async def test_no_call_goes_where_it_would_do_harm() -> None:
    (one, wanted), server = gate(), Answers()
    one.settled = True
    server.info = info(role=b"slave")
    assert await code_of(one, server) == "counters_unavailable"
    server.info = info(memory=9, policy=b"allkeys-random")
    assert await code_of(one, server) == "counters_evict"
    server.info, server.era = info(), [b"l2", b"c1", b"r1:m1"]
    assert await code_of(one, server) == "counters_of_another"
    server.era = [b"l1", b"c1", b"r1:m1"]
    one.barred = OperatorError("counters_split", "two of them")
    why = await one.check(server)
    assert isinstance(why, CountersUnavailable)
    assert str(why) == "two of them"
    assert not wanted


async def test_a_server_that_cannot_track_is_asked_all_the_same() -> None:
    (one, _), server = gate(), Answers()
    server.tracks, one.settled = False, True
    await one.greet(server)
    assert await code_of(one, server) is None
    assert ("CLIENT", "CACHING", "YES") not in server.asked
