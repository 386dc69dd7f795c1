"""`auction serve`: the stores once, then one worker in this process, or several as children (`crew`).

This process owns what there may be only one of: the listening socket, the embedded Valkey with the lock on the
data folder, the catalogue files named on the command line (by a child, `stocking`). The lock comes before anything
that is stored: a second `serve` on a folder must not change what the first one trades on.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
from msgspec.structs import replace

from auction import log
from auction.api.metrics import forget_metrics
from auction.cli.crew import run_crew
from auction.cli.options import (
    WithVariables,
    make_data_dir,
    setting,
    settings_of,
    store_flags,
)
from auction.cli.stocking import Stocking, stocking
from auction.cli.stopping import Stopping
from auction.cli.waiting import wait_for_stores
from auction.cli.worker import run_worker
from auction.counted import counted
from auction.counters.embedded import EmbeddedValkey
from auction.errors import OperatorError
from auction.sealers import sealer_of
from auction.settings import Settings


@click.command(cls=WithVariables)
@click.option(
    "--config",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Catalogue file to apply at start; may be given several times.",
)
@setting("host", "ADDRESS")
@setting("port", "NUMBER")
@setting("workers", "NUMBER")
@store_flags
@setting("redis_url", "URL")
@setting("log_level", "LEVEL")
def serve(files: tuple[Path, ...], **flags: object) -> None:
    """Run the exchange until it is told to stop.

    With no catalogue stored and no --config it trades on the demo market. One line on standard output says where
    it listens once pings can be served; logs go to standard error. SIGTERM and Ctrl-C stop it when
    what was taken in is finished; asked twice, it stops at once.
    """
    settings = settings_of(**flags)
    with contextlib.ExitStack() as stores:
        with stocking() as child:
            if files:
                child.read(files)
            log.set_up(settings.log_level)
            stopping = Stopping()
            make_data_dir(settings.data_dir)
            wait_for_stores(settings, stopping.end_if_asked)
            listening = stores.enter_context(_listening(settings))
            redis_url = stores.enter_context(_counters(settings))
            stopping.end_if_asked()
            settings = _stocked(child, settings)
        stopping.end_if_asked()
        sealer_of(settings)  # made once, before workers look for it
        forget_metrics(settings.data_dir)
        ready = partial(_announce, settings, listening, embedded=settings.redis_url is None)
        if settings.workers == 1:
            run_worker(settings, redis_url, listening, ready=ready, told=stopping.asked)
        else:
            sys.exit(run_crew(settings, redis_url, listening, ready=ready, told=stopping.asked))


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket to listen on, its address ours. Raises `OperatorError` where it can't be had.

    The first worker that is ready makes it listen: until then a client is refused, and not let in to wait for somebody
    who is still starting.
    """
    host, port = settings.host, settings.port
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listening.family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
    except OSError as error:
        known = not isinstance(error, socket.gaierror) and error.errno is not None
        listening.close()
        reason = os.strerror(error.errno) if known and error.errno else str(error.strerror)
        raise OperatorError(
            "cannot_listen",
            f"cannot listen on {_shown(host)}:{port}: {reason}; give another --host or --port",
        ) from None
    with listening:
        yield listening


@contextlib.contextmanager
def _counters(settings: Settings) -> Iterator[str]:
    """The counters' URL: the one that was set, or an embedded Valkey that ends with us."""
    if settings.redis_url is not None:
        yield settings.redis_url
        return
    valkey = EmbeddedValkey(settings.data_dir)
    valkey.start()
    valkey.keep_running()
    try:
        yield valkey.url
    finally:
        valkey.stop()


def _stocked(child: Stocking, settings: Settings) -> Settings:
    """Stores the catalogue named on the command line, or the demo market where there is none at all.

    The demo's buyers are on this machine: whoever trades on it means to reach them.
    """
    stocked = child.store(settings)
    if stocked.version is not None:
        log.event("catalogue", version=stocked.version, changes=stocked.changes)
    if not stocked.on_demo:
        return settings
    log.warning("demo_market", detail="its keys are known to all; name a market of your own by --config")
    return replace(settings, allow_private_buyers=True)


def _announce(settings: Settings, listening: socket.socket, *, embedded: bool) -> None:
    """One line on standard output: where we listen, and on which stores."""
    host, port = listening.getsockname()[:2]
    count = counted(settings.workers, "worker")
    counters = "embedded Valkey" if embedded else "own Redis"
    ledger = "PostgreSQL" if settings.ledger_url.startswith("postgres") else "SQLite"
    click.echo(f"auction listens on http://{_shown(host)}:{port} ({count}, {counters}, {ledger})")
    sys.stdout.flush()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
