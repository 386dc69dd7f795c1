"""`auction serve`: the stores once, then one worker in this process, or several as children (`crew`).

This process owns what there may be only one of: the listening socket, the embedded Valkey with the lock on the
data folder, the catalogue files named on the command line. The lock comes before anything that is
stored: a second `serve` on a folder must not change what the first one trades on.
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
from auction.api.front import BACKLOG
from auction.api.metrics import forget_metrics
from auction.applying import apply_catalogue, read_files, stored_catalogue
from auction.catalogue.changes import diff
from auction.cli.crew import run_crew
from auction.cli.options import (
    WithVariables,
    make_data_dir,
    open_ledger,
    setting,
    settings_of,
    store_flags,
)
from auction.cli.stopping import Stopping
from auction.cli.worker import run_worker
from auction.clock import SystemClock
from auction.counters.embedded import EmbeddedValkey
from auction.errors import OperatorError
from auction.exchange import sealer_of
from auction.market.model import Catalogue
from auction.settings import Settings

DEMO_MARKET = Path(__file__).parents[2] / "config" / "demo.yaml"


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
    named = read_files(files) if files else None
    log.set_up(settings.log_level)
    stopping = Stopping()
    make_data_dir(settings.data_dir)
    with _listening(settings) as listening, _counters(settings) as redis_url:
        stopping.end_if_asked()
        settings = _with_catalogue(settings, named)
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
    """The listening socket. Raises `OperatorError` where it can't be had."""
    host, port = settings.host, settings.port
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        known = not isinstance(error, socket.gaierror) and error.errno is not None
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
    try:
        yield valkey.url
    finally:
        valkey.stop()


def _with_catalogue(settings: Settings, named: Catalogue | None) -> Settings:
    """Stores the catalogue named on the command line, or the demo market where there is none at all.

    The demo's buyers are on this machine: whoever trades on it means to reach them.
    """
    demo = read_files([DEMO_MARKET]) if DEMO_MARKET.exists() else None
    with open_ledger(settings, make=True) as engine:
        with engine.connect() as conn:
            version, stored, _ = stored_catalogue(conn)
        wanted = named or (stored if version else demo)
        if wanted is None:
            raise OperatorError("no_catalogue", "no catalogue is stored: name its files by --config")
        if wanted is not stored:
            now_ms = SystemClock(settings.clock_offset_ms).now_ms()
            applied = apply_catalogue(engine, wanted, now_ms, "serve")
            log.event("catalogue", version=applied.version, changes=applied.changes.lines()[-1])
    on_demo = named is None and demo is not None and diff(wanted, demo).empty
    return replace(settings, allow_private_buyers=True) if on_demo else settings


def _announce(settings: Settings, listening: socket.socket, *, embedded: bool) -> None:
    """One line on standard output: where we listen, and on which stores."""
    host, port = listening.getsockname()[:2]
    count = "1 worker" if settings.workers == 1 else f"{settings.workers} workers"
    counters = "embedded Valkey" if embedded else "own Redis"
    ledger = "PostgreSQL" if settings.ledger_url.startswith("postgres") else "SQLite"
    click.echo(f"auction listens on http://{_shown(host)}:{port} ({count}, {counters}, {ledger})")
    sys.stdout.flush()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
