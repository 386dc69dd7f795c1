"""Who may be asked: one question to the compiled market, in this process, for a book of 1,000 and of 10,000 orders."""

from __future__ import annotations

import time
from random import Random
from statistics import median

from auction.market.campaigns import CampaignMarket
from auction.market.market import compile_market
from loadtest.bench import book
from loadtest.bench.book import Line
from loadtest.bench.figures import Figure
from loadtest.bench.machine import bound_to
from loadtest.bench.stage import Stage

SIZES = (1_000, 10_000)
MATCHING = 10
_FLOOR_MICROS = 6_250_000
_BATCH = 200


def run(stage: Stage) -> list[Figure]:
    """CPU of one question: the median of batches, all with different leads, in the middle of a day."""
    figures = []
    for size in SIZES:
        catalogue = stage.catalogue([Line("book", size, plain=MATCHING)])
        with bound_to(stage.cores.server):
            cost_us = question_us(compile_market(catalogue, 1).campaigns["book"], stage.pace.spell_s / 4)
        figures.append(
            Figure(f"eligibility.{size}", f"eligibility over {size:,} orders, 10 match", cost_us, "µs")
        )
    return figures


def question_us(campaign: CampaignMarket, seconds: float) -> float:
    """Microseconds of CPU for one `eligible`. Raises `AssertionError` if not ten orders match."""
    rng = Random(11)
    leads = [campaign.decoder.ping(book.lead(rng))[0] for _ in range(book.LEAD_POOL)]
    now_ms = int(time.time() * 1000)
    costs = []
    until_s, at = time.perf_counter() + seconds, 0
    while time.perf_counter() < until_s:
        batch = [leads[(at + each) % len(leads)] for each in range(_BATCH)]
        at += _BATCH
        begun_ns = time.process_time_ns()
        for values in batch:
            found = campaign.eligible(
                values, now_ms, "bench", full=0, unhealthy=0, lowest_price_micros=_FLOOR_MICROS
            )
        costs.append((time.process_time_ns() - begun_ns) / _BATCH / 1000)
        assert found.eligible.bit_count() == MATCHING, "the book does not match as it should"
    return median(costs)
