"""`auction serve`: the stores once, then one worker in this process, or several as children.

The parent owns what there may be only one of: the embedded Valkey, the listening socket, the catalogue files named on
the command line. A worker that dies is started again; the parent ends when it is told to, and only
after its workers have.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import uvicorn
import uvloop
from msgspec.structs import replace

from auction import log
from auction.api.app import App
from auction.api.metrics import forget_metrics
from auction.applying import apply_catalogue, read_files, stored_catalogue
from auction.catalogue.changes import diff
from auction.cli.options import ledger_of, settings_of, store_flags
from auction.clock import SystemClock
from auction.counters.embedded import EmbeddedValkey
from auction.errors import OperatorError
from auction.exchange import Exchange, sealer_of
from auction.ledger.engine import transaction
from auction.settings import Settings

BACKLOG = 2_048
RESTART_AFTER_S = 0.5
DEMO_MARKET = Path(__file__).parents[2] / "config" / "demo.yaml"


@click.command()
@click.option(
    "--config",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Catalogue file to apply at start.",
)
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=int, help="Port to listen on; 0 chooses a free one [8080].")
@click.option("--workers", type=int, help="Worker processes [1].")
@click.option("--redis-url", help="Any Redis 7 or Valkey, instead of the embedded one.")
@click.option("--log-level", help="debug, info, warning or error [info].")
@store_flags
def serve(files: tuple[Path, ...], **flags: object) -> None:
    """Run the exchange. With no catalogue stored and no --config it trades on the demo market."""
    settings = settings_of(**flags)
    log.set_up(settings.log_level)
    settings = _with_catalogue(settings, files)
    sealer_of(settings)  # made once, before workers look for it
    forget_metrics(settings.data_dir)
    listening = _listen(settings)
    with _counters(settings) as redis_url:
        _announce(settings, listening)
        if settings.workers == 1:
            run_worker(settings, redis_url, listening)
        else:
            sys.exit(_Crew(settings, redis_url, listening).run())


@click.command(hidden=True)
@click.option("--fd", type=int, required=True)
def worker(fd: int) -> None:
    """One worker of a crew: its settings come from the environment that the parent gave it."""
    settings = settings_of()
    log.set_up(settings.log_level)
    assert settings.redis_url is not None, "the parent says where the counters are"
    run_worker(settings, settings.redis_url, socket.socket(fileno=fd))


def run_worker(settings: Settings, redis_url: str, listening: socket.socket) -> None:
    """Serve in this process until it is told to stop; what was taken in is finished first."""

    async def run() -> None:
        exchange = Exchange(settings)
        try:
            await exchange.open(redis_url)
            gc.collect()
            gc.freeze()  # the market lives long: no collection need look at it again
            app = App(exchange)
            app.metrics.start()
            await _server(settings, app).serve(sockets=[listening])
            await app.metrics.stop()
        finally:
            await exchange.close()

    uvloop.run(run())


def _server(settings: Settings, app: App) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=settings.stop_within_ms // 1000,
        )
    )


class _Crew:
    """The workers of one house. Signals are passed on; a worker that dies unasked is started again."""

    def __init__(self, settings: Settings, redis_url: str, listening: socket.socket) -> None:
        self._settings = settings
        self._listening = listening
        self._environ = os.environ | {
            f"AUCTION_{name.upper()}": str(int(value) if isinstance(value, bool) else value)
            for name in settings.__struct_fields__
            if (value := getattr(settings, name)) is not None
        }
        self._environ["AUCTION_REDIS_URL"] = redis_url
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stopping = False

    def run(self) -> int:
        """Until told to stop. Exit code 0 if every worker ended well."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._workers = [self._start() for _ in range(self._settings.workers)]
        while not self._stopping:
            time.sleep(0.1)
            for place, one in enumerate(self._workers):
                if one.poll() is not None and not self._stopping:
                    log.warning("worker_died", pid=one.pid, code=one.returncode)
                    time.sleep(RESTART_AFTER_S)
                    self._workers[place] = self._start()
        return self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        fd = self._listening.fileno()
        return subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, "-m", "auction", "worker", "--fd", str(fd)],
            env=self._environ,
            pass_fds=[fd],
            start_new_session=True,  # a Ctrl-C reaches the workers through us, once
        )

    def _stop(self, number: int, frame: object) -> None:
        if self._stopping:  # asked twice: do not wait for what was taken in
            for one in self._workers:
                one.kill()
        self._stopping = True

    def _end(self) -> int:
        for one in self._workers:
            with contextlib.suppress(ProcessLookupError):
                one.terminate()
        give_up_s = time.monotonic() + self._settings.stop_within_ms / 1000 + 5
        codes = []
        for one in self._workers:
            try:
                codes.append(one.wait(max(0.1, give_up_s - time.monotonic())))
            except subprocess.TimeoutExpired:
                one.kill()
                codes.append(one.wait())
        return 0 if all(code == 0 for code in codes) else 1


def _with_catalogue(settings: Settings, files: tuple[Path, ...]) -> Settings:
    """Stores the catalogue named on the command line, or the demo market where there is none at all.

    The demo's buyers are on this machine: whoever trades on it means to reach them.
    """
    engine = ledger_of(settings)
    try:
        with transaction(engine) as conn:
            version, stored, _ = stored_catalogue(conn)
        if files or not version:
            now_ms = SystemClock(settings.clock_offset_ms).now_ms()
            applied = apply_catalogue(engine, read_files(files or (DEMO_MARKET,)), now_ms, "serve")
            for line in applied.changes.lines():
                log.event("catalogue", change=line, version=applied.version)
        if files or not DEMO_MARKET.exists():
            return settings
        if version and not diff(stored, read_files([DEMO_MARKET])).empty:
            return settings
        return replace(settings, allow_private_buyers=True)
    finally:
        engine.dispose()


def _listen(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise OperatorError(
            "cannot_listen", f"cannot listen on {where}: {error}; give --host or --port"
        ) from None
    listening.set_inheritable(True)
    return listening


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


def _announce(settings: Settings, listening: socket.socket) -> None:
    """One line on standard output: where we listen, and on which stores."""
    host, port = listening.getsockname()[:2]
    counters = "own Redis" if settings.redis_url else "embedded Valkey"
    ledger = "PostgreSQL" if settings.ledger_url.startswith("postgres") else "SQLite"
    shown = f"[{host}]" if ":" in host else host
    click.echo(
        f"auction listens on http://{shown}:{port} ({settings.workers} worker(s), {counters}, {ledger})"
    )
    sys.stdout.flush()
