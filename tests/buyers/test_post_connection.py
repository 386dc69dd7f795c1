"""One connection to the byte: what it says has left, over sockets whose other end the test holds."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from auction.buyers.post_connection import AnswerReader, PostConnection
from auction.buyers.sending import Sending
from auction.errors import BuyerError
from auction.market.reasons import Reason
from tests.buyers.served import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LARGE = b"x" * 4_000_000


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    yield ours, theirs
    theirs.close()
    ours.close()


def opened(sock: socket.socket) -> PostConnection:
    return PostConnection(sock, AnswerReader(1_000, 1_000), asyncio.get_running_loop())


async def test_a_post_and_its_answer_and_the_next(ends: tuple[socket.socket, socket.socket]) -> None:
    connection, theirs = opened(ends[0]), ends[1]
    for request in (b"one", b"two"):
        sending = Sending(request)
        carried = asyncio.create_task(connection.carry(sending))
        await asyncio.sleep(0)
        assert sending.sent
        assert theirs.recv(10) == request
        theirs.send(OK)
        await carried
        assert (sending.status, sending.body, connection.reusable) == (200, b"{}", True)
    connection.close()
    connection.close()


async def test_an_end_that_is_closed_takes_not_a_byte(ends: tuple[socket.socket, socket.socket]) -> None:
    connection, sending = opened(ends[0]), Sending(b"request")
    ends[1].close()
    with pytest.raises(BuyerError) as lost:
        await connection.carry(sending)
    assert lost.value.code == Reason.CONNECTION_LOST
    assert not sending.sent
    assert not connection.reusable


async def test_an_end_that_takes_a_part_and_goes_has_taken_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    connection, sending = opened(ends[0]), Sending(LARGE)
    carried = asyncio.create_task(connection.carry(sending))
    await asyncio.sleep(0)
    ends[1].recv(100)
    ends[1].close()
    with pytest.raises(BuyerError):
        await asyncio.wait_for(carried, 10)
    assert (sending.sent, sending.heard) == (True, False)


async def test_a_large_request_goes_as_the_socket_takes_it(ends: tuple[socket.socket, socket.socket]) -> None:
    connection, sending, loop = opened(ends[0]), Sending(LARGE), asyncio.get_running_loop()
    carried, received = asyncio.create_task(connection.carry(sending)), 0
    while received < len(LARGE):
        received += len(await loop.sock_recv(ends[1], 1 << 20))
    await loop.sock_sendall(ends[1], OK)
    await carried
    assert connection.reusable
    connection.close()


async def test_an_answer_before_the_request_was_read_ends_the_connection(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    connection, sending = opened(ends[0]), Sending(LARGE)
    ends[1].send(OK.replace(b"200 OK", b"413 No"))
    await connection.carry(sending)
    assert (sending.status, sending.sent, connection.reusable) == (413, True, False)
    connection.close()


async def test_a_cut_answer_leaves_its_status(ends: tuple[socket.socket, socket.socket]) -> None:
    connection, sending = opened(ends[0]), Sending(b"request")
    carried = asyncio.create_task(connection.carry(sending))
    await asyncio.sleep(0)
    ends[1].send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 422 X\r\nContent-Length: 9\r\n\r\n{")
    ends[1].close()
    with pytest.raises(BuyerError):
        await asyncio.wait_for(carried, 10)
    assert (sending.status, sending.heard, sending.body) == (422, True, None)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 42", b"HTTP/1.1 422 X\r\nA: b"]
)
async def test_half_a_head_is_no_status(ends: tuple[socket.socket, socket.socket], head: bytes) -> None:
    connection, sending = opened(ends[0]), Sending(b"request")
    carried = asyncio.create_task(connection.carry(sending))
    await asyncio.sleep(0)
    ends[1].send(head)
    ends[1].close()
    with pytest.raises(BuyerError):
        await asyncio.wait_for(carried, 10)
    assert (sending.status, sending.heard) == (0, True)


@pytest.mark.parametrize("said", [b"", OK])
async def test_what_ends_or_speaks_while_idle_is_told(
    ends: tuple[socket.socket, socket.socket], said: bytes
) -> None:
    connection = opened(ends[0])
    gone: list[PostConnection] = []
    connection.rest(0.0, gone.append)
    ends[1].send(said) if said else ends[1].close()
    await until(lambda: bool(gone))
    assert gone == [connection]
    connection.close()


async def test_whoever_gives_up_closes_and_knows_what_had_left(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    connection, sending = opened(ends[0]), Sending(b"request")
    carried = asyncio.create_task(connection.carry(sending))
    await asyncio.sleep(0)
    carried.cancel()
    with pytest.raises(asyncio.CancelledError):
        await carried
    connection.close()
    assert sending.sent
    assert ends[1].recv(10) == b"request"
    assert ends[1].recv(10) == b"", "closed"
