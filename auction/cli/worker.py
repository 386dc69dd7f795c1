"""One worker: an exchange behind a listening socket, from its start to its end."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import sys
from collections.abc import Callable

import click
import uvloop

from auction import log
from auction.api.app import App
from auction.api.front import Front, FrontLimits
from auction.api.origins import behind_origins
from auction.cli.options import settings_of
from auction.cli.stopping import SIGNALS
from auction.exchange import Exchange
from auction.settings import Settings

READY = b"ready\n"
"""What a worker says on its standard output, once, to the parent that started it."""
SWITCH_INTERVAL_S = 0.000_5
"""How long the loop may wait for a thread that compiles a new market; Python's own 5 ms would hold up auctions."""
STDIN, STDOUT, STDERR = 0, 1, 2
COLLECT_AFTER = (50_000, 50, 100)
"""A ping leaves next to no cycles behind: Python's usual thresholds cost a sixth of its time to find that out."""


@click.command(hidden=True)
@click.option("--fd", type=int, required=True, help="The listening socket.")
def worker(fd: int) -> None:
    """One worker of a crew; its settings come from the environment that the parent gave it.

    Its standard input ends when the parent does, and so does the worker.
    """
    settings = settings_of()
    log.set_up(settings.log_level)
    assert settings.redis_url is not None, "the parent says where the counters are"
    with socket.socket(fileno=fd) as listening:
        run_worker(settings, settings.redis_url, listening, ready=_tell_parent, watch_parent=True)


def run_worker(
    settings: Settings,
    redis_url: str,
    listening: socket.socket,
    *,
    ready: Callable[[], None],
    told: Callable[[], bool] = lambda: False,
    watch_parent: bool = False,
) -> None:
    """Serve until told to stop; what was taken in is finished first. Calls `ready` when pings can be served.

    `told` says whether that came already, before there was a loop to hear it.

    Raises `ExchangeError` where a part of the house cannot be had.
    """
    try:
        uvloop.run(_Worker(settings, listening, watch_parent).run(redis_url, ready, told))
    except asyncio.CancelledError:
        return  # told to stop while it was starting: nothing was taken in


class _Worker:
    def __init__(self, settings: Settings, listening: socket.socket, watch_parent: bool) -> None:
        self._settings = settings
        self._listening = listening
        self._watch_parent = watch_parent
        self._front: Front | None = None
        self._asked_to_stop = asyncio.Event()

    async def run(self, redis_url: str, ready: Callable[[], None], told: Callable[[], bool]) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop)
        if told():
            return
        if self._watch_parent:
            loop.add_reader(STDIN, self._parent_gone, loop)
        # a market lives long, and when it goes it goes at once: no collection need look at it
        exchange = Exchange(self._settings, freeze=gc.freeze)
        try:
            await exchange.open(redis_url)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECT_AFTER)
            app = App(exchange)
            _allow_files()
            served = behind_origins(app, self._settings.allow_origins or "")
            limits = FrontLimits(connections=self._settings.most_connections)
            front = self._front = Front(served, limits, app.gate, shared=self._settings.workers > 1)
            app.of_front = front.families
            app.metrics.start()
            await front.start(self._listening)  # not before: who is let in is served
            ready()
            await self._asked_to_stop.wait()
            await front.stop(self._settings.stop_within_ms / 1000)
            await app.metrics.stop()
        finally:
            await exchange.close()

    def _stop(self) -> None:
        if self._front is None:
            assert self._task is not None
            self._task.cancel()
        elif self._asked_to_stop.is_set():  # asked twice: do not wait for what was taken in
            log.event("stopping_at_once")
            self._front.give_up()
        else:
            log.event("stopping", within_ms=self._settings.stop_within_ms)
            self._asked_to_stop.set()

    def _parent_gone(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(STDIN)
        log.warning("parent_gone", pid=os.getpid())
        self._stop()


def _allow_files() -> None:
    """As many open files, and so connections, as the system lets us have; many a shell allows 1,024 at first."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _tell_parent() -> None:
    os.write(STDOUT, READY)
    os.dup2(STDERR, STDOUT)  # nobody reads on: whatever is printed from now on goes where logs go
