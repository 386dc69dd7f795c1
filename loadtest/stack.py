"""The demo's stack on free ports: mock buyers, and an exchange that trades with them in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from auction.catalogue.reading import write_catalogue
from auction.changes.applying import read_files
from auction.market.model import Buyer, Cap, Catalogue
from loadtest.processes import Process

ROOT = Path(__file__).parent.parent
DEMO_MARKET = ROOT / "config" / "demo.yaml"
DEMO_BUYERS = ROOT / "config" / "demo-buyers.yaml"
STOP_WITHIN_S = 40.0


class Stack(msgspec.Struct, frozen=True):
    """A running exchange and its buyers. `config` is the catalogue file that it was started with.

    Of the process ids, the exchange's is the one that started its others: workers, and the embedded Valkey.
    """

    url: str
    mock_url: str
    config: Path
    data_dir: Path
    catalogue: Catalogue
    exchange_pid: int
    mock_pid: int


@contextmanager
def running_stack(
    folder: Path,
    *,
    config: Path = DEMO_MARKET,
    buyers: Path = DEMO_BUYERS,
    workers: int = 1,
    seed: int = 7,
    log_entries: int = 0,
    caps_times: int = 1,
) -> Iterator[Stack]:
    """Start both, give the stack once pings can be served, end both. Raises `ProcessError`.

    Every cap is taken `caps_times` as wide: one that is full after a minute would leave a long run nothing to sell.
    """
    python = sys.executable
    mock = [python, "-m", "buyers_mock", str(buyers), "--port", "0"]
    mock += ["--seed", str(seed), "--log-entries", str(log_entries)]
    with Process(mock, folder / "mock.log", cwd=ROOT) as playing:
        mock_url = playing.wait_for_line(r"listens on (http://\S+)")[1]
        catalogue = widened(moved(read_files([config]), mock_url), caps_times)
        copy = folder / "catalogue.yaml"
        copy.write_text(write_catalogue(catalogue), encoding="utf-8")
        data_dir = folder / "data"
        serve = [python, "-m", "auction", "serve", "--config", str(copy), "--port", "0"]
        serve += ["--workers", str(workers), "--data-dir", str(data_dir), "--log-level", "warning"]
        private = {"AUCTION_ALLOW_PRIVATE_BUYERS": "1"}
        log = folder / "serve.log"
        with Process(serve, log, cwd=ROOT, environ=private, end_within_s=STOP_WITHIN_S) as serving:
            url = serving.wait_for_line(r"listens on (http://\S+)")[1]
            serving.wait_for_url(f"{url}/readyz")
            yield Stack(url, mock_url, copy, data_dir, catalogue, serving.pid, playing.pid)


def moved(catalogue: Catalogue, mock_url: str) -> Catalogue:
    """`catalogue` with every buyer of this machine at `mock_url`, on the paths it had."""
    buyers = tuple(_moved(buyer, mock_url) for buyer in catalogue.buyers)
    return msgspec.structs.replace(catalogue, buyers=buyers)


def _moved(buyer: Buyer, mock_url: str) -> Buyer:
    def move(url: str | None) -> str | None:
        parts = urlsplit(url or "")
        return mock_url + parts.path if parts.hostname in ("127.0.0.1", "localhost") else url

    return msgspec.structs.replace(buyer, ping_url=move(buyer.ping_url), post_url=move(buyer.post_url))


def widened(catalogue: Catalogue, times: int) -> Catalogue:
    """`catalogue` with every cap `times` as wide: still looked at, held and counted, and never full."""
    replace = msgspec.structs.replace
    buyers = tuple(replace(buyer, caps=_widened(buyer.caps, times)) for buyer in catalogue.buyers)
    orders = tuple(replace(order, caps=_widened(order.caps, times)) for order in catalogue.orders)
    return replace(catalogue, buyers=buyers, orders=orders)


def _widened(caps: tuple[Cap, ...], times: int) -> tuple[Cap, ...]:
    def widen(cap: Cap) -> Cap:
        limits = {name: getattr(cap, name) for name in ("leads", "spend_micros", "pings")}
        wide = {name: type(limit)(limit * times) for name, limit in limits.items() if limit is not None}
        return msgspec.structs.replace(cap, **wide)

    return tuple(map(widen, caps))
