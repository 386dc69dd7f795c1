"""Connections are taken in many at a time, and a trouble with one is no trouble for the next."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest
import uvloop

from auction.api.accepting import A_TURN
from auction.api.front import Front
from tests.api.fronted import QUICK, echo
from tests.api.wired import until, wired

CLIENTS = 6 * A_TURN


async def turns_until_all_are_in() -> int:
    """How many turns of the loop it takes to take in many clients that came at once."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=CLIENTS)
    clients = [socket.create_connection(listening.getsockname()) for _ in range(CLIENTS)]
    front, loop = Front(echo, QUICK), asyncio.get_running_loop()
    done = loop.create_future()
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        if front.connected == CLIENTS:
            done.set_result(turns)
        else:
            loop.call_soon(count)

    await front.start(listening)
    count()
    try:
        async with asyncio.timeout(10):
            return int(await done)
    finally:
        for client in clients:
            client.close()
        await front.stop(5)


def test_many_at_once_are_taken_in_within_a_few_turns() -> None:
    """On the loop that serves: uvloop's own server takes in one connection a turn."""
    assert uvloop.run(turns_until_all_are_in()) < CLIENTS / 4


class Troubled(socket.socket):
    """A listening socket whose first tries fail."""

    troubles: list[int]

    def accept(self) -> tuple[socket.socket, object]:
        if self.troubles:
            number = self.troubles.pop(0)
            raise OSError(number, "a trouble")
        return super().accept()


@pytest.mark.parametrize(
    ("number", "counted"), [(errno.ECONNABORTED, {}), (errno.EMFILE, {"no_room": 1}), (errno.EINTR, {})]
)
async def test_after_a_trouble_it_goes_on(number: int, counted: dict[str, int]) -> None:
    listening = Troubled(socket.AF_INET)
    listening.troubles = [number]
    listening.bind(("127.0.0.1", 0))
    at = listening.getsockname()
    url = f"http://{at[0]}:{at[1]}"
    front = Front(echo, QUICK)
    await front.start(listening)
    async with wired(url) as one, wired(url) as two:
        assert (await one.send("/one", b"{}")).status == 200
        assert (await two.send("/two", b"{}")).status == 200
    assert front.refused == counted
    await until(lambda: not front._connections)
    await front.stop(5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(at)


async def test_a_stop_while_there_is_no_room_is_a_stop() -> None:
    listening = Troubled(socket.AF_INET)
    listening.troubles = [errno.EMFILE] * 1_000
    listening.bind(("127.0.0.1", 0))
    host, port = listening.getsockname()
    front = Front(echo, QUICK)
    await front.start(listening)
    client = socket.create_connection((host, port))
    await until(lambda: front.refused["no_room"] > 0)
    await front.stop(5)
    await asyncio.sleep(0.3)
    assert front.refused["no_room"] <= 2
    client.close()
