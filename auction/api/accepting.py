"""Taking in connections, so many in a turn of the loop.

Why not the loop's own server: libuv takes in one connection a turn. A house that is busy has turns of several
milliseconds, so a few hundred clients that connect at once waited for seconds before anything of ours saw them.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import defaultdict
from collections.abc import Callable

A_TURN = 16
AGAIN_S = 0.25
"""When to look again after the system had no room for another connection."""
_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM})
"""One connection ended before it was taken in, or was not let through: the next may be good."""


class Accepting:
    """Makes `protocol`s of the clients of a listening socket, from `start` to `stop`; `refused` counts what fails."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        refused: defaultdict[str, int],
    ) -> None:
        self._loop = loop
        self._listening = listening
        self._protocol = protocol
        self._refused = refused
        self._opening: set[asyncio.Task[None]] = set()
        self._later: asyncio.TimerHandle | None = None

    def start(self, backlog: int) -> None:
        """Listen; the socket is ours from now on."""
        self._listening.setblocking(False)
        self._listening.listen(backlog)
        self._look()

    def stop(self) -> None:
        """Take in nobody more."""
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()

    def _look(self) -> None:
        self._loop.add_reader(self._listening.fileno(), self._take_in)

    def _take_in(self) -> None:
        for _ in range(A_TURN):
            try:
                client, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _GONE:
                    continue
                self._refused["no_room"] += 1  # of files, or memory: it would be told to us over and over
                self._loop.remove_reader(self._listening.fileno())
                self._later = self._loop.call_later(AGAIN_S, self._look)
                return
            opening = self._loop.create_task(self._open(client))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, client: socket.socket) -> None:
        try:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._protocol, client)
        except OSError:  # it is gone already
            client.close()
