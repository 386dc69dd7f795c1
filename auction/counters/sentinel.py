"""Where a primary is that moves: asked of its sentinels (https://valkey.io/topics/sentinel-clients/).

All sentinels are asked at once and the newest configuration counts, not the first answer: a sentinel that was cut off
goes on naming the old primary, and whoever follows it writes to a server whose data will be thrown away.

A fail-over loses what had not been copied yet. That is nobody's worry here: the new primary is another run, so the
gate (`era`) lets no call through until its counts were rebuilt from the ledger. What remains is the time in which a
worker has not heard of the fail-over yet. It is kept short by asking again every second, and covered by the rebuild,
which waits for longer than that before it reads the ledger (`HEARD_S`). An old primary that lost its replicas can
refuse writes by itself, at once: `min-replicas-to-write 1`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import hiredis
import msgspec
from msgspec.structs import replace

from auction.counters.address import Address, Watched
from auction.counters.calls import Argument, pack
from auction.counters.faults import CountersUnavailable
from auction.counters.tls import client_context

ANSWER_S = 0.4
"""A sentinel that has not answered by then is not waited for."""
HEARD_S = 3.0
"""After so long every worker that reaches a sentinel has heard of a fail-over: it asks every second."""
_CHUNK = 65_536
_MOST_BYTES = 1024 * 1024
"""Of an answer: they are about a thousand bytes."""


class Told(msgspec.Struct, frozen=True):
    """What one sentinel says: where the primary is, by which configuration."""

    host: str
    port: int
    epoch: int


async def primary_of(address: Address) -> Address:
    """The address of the primary that is watched, as the newest of the sentinels' answers has it.

    Raises `CountersUnavailable` where none of them knows one.
    """
    watched = address.watched
    assert watched is not None
    asked = (_ask(watched, host, port, tls=address.tls) for host, port in watched.sentinels)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    told = [answer for answer in answers if isinstance(answer, Told)]
    if not told:
        why = "; ".join(
            f"{host}:{port}: {str(fault) or 'no answer'}"
            for (host, port), fault in zip(watched.sentinels, answers, strict=True)
        )
        raise CountersUnavailable(f"no sentinel knows where the primary {watched.name} is ({why})")
    newest = max(told, key=lambda each: each.epoch)
    return replace(address, host=newest.host, port=newest.port)


async def moved_from(address: Address) -> bool:
    """Whether the sentinels name another primary than this one. Where none answers, it stays what it is."""
    try:
        return await primary_of(address) != address
    except CountersUnavailable:
        return False


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
