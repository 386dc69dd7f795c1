"""Taking in connections, as many in a turn of the loop as have come, up to a bound.

The loop's own server is not enough: libuv takes in one connection a turn. A house that is busy has turns of several
milliseconds, so a few hundred clients that connected at once waited for seconds before anything of ours saw them.
So with each that it takes in, we look for others. A quiet house pays one system call for that. Where workers share the
socket each takes few at a time: else one of them would have all clients that came together, for as long as they stay.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

PER_TURN, PER_TURN_SHARED = 16, 2


class Accepting:
    """Makes `protocol`s of the clients of a listening socket, from `start` to `stop`."""

    def __init__(
        self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], *, shared: bool = False
    ) -> None:
        """`shared`: other processes take in clients of this socket, too."""
        self._per_turn = PER_TURN_SHARED if shared else PER_TURN
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._protocol = protocol
        self._server: asyncio.Server | None = None
        self._opening: set[asyncio.Task[None]] = set()

    async def start(self, backlog: int) -> None:
        """Listen; the socket is ours from now on."""
        self._server = await self._loop.create_server(self._first, sock=self._listening, backlog=backlog)

    def stop(self) -> None:
        """Take in nobody more."""
        if self._server is not None:
            self._server.close()

    def _first(self) -> asyncio.Protocol:
        for _ in range(self._per_turn - 1):
            try:
                client, _address = self._listening.accept()
            except OSError:  # nobody; or a trouble that the server meets as well, and deals with
                break
            opening = self._loop.create_task(self._open(client))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)
        return self._protocol()

    async def _open(self, client: socket.socket) -> None:
        try:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._protocol, client)
        except OSError:  # it is gone already
            client.close()
