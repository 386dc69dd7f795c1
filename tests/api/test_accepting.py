"""Connections are taken in many at a time."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
import uvloop

from auction.api.accepting import PER_TURN
from auction.api.front import Front
from tests.api.fronted import QUICK, Shut, echo
from tests.api.wired import until, wired

CLIENTS = 6 * PER_TURN


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
        async with asyncio.timeout(30):
            return int(await done)
    finally:
        for client in clients:
            client.close()
        await front.stop(5)


def test_many_at_once_are_taken_in_within_a_few_turns() -> None:
    """On the loop that serves: uvloop's own server takes in one connection a turn."""
    assert uvloop.run(turns_until_all_are_in()) < CLIENTS / 4


async def shares_of_two_that_serve_one_socket() -> list[int]:
    """How many of twelve clients that came together each of them took in."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=12)
    clients = [socket.create_connection(listening.getsockname()) for _ in range(12)]
    fronts = [Front(echo, QUICK, shared=True) for _ in range(2)]
    for front in fronts:
        await front.start(listening.dup())
    try:
        await until(lambda: sum(front.connected for front in fronts) == 12)
        return [front.connected for front in fronts]
    finally:
        for client in clients:
            client.close()
        for front in fronts:
            await front.stop(5)
        listening.close()


def test_workers_that_share_a_socket_share_those_who_come_together() -> None:
    assert min(uvloop.run(shares_of_two_that_serve_one_socket())) >= 4


async def stops_while_some_are_on_their_way_in() -> None:
    """One client is being answered, and others are not yet told to the front when it is told to stop."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = Shut()
    front = Front(app, QUICK)
    await front.start(listening)
    async with wired("http://{}:{}".format(*listening.getsockname())) as line:
        asking = asyncio.ensure_future(line.send("/one", b"{}"))
        await until(lambda: bool(app.asked))
        clients = [socket.create_connection(listening.getsockname()) for _ in range(PER_TURN)]
        accepting = front._accepting
        assert accepting is not None
        for _ in range(1_000):
            if accepting._opening:  # they are on their way for one turn
                break
            await asyncio.sleep(0)
        assert accepting._opening
        stopping = asyncio.ensure_future(front.stop(10))
        await until(lambda: not accepting._opening)
        app.open.set()
        assert (await asking).status == 200
        async with asyncio.timeout(30):
            await stopping
    for client in clients:
        client.close()


def test_who_is_on_the_way_in_when_the_house_closes_does_not_hold_it_up() -> None:
    uvloop.run(stops_while_some_are_on_their_way_in())


async def test_a_client_that_is_gone_before_it_is_taken_in_is_no_trouble() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    at = listening.getsockname()
    front = Front(echo, QUICK)
    await front.start(listening)
    for _ in range(3 * PER_TURN):
        with socket.create_connection(at) as client:
            # it ends with a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with wired(f"http://{at[0]}:{at[1]}") as line:
        assert (await line.send("/one", b"{}")).status == 200
    await until(lambda: not front._connections)
    await front.stop(5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(at)
