"""`/metrics`: what all workers of this house have counted, in Prometheus' text format.

A scrape reaches one worker, so each of several leaves what it knows in a small file of the data folder once a
second, and the one that is asked adds them up. The file of a worker that died stays until the house starts again:
its counters go on counting, so no sum ever falls; its gauges do not.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auction import log
from auction.api.wire import headers_of, key_of
from auction.errors import SellerError
from auction.exchange import Exchange
from auction.measures import families_of
from auction.process import is_alive
from auction.tally import Buckets, Family, Labels, added_up, plain_counter

LEAVE_EVERY_S = 1.0
MOST_FILES = 1_024
UNREADABLE = "Other workers' counts that could not be read, and are not in the sums"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Family]).decode


class MetricsDoor:
    """`GET /metrics`, and the file that this worker leaves for the others."""

    def __init__(self, exchange: Exchange, of_doors: Callable[[], list[Family]] = list) -> None:
        """`of_doors` tells what the HTTP side has counted."""
        self._exchange = exchange
        self._of_doors = of_doors
        self._folder = metrics_folder(exchange.settings.data_dir)
        self._mine = self._folder / f"{os.getpid()}.metrics"
        self._writing = threading.Lock()
        self._leaving: asyncio.Task[None] | None = None
        self.unreadable = 0

    def routes(self) -> list[Route]:
        """Where it is to be found."""
        return [Route("/metrics", self.metrics, methods=["GET"])]

    async def metrics(self, request: Request) -> Response:
        """All workers' counts together. Raises `SellerError` 401 where there is a key for them, and it was not sent."""
        wanted = self._exchange.settings.metrics_key
        if wanted is not None:
            given = key_of(headers_of(request.scope)) or ""
            if not hmac.compare_digest(given.encode("latin-1"), wanted.encode()):
                raise SellerError(
                    401, "unknown_key", "Send the key of /metrics as Authorization: Bearer KEY."
                )
        families = added_up([*self._known(), *self._others()])
        return Response(to_text(families), headers={"content-type": CONTENT_TYPE})

    def start(self) -> None:
        """Leave what is known, once a second, until `stop`. A worker that is alone has nobody to leave it for."""
        if self._exchange.settings.workers == 1:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._leaving = asyncio.create_task(self._leave_always(), name="metrics")

    async def stop(self) -> None:
        """Leave it a last time."""
        if self._leaving is not None:
            self._leaving.cancel()
            await asyncio.wait([self._leaving])
            self._leave(_encode(self._known()))

    async def _leave_always(self) -> None:
        while True:
            # in a thread: to replace a file waits for the disk, and auctions would wait with it
            await asyncio.to_thread(self._leave, _encode(self._known()))
            await asyncio.sleep(LEAVE_EVERY_S)

    def _known(self) -> list[Family]:
        unreadable = plain_counter("auction_metrics_unreadable", UNREADABLE, self.unreadable)
        return [*families_of(self._exchange), *self._of_doors(), unreadable]

    def _leave(self, told: bytes) -> None:
        fresh = self._mine.with_suffix(".new")
        try:
            with self._writing:  # at the stop one may still be under way in its thread
                fresh.write_bytes(told)
                fresh.replace(self._mine)
        except OSError as error:
            log.warning("metrics_not_left", error=str(error))

    def _others(self) -> Iterator[Family]:
        for path in sorted(self._folder.glob("*.metrics"))[:MOST_FILES]:
            if path == self._mine:
                continue
            try:
                families = _decode(path.read_bytes())
            except (OSError, msgspec.MsgspecError):
                self.unreadable += 1
                continue
            alive = is_alive(int(path.stem))
            yield from (family for family in families if alive or family.kind != "gauge")


def metrics_folder(data_dir: Path) -> Path:
    """Where the workers of a house leave what they counted."""
    return data_dir / "metrics"


def forget_metrics(data_dir: Path) -> None:
    """At the start of a house: what an earlier one counted is over."""
    for path in metrics_folder(data_dir).glob("*.metrics"):
        path.unlink(missing_ok=True)


def to_text(families: Iterable[Family]) -> bytes:
    """Prometheus' text of these families."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(families)))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        for family in self._families:
            if family.kind == "histogram":
                yield _histogram(family)
            elif family.kind == "counter":
                counter = CounterMetricFamily(family.name, family.help, labels=family.label_names)
                for labels, value in family.values:
                    counter.add_metric(labels, value)
                yield counter
            else:
                gauge = GaugeMetricFamily(family.name, family.help, labels=family.label_names)
                for labels, value in family.values:
                    gauge.add_metric(labels, value)
                yield gauge


def _histogram(family: Family) -> HistogramMetricFamily:
    shown = HistogramMetricFamily(family.name, family.help, labels=family.label_names)
    for labels, buckets in family.buckets:
        _add_buckets(shown, labels, buckets)
    return shown


def _add_buckets(shown: HistogramMetricFamily, labels: Labels, buckets: Buckets) -> None:
    below, told = 0, []
    for bound, count in zip((*map(repr, buckets.bounds_s), "+Inf"), buckets.counts, strict=True):
        below += count
        told.append((bound, float(below)))
    shown.add_metric(labels, told, buckets.total_s)
