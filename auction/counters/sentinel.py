"""Where a primary is that moves: asked of its sentinels (https://valkey.io/topics/sentinel-clients/).

All sentinels are asked at once and the newest configuration counts, not the first answer: a sentinel that was cut off
goes on naming the old primary, and whoever follows it writes to a server whose data will be thrown away. So all that
answer are waited for. One that did not answer when it was asked last is asked all the same, but nobody waits for it as
long as another answers: a dead sentinel delays one look, and not each.

A fail-over loses what had not been copied yet. That is nobody's worry here: the new primary is another run, so the
gate (`era`) lets no call through until its counts were rebuilt from the ledger. What remains is the time in which a
worker has not heard of the fail-over yet. It is kept short by asking again every second, and covered by the rebuild,
which waits for longer than that before it reads the ledger (`HEARD_S`). An old primary that lost its replicas can
refuse writes by itself, at once: `min-replicas-to-write 1`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import hiredis
import msgspec
from msgspec.structs import replace

from auction import log
from auction.counters.address import Address, Watched
from auction.counters.calls import Argument, pack
from auction.counters.faults import CountersUnavailable
from auction.counters.tls import client_context

ANSWER_S = 0.4
"""A sentinel that has not answered by then says nothing, this time."""
HEARD_S = 3.0
"""After so long every worker that reaches a sentinel has heard of a fail-over: it asks every second."""
_CHUNK = 65_536
_MOST_BYTES = 1024 * 1024
"""Of an answer: they are about a thousand bytes."""


Place = tuple[str, int]
"""The host and port of a sentinel."""


class Told(msgspec.Struct, frozen=True):
    """What one sentinel says: where the primary is, by which configuration."""

    host: str
    port: int
    epoch: int


class Sentinels:
    """Those that watch the primary of this address. `silent` are those that did not answer the last time."""

    def __init__(self, address: Address) -> None:
        assert address.watched is not None
        self.silent: set[Place] = set()
        self._address = address
        self._watched = address.watched
        self._asks: dict[Place, asyncio.Task[Told | str]] = {}  # one of each: under way, or the last

    async def primary(self) -> Address:
        """The address with the primary that is watched, as the newest of the sentinels' answers has it.

        Raises `CountersUnavailable` where none of them knows one.
        """
        for place in self._watched.sentinels:
            ask = self._asks.get(place)
            if ask is None or ask.done():
                self._asks[place] = asyncio.create_task(self._answer(place), name="sentinel")
        await _ended([ask for place, ask in self._asks.items() if place not in self.silent])
        told = self._told()
        if not told:
            await _ended(self._asks.values())
            told = self._told()
        if not told:
            why = "; ".join(f"{host}:{port}: {ask.result()}" for (host, port), ask in self._asks.items())
            raise CountersUnavailable(f"no sentinel knows where the primary {self._watched.name} is ({why})")
        newest = max(told, key=lambda each: each.epoch)
        return replace(self._address, host=newest.host, port=newest.port)

    async def moved_from(self, address: Address) -> bool:
        """Whether the sentinels name another primary than this one. Where none answers, it stays what it is."""
        try:
            return await self.primary() != address
        except CountersUnavailable:
            return False

    async def close(self) -> None:
        """Ask no more."""
        for ask in self._asks.values():
            ask.cancel()
        await asyncio.gather(*self._asks.values(), return_exceptions=True)

    def _told(self) -> list[Told]:
        """What those say that have answered by now."""
        answers = [ask.result() for ask in self._asks.values() if ask.done()]
        return [answer for answer in answers if isinstance(answer, Told)]

    async def _answer(self, place: Place) -> Told | str:
        """What one says, or why it says nothing."""
        try:
            told = await _ask(self._watched, *place, tls=self._address.tls)
        except TimeoutError as late:
            if place not in self.silent:
                self.silent.add(place)
                log.warning("sentinel_silent", at=f"{place[0]}:{place[1]}")
            return str(late) or "no answer"
        except Exception as fault:  # whatever answers there is no sentinel
            self.silent.discard(place)
            return str(fault) or "no answer"
        self.silent.discard(place)
        return told


async def _ended(asks: Collection[asyncio.Task[Told | str]]) -> None:
    """Each of these has ended: by an answer, or its time."""
    if asks:
        await asyncio.wait(asks)


async def _ask(watched: Watched, host: str, port: int, *, tls: bool) -> Told:
    """Raises `OSError` (also past the time), `ValueError` for what is no sentinel's answer, `hiredis` errors."""
    async with asyncio.timeout(ANSWER_S):
        context = client_context() if tls else None
        read, write = await asyncio.open_connection(host, port, ssl=context)
        try:
            replies = hiredis.Reader()
            if watched.password is not None:
                user = () if watched.user is None else (watched.user,)
                _unrefused(await _call(read, write, replies, "AUTH", *user, watched.password))
            reply = _unrefused(await _call(read, write, replies, "SENTINEL", "MASTER", watched.name))
        finally:
            write.close()
    known = dict(zip(reply[::2], reply[1::2], strict=True))
    return _told(known[b"ip"].decode(), int(known[b"port"]), int(known[b"config-epoch"]))


def _told(host: str, port: int, epoch: int) -> Told:
    """Raises `ValueError` for a place to which nobody can connect."""
    if not host or not 0 < port < 65_536:
        raise ValueError("names no host and port")
    host.encode("idna")  # as whoever looks it up will do
    return Told(host, port, epoch)


async def _call(
    read: asyncio.StreamReader, write: asyncio.StreamWriter, replies: hiredis.Reader, *command: Argument
) -> Any:
    write.write(pack(command))
    came = 0
    while (reply := replies.gets()) is False:
        data = await read.read(_CHUNK)
        if not data:
            raise ConnectionError("closed by the sentinel")
        came += len(data)
        if came > _MOST_BYTES:
            raise ValueError("says too much")
        replies.feed(data)
    return reply


def _unrefused(reply: Any) -> Any:
    if isinstance(reply, hiredis.ReplyError):
        raise ValueError(str(reply))
    return reply
