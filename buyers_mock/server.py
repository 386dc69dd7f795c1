"""The mock's own HTTP/1.1 server: one protocol object per connection, no task, no framework.

Why by hand: a benchmark's ping costs the exchange some 250 µs for ten buyers, and the ten must not cost more
than that. An answer without delay is written before `data_received` returns; one with a delay, or behind one,
waits its turn in the connection's queue, so that pipelined answers keep their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import httptools
import msgspec

from buyers_mock import control
from buyers_mock.journal import Journal, read_journal
from buyers_mock.manner import Delivery, Play, half
from buyers_mock.script import Script
from buyers_mock.stage import MOST_CONNECTIONS, MOST_PENDING, MOST_REQUEST_BYTES, Stage

DRIP_MS = 50
"""Between two bytes of a dripping answer."""

_UNAUTHORISED = control.problem("401 Unauthorized", "this buyer wants other credentials")
_NO_BUYER = control.problem("404 Not Found", "no such buyer: expected /<buyer>/ping or /<buyer>/post")
_NOT_POST = control.problem("405 Method Not Allowed", "expected POST")
_BAD_HTTP = control.problem("400 Bad Request", "expected HTTP/1.1, and no upgrade to anything else")
_LARGE = control.problem("413 Content Too Large", f"expected at most {MOST_REQUEST_BYTES} bytes")


class Turn:
    """An answer that waits: for its delay, or for those before it."""

    __slots__ = ("delivery", "play", "ripe", "timer")

    def __init__(self, play: Play, delivery: Delivery) -> None:
        self.play = play
        self.delivery = delivery
        self.ripe = False
        self.timer: asyncio.TimerHandle | None = None


class Connection(asyncio.Protocol):
    """Reads requests, has them played, writes the answers in order."""

    def __init__(self, stage: Stage, connections: set[Connection], loop: asyncio.AbstractEventLoop) -> None:
        self._stage = stage
        self._connections = connections
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Turn] = deque()
        self._deaf = False  # hears no more requests
        self._over = False  # writes no more answers
        self._bytes = 0  # of the request that is being read
        self.on_message_begin()

    def abort(self) -> None:
        """End it now."""
        self._transport.abort()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._write = self._transport.write
        if len(self._connections) >= MOST_CONNECTIONS:
            self._stage.turned_away.connections += 1
            self._transport.abort()
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = self._over = True
        self._connections.discard(self)
        self._stage.pending -= len(self._queue)
        for turn in self._queue:
            if turn.timer is not None:
                turn.timer.cancel()
        self._queue.clear()

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a bug of ours: the loop logs it and ends the connection
        except httptools.HttpParserError:
            self._refuse(_BAD_HTTP)
        if self._bytes > MOST_REQUEST_BYTES:
            self._stage.turned_away.large += 1
            self._refuse(_LARGE)

    # what the parser calls

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        self._bytes = 0
        if self._parser.should_upgrade():  # the parser leaves such a request's body unread
            self._refuse(_BAD_HTTP)
            return
        play = self._played()
        delivery = play.delivery
        if delivery is Delivery.WHOLE:
            if not self._parser.should_keep_alive():
                self._deaf = True
                delivery = Delivery.LAST
            elif not play.delay_ms and not self._queue:
                self._write(play.answer)
                return
        self._wait(Turn(play, delivery))

    # the way of one request

    def _played(self) -> Play:
        stage = self._stage
        door = stage.doors.get(self._url)
        if door is None:
            return Play(self._control())
        if self._parser.get_method() != b"POST":
            return Play(_NOT_POST)
        player, kind = door
        if not player.admits(self._headers):
            return Play(_UNAUTHORISED)
        key = self._headers.get(b"idempotency-key")
        play = player.play(kind, key, self._body)
        if stage.log.most_entries:
            stage.log.add(time.time_ns() // 1_000_000, player.buyer, kind, key, self._body, play)
        if stage.journal is not None:
            at_ms = time.time_ns() // 1_000_000
            if kind == "post":
                stage.journal.write(at_ms, player.buyer, key, self._body, play)
            else:
                stage.journal.ask(at_ms, player.buyer)
        return play

    def _control(self) -> bytes:
        if not self._url.startswith(b"/_"):
            return _NO_BUYER
        method = self._parser.get_method().decode("latin-1")
        return control.answer(self._stage, method, self._url.decode("latin-1"), self._body)

    def _refuse(self, answer: bytes) -> None:
        if not self._deaf:
            self._deaf = True
            self._wait(Turn(Play(answer), Delivery.LAST))

    def _wait(self, turn: Turn) -> None:
        if self._stage.pending >= MOST_PENDING:
            self._stage.turned_away.pending += 1
            self._deaf = self._over = True
            self._transport.abort()
            return
        self._stage.pending += 1
        self._queue.append(turn)
        if turn.delivery is Delivery.HANG:
            return
        if turn.play.delay_ms:
            turn.timer = self._loop.call_later(turn.play.delay_ms / 1000, self._ripen, turn)
        else:
            self._ripen(turn)

    def _ripen(self, turn: Turn) -> None:
        turn.ripe = True
        turn.timer = None
        while self._queue and self._queue[0].ripe and not self._over:
            first = self._queue[0]
            if first.delivery is Delivery.DRIP:
                first.ripe = False
                self._drip(first, 0)
                return
            self._queue.popleft()
            self._stage.pending -= 1
            self._deliver(first.play.answer, first.delivery)

    def _deliver(self, answer: bytes, delivery: Delivery) -> None:
        if delivery is Delivery.WHOLE:
            self._write(answer)
        elif delivery is Delivery.LAST:
            self._finish(answer)
        elif delivery is Delivery.HALF:
            self._finish(half(answer))
        elif delivery is Delivery.CLOSE:
            self._finish(b"")
        else:
            self._deaf = self._over = True
            _reset_when_closed(self._transport)
            self._transport.abort()

    def _drip(self, turn: Turn, at: int) -> None:
        answer = turn.play.answer
        if at < len(answer):
            self._write(answer[at : at + 1])
            turn.timer = self._loop.call_later(DRIP_MS / 1000, self._drip, turn, at + 1)
        else:
            turn.delivery = Delivery.WHOLE if self._parser.should_keep_alive() else Delivery.CLOSE
            turn.play = Play(b"")
            self._ripen(turn)

    def _finish(self, answer: bytes) -> None:
        self._deaf = self._over = True
        if answer:
            self._write(answer)
        self._transport.close()


def _reset_when_closed(transport: asyncio.Transport) -> None:
    """Make the close a RST instead of a FIN: linger 0. On a copy of the descriptor, since uvloop's own
    socket object does not let itself be set."""
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as copy:
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Listening(msgspec.Struct, frozen=True):
    """A mock that listens: one URL per port, each leading to all buyers."""

    stage: Stage
    urls: tuple[str, ...]

    @property
    def url(self) -> str:
        """The first URL, as `http://127.0.0.1:8090`."""
        return self.urls[0]


@contextlib.asynccontextmanager
async def listening(
    script: Script,
    *,
    host: str = "127.0.0.1",
    ports: Sequence[int] = (0,),
    seed: int = 7,
    log_entries: int = 10_000,
    tls: ssl.SSLContext | None = None,
    journal: Path | None = None,
) -> AsyncIterator[Listening]:
    """Play `script` on `ports` (0: a free one) until the block ends; then every connection is cut.

    With a `journal`, buyers remember what they took when they were played last, and go on writing there.

    Raises `OSError` where a port cannot be had.
    """
    loop = asyncio.get_running_loop()
    stage = Stage(script, seed=seed, log_entries=log_entries, journal=_remembered(journal))
    if journal is not None:
        _recall(stage, journal)
    connections: set[Connection] = set()
    servers: list[asyncio.Server] = []
    scheme = "http" if tls is None else "https"
    try:
        for port in ports:
            factory = lambda: Connection(stage, connections, loop)  # noqa: E731 (a def here would bind the same)
            servers.append(await loop.create_server(factory, host, port, ssl=tls, backlog=4096))
        bound = [server.sockets[0].getsockname()[1] for server in servers]
        yield Listening(stage, tuple(f"{scheme}://{host}:{port}" for port in bound))
    finally:
        for server in servers:
            server.close()
        for connection in tuple(connections):
            connection.abort()
        for server in servers:
            await server.wait_closed()
        if stage.journal is not None:
            stage.journal.close()


def _remembered(path: Path | None) -> Journal | None:
    return None if path is None else Journal(path)


def _recall(stage: Stage, path: Path) -> None:
    """Every player that is still played knows again what it decided."""
    for kept in read_journal(path):
        player, decision = stage.players.get(kept.buyer), kept.decision
        if player is not None and decision is not None and not kept.repeat:
            key = None if kept.key is None else kept.key.encode("latin-1")
            player.recall(key, kept.body.encode("latin-1"), decision)
