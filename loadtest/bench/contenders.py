"""Who is measured: our whole server, and bare fan-outs that do nothing else, all on the same core in turns."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from auction.market.model import Catalogue
from loadtest.bench import book, building
from loadtest.bench.book import Ports
from loadtest.bench.machine import Cores, bound_to, child_named, move
from loadtest.bench.requests import numbered
from loadtest.processes import Process
from loadtest.stack import ROOT

OURS, GO, AIOHTTP, FLOOR = "ours", "go", "aiohttp", "floor"
SERVER, VALKEY = "server", "valkey"
STARTS_WITHIN_S = 60.0
STOP_WITHIN_S = 40.0
_LISTENS = r"listens on http://127\.0\.0\.1:(\d+)"


class Contender(msgspec.Struct, frozen=True):
    """A running server. `watch` are its processes by name: `server`, and ours has a `valkey` besides."""

    name: str
    port: int
    watch: dict[str, int]

    def pings(
        self,
        campaign: str,
        buyers: int,
        *,
        tls: bool = False,
        tmax_ms: int = book.TMAX_MS,
        key: str = book.KEY,
    ) -> Iterator[bytes]:
        """Requests for one ping each: of `campaign` for us, to as many buyers for the others; the same body."""
        if self.name == OURS:
            path, headers = "/ping", {"Authorization": f"Bearer {key}"}
        else:
            path, headers = f"/tls/{buyers}" if tls else f"/{buyers}", {}
        return numbered(path, headers, book.pings(campaign, tmax_ms))

    def expected(self, buyers: int) -> bytes:
        """What is in every right answer: an offer; or that all buyers have answered."""
        return b'"status":"offer"' if self.name == OURS else b'"answers":%d}' % buyers


@contextmanager
def ours(folder: Path, catalogue: Catalogue, cores: Cores, name: str = OURS) -> Iterator[Contender]:
    """The exchange as users run it: one worker, the embedded Valkey, SQLite. Raises `ProcessError`."""
    config = folder / f"{name}.yaml"
    config.write_bytes(book.as_json(catalogue))
    command = [sys.executable, "-m", "auction", "serve", "--config", str(config), "--port", "0"]
    command += ["--data-dir", str(folder / name), "--log-level", "warning"]
    environ = {"AUCTION_ALLOW_PRIVATE_BUYERS": "1"}
    serving = Process(command, folder / f"{name}.log", environ=environ, cwd=ROOT, end_within_s=STOP_WITHIN_S)
    with _on_its_core(serving, cores) as port:
        serving.wait_for_url(f"http://127.0.0.1:{port}/readyz", STARTS_WITHIN_S)
        watch = {SERVER: serving.pid}
        if (valkey := child_named(serving.pid, "valkey")) is not None:
            move(valkey, cores.others)
            watch[VALKEY] = valkey
        yield Contender(OURS, port, watch)


@contextmanager
def reference(name: str, folder: Path, ports: Ports, ca_file: Path, cores: Cores) -> Iterator[Contender]:
    """One of the bare fan-outs. Raises `BuildError`, `ProcessError`."""
    running = Process(_command(name, ports, ca_file), folder / f"{name}.log", cwd=ROOT)
    with _on_its_core(running, cores) as port:
        yield Contender(name, port, {SERVER: running.pid})


def _command(name: str, ports: Ports, ca_file: Path) -> list[str]:
    plain, tls = (",".join(map(str, listed)) for listed in (ports.plain, ports.tls))
    if name == FLOOR:
        return [str(building.floor()), *map(str, ports.plain)]
    if name == GO:
        return [str(building.go_fanout()), "-ca", str(ca_file), plain, tls]
    return [sys.executable, "-m", "loadtest.references.aiohttp_fanout", str(ca_file), plain, tls]


@contextmanager
def _on_its_core(process: Process, cores: Cores) -> Iterator[int]:
    """Runs it there from its first instruction (Go counts its cores once, at the start); gives its port."""
    with ExitStack() as stack:
        with bound_to(cores.server):
            stack.enter_context(process)
        yield int(process.wait_for_line(_LISTENS, STARTS_WITHIN_S)[1])
