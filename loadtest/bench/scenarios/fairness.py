"""One caller sends far more than the server can do, a seller a tenth of that: what becomes of the seller's pings.

The flood comes from a process of its own. It is one of three: of another seller's pings, of pings with a wrong key, and
of another seller's posts that name no ping, which go ahead of pings.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.synchronize import Event

from loadtest.bench import book
from loadtest.bench.contenders import SERVER
from loadtest.bench.figures import Figure
from loadtest.bench.generator import Load, LoadError
from loadtest.bench.requests import numbered
from loadtest.bench.stage import MAIN, Stage
from loadtest.bench.taken import NEVER, Taken, percentile

MODEST = 0.1
WARM_S = 1.5
WITHIN_S = 20.0
FLOODS = {
    "pings": ("/ping", book.KEY, 2.0),
    "wrong_keys": ("/ping", "a-wrong-key", 8.0),
    "leads": ("/post", book.KEY, 6.0),
}
"""Path, key, and times the capacity for pings: what ends with its key, or as a post of no ping, costs a fraction."""
BESIDE = {
    "alone": "a tenth of capacity",
    "pings": "beside twice capacity of another seller",
    "wrong_keys": "beside eight times, of wrong keys",
    "leads": "beside six times, of posts without a ping",
}
FIRST = 1_000_000_000
"""Where the numbers of a flood begin: no ping of it may be a repeat of one that was sent before it."""


def run(stage: Stage) -> list[Figure]:
    """What share of the modest seller's pings had its offer in time, and when; alone first, then beside each flood."""
    ours, rate = stage.ours, stage.capacity()
    pings = ours.pings(MAIN.campaign, MAIN.buyers, key=book.OTHER_KEY)
    load = Load(ours.port, pings, expected=ours.expected(MAIN.buyers), watch=stage.watched(ours))
    figures = of_one("alone", load.at_rate(rate * MODEST, stage.pace.spell_s, WARM_S))
    for name, (path, key, times) in FLOODS.items():
        seconds = WARM_S + stage.pace.spell_s + 0.5
        with _flood(ours.port, path, key, rate * times, seconds):
            figures += of_one(name, load.at_rate(rate * MODEST, stage.pace.spell_s, WARM_S))
    return figures


def of_one(name: str, taken: Taken) -> list[Figure]:
    """The figures of the modest seller beside one flood."""
    served, sent = taken.right_us, max(1, taken.answered + taken.wrong[NEVER])
    in_time = sum(took <= book.TMAX_MS * 1000 for took in served)
    note = f"{sent} pings, server {taken.busy(SERVER):.0%} busy"
    told = f"{note}; {taken.wrong_told}" if taken.wrong else note
    rows = (
        ("in_time", f"{BESIDE[name]}: offers within tmax", 100 * in_time / sent, "%", told),
        ("p50", "  an offer came after, p50", percentile(served, 50) / 1000, "ms", ""),
        ("p99", "  the same, p99", percentile(served, 99) / 1000, "ms", ""),
    )
    return [
        Figure(f"fairness.{name}_{key}", text, value, unit, more) for key, text, value, unit, more in rows
    ]


@contextmanager
def _flood(port: int, path: str, key: str, per_second: float, seconds: float) -> Iterator[None]:
    """Has begun before the block, and lasts as long as it should take. Raises `LoadError`."""
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=_send, args=(begun, port, path, key, per_second, seconds), daemon=True)
    process.start()
    try:
        if not begun.wait(WITHIN_S):
            raise LoadError("the flood did not begin")
        yield
        process.join(seconds + WITHIN_S)
    finally:
        process.kill()
        process.join()
    if process.exitcode:
        raise LoadError(f"the flood of {path} broke")


def _send(begun: Event, port: int, path: str, key: str, per_second: float, seconds: float) -> None:
    requests = numbered(path, {"Authorization": f"Bearer {key}"}, book.pings(MAIN.campaign), count(FIRST))
    begun.set()
    Load(port, requests, expected=b"", watch={}).at_rate(per_second, seconds, 0.0)
