"""The workers of one house, as children of this process: started, started again when they die, and ended.

A worker is a new process, not a fork: it shares nothing with its parent but the listening socket and two pipes.
Its standard output says once that it is ready; its standard input ends when the parent does, whatever
that died of, and so no worker outlives its house.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import uvloop
from msgspec.structs import replace

from auction import log
from auction.cli.stopping import SIGNALS
from auction.cli.worker import READY
from auction.settings import PREFIX, Settings, to_environ

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0
"""How long a place stays empty after a worker died: longer each time, until one was ready again."""
KILL_AFTER_S = 5.0
"""Beyond `stop_within_ms`, which the workers keep by themselves."""


def run_crew(
    settings: Settings,
    redis_url: str,
    listening: socket.socket,
    *,
    ready: Callable[[], None],
    told: Callable[[], bool] = lambda: False,
) -> int:
    """Run `settings.workers` workers until told to stop; then the exit code. `ready` is called when all serve.

    `told` says whether that came already, before there was a loop to hear it.

    The first worker goes ahead: what is wrong with the house is then said once, and ends it.
    """
    return uvloop.run(_Crew(settings, redis_url, listening).run(ready, told))


class _Crew:
    def __init__(self, settings: Settings, redis_url: str, listening: socket.socket) -> None:
        self._settings = settings
        self._listening = listening
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self._environ |= to_environ(replace(settings, redis_url=redis_url))
        self._alive: set[Process] = set()
        self._stopping = asyncio.Event()
        self._asked = 0

    async def run(self, ready: Callable[[], None], told: Callable[[], bool]) -> int:
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop)
        if told():
            return 0
        first = await self._start()
        if not await self._is_ready(first):
            return self._worth(await first.wait())
        others = [
            await self._start() for _ in range(1, self._settings.workers) if not self._stopping.is_set()
        ]
        await asyncio.gather(*map(self._is_ready, others))
        if not self._stopping.is_set():
            ready()
        places = [asyncio.create_task(self._keep(one)) for one in (first, *others)]
        await self._stopping.wait()
        _, late = await asyncio.wait(places, timeout=self._settings.stop_within_ms / 1000 + KILL_AFTER_S)
        if late:
            log.warning("workers_killed", workers=len(late))
            self._signal(signal.SIGKILL)
        return max([self._worth(code) for code in await asyncio.gather(*places)])

    async def _keep(self, one: Process) -> int:
        """One place in the crew, filled until we stop: the exit code of the last who had it."""
        pause_s = FIRST_PAUSE_S
        while True:
            if await self._is_ready(one):
                pause_s = FIRST_PAUSE_S
            code = await one.wait()
            self._alive.discard(one)
            if self._stopping.is_set():
                return code
            log.warning("worker_died", pid=one.pid, code=code, next_in_s=pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
                    return 0
            if self._stopping.is_set():  # at the very end of the pause
                return 0
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            one = await self._start()

    async def _start(self) -> Process:
        fd = self._listening.fileno()
        one = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "auction", "worker", "--fd", str(fd)),
            stdin=PIPE,
            stdout=PIPE,
            env=self._environ,
            pass_fds=[fd],
            start_new_session=True,  # a Ctrl-C reaches the workers through us, once
        )
        self._alive.add(one)
        if self._stopping.is_set():
            one.terminate()
        return one

    async def _is_ready(self, one: Process) -> bool:
        """Waits until it is ready, or has ended before it was."""
        assert one.stdout is not None
        return await one.stdout.readline() == READY

    def _stop(self) -> None:
        """Passed on as it comes: a worker that is asked twice waits for nobody either. The third time kills.

        Our end of the listening socket goes first: as long as anybody has it, clients would be let in to wait.
        """
        self._asked += 1
        self._listening.close()
        self._stopping.set()
        self._signal(signal.SIGTERM if self._asked < 3 else signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for one in self._alive:
            with contextlib.suppress(ProcessLookupError):
                one.send_signal(number)

    def _worth(self, code: int) -> int:
        """What a worker's exit code means for ours. One that was told to stop while its Python was still
        starting could not say so well."""
        if self._stopping.is_set() and code == -signal.SIGTERM:
            return 0
        return code if code >= 0 else 1
