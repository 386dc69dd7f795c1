"""One origin that posts go to: its addresses, its trust, the connections that were kept, and how many there may be."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any

import msgspec

from auction.buyers.address import Address, resolve
from auction.buyers.http1 import BODY_LIMIT, HEAD_LIMIT
from auction.buyers.pool import Total
from auction.buyers.post_connection import AnswerReader, PostConnection
from auction.buyers.target import Target
from auction.buyers.tls import Contexts
from auction.errors import BuyerError
from auction.market.reasons import Reason


class DeliveryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of the delivery of posts, over all buyers.

    `connections` carry posts at one time, and as many more may lie idle; a post waits for one as long as its
    own time lasts. `idle_s` is 4 because the usual servers close an idle connection after 5. `address_s` is how
    long one of several addresses is tried.
    """

    in_flight: int = 1_024
    connections: int = 256
    connections_per_host: int = 64
    idle_s: float = 4.0
    address_s: float = 2.0
    resolve_every_s: float = 30.0
    head_limit: int = HEAD_LIMIT
    body_limit: int = BODY_LIMIT


class Origin:
    """Same scheme, host, port and `ca_file`: connections that may serve one another's posts."""

    def __init__(
        self, target: Target, limits: DeliveryLimits, idle: Total, contexts: Contexts, allow_private: bool
    ) -> None:
        self.places = asyncio.Semaphore(limits.connections_per_host)
        self.running = 0  # posts that use it, or wait to
        self._kept: list[PostConnection] = []  # the longest idle first
        self._idle = idle  # of all origins together
        self._target = target
        self._limits = limits
        self._contexts = contexts
        self._allow_private = allow_private
        self._addresses: tuple[Address, ...] = ()
        self._resolved_s = float("-inf")
        self._resolving = asyncio.Lock()
        self._session: ssl.SSLSession | None = None

    def take(self) -> PostConnection | None:
        """A connection that was kept, if there is one: the last used, so that few are kept warm."""
        if not self._kept:
            return None
        self._idle.held -= 1
        return self._kept.pop()

    def keep(self, connection: PostConnection) -> None:
        """Lets a connection lie ready, or closes it where too many do."""
        if self._idle.held >= self._idle.limit:
            connection.close()
            return
        connection.rest(monotonic(), self._forget)
        self._kept.append(connection)
        self._idle.held += 1

    def sweep(self, now_s: float) -> bool:
        """Closes what has been idle for too long. Whether the origin is still of use."""
        while self._kept and now_s - self._kept[0].idle_since_s > self._limits.idle_s:
            self._forget(self._kept[0])
        return bool(self.running or self._kept) or now_s - self._resolved_s < self._limits.resolve_every_s

    def close(self) -> None:
        """Closes what lies idle."""
        while self._kept:
            self._forget(self._kept[-1])

    async def open(self, reader: Callable[[int, int], AnswerReader] = AnswerReader) -> PostConnection:
        """A fresh connection, whose answers `reader` (of its limits) reads.

        Raises `BuyerError` (nothing was sent), `OperatorError` for a bad `ca_file`.
        """
        target, loop = self._target, asyncio.get_running_loop()
        context = await self._contexts.of(target.ca_file) if target.scheme == "https" else None
        sock = await self._connect(loop)
        if context is not None:
            sock = await self._shake_hands(sock, context, loop)
        return PostConnection(sock, reader(self._limits.head_limit, self._limits.body_limit), loop)

    def answered(self, connection: PostConnection) -> None:
        """Keeps the TLS session of a connection that has answered: the next handshake is then a short one."""
        self._session = connection.session or self._session

    def _forget(self, connection: PostConnection) -> None:
        connection.close()
        self._kept.remove(connection)
        self._idle.held -= 1

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        why = "it has no address"
        addresses = await self._fresh_addresses()
        for address in addresses:
            try:
                if len(addresses) == 1:
                    return await _connected(address, loop)
                async with asyncio.timeout(self._limits.address_s):
                    return await _connected(address, loop)
            except OSError as error:
                why = str(error) or "no answer in time"
                if self._addresses[0] == address:  # the next post begins with another
                    self._addresses = (*self._addresses[1:], address)
        raise BuyerError(Reason.CONNECT_FAILED, why)

    async def _fresh_addresses(self) -> tuple[Address, ...]:
        """The addresses that may be used, not older than `resolve_every_s`; older ones where that fails."""
        limits = self._limits
        async with self._resolving:
            if monotonic() - self._resolved_s < limits.resolve_every_s:
                return self._addresses
            host, port = self._target.host, self._target.port
            try:
                found = await resolve(
                    host, port, allow_private=self._allow_private, timeout_s=limits.address_s
                )
            except (OSError, UnicodeError) as error:
                if self._addresses:
                    return self._addresses
                raise BuyerError(Reason.CONNECT_FAILED, f"the name does not resolve: {error}") from None
            if not found.addresses and found.refused:
                raise BuyerError(Reason.FORBIDDEN_ADDRESS, "the address is not public")
            if set(found.addresses) != set(self._addresses):  # else the order that was learned holds
                self._addresses = found.addresses
            self._resolved_s = monotonic()
            return self._addresses

    async def _shake_hands(
        self, sock: socket.socket, context: ssl.SSLContext, loop: asyncio.AbstractEventLoop
    ) -> ssl.SSLSocket:
        try:
            tls = context.wrap_socket(
                sock, server_hostname=self._target.host, do_handshake_on_connect=False, session=self._session
            )
        except (OSError, ValueError) as error:  # lost just now; or a session that does not fit
            sock.close()
            raise self._tls_failed(error) from None
        try:
            while True:
                try:
                    tls.do_handshake()
                    return tls
                except ssl.SSLWantReadError:
                    await _until(loop, loop.add_reader, loop.remove_reader, tls.fileno())
                except ssl.SSLWantWriteError:
                    await _until(loop, loop.add_writer, loop.remove_writer, tls.fileno())
        except OSError as error:
            tls.close()
            raise self._tls_failed(error) from None
        except BaseException:
            tls.close()
            raise

    def _tls_failed(self, error: Exception) -> BuyerError:
        self._session = None
        return BuyerError(Reason.TLS_FAILED, str(error)[:200])


async def _connected(address: Address, loop: asyncio.AbstractEventLoop) -> socket.socket:
    """A connected socket that does not block. Raises `OSError`."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(address.sockaddr)
        if code == errno.EINPROGRESS:
            await _until(loop, loop.add_writer, loop.remove_writer, sock.fileno())
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, f"cannot connect: {errno.errorcode.get(code, code)}")
    except BaseException:
        sock.close()
        raise
    return sock


async def _until(
    loop: asyncio.AbstractEventLoop, watch: Callable[..., Any], stop: Callable[[int], Any], fd: int
) -> None:
    """Until the loop says that `fd` can be read, or written."""
    ready = loop.create_future()
    watch(fd, _set, ready)
    try:
        await ready
    finally:
        stop(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
