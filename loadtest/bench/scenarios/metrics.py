"""What counting costs: the share of a ping's CPU that goes into its metrics.

Why not two servers, one that counts and one that does not: what is looked for is a hundredth of a ping, and two
servers on one machine differ by more. So the very calls that a ping makes are timed by themselves, in this process, on
the core where the server runs, with a trace as a ping of the main case leaves it: ten buyers asked, each with its
answer. (`tally` tells the buyers' health as well, which is no metric: it counts here.) What `/metrics` itself costs is
apart: it is asked every few seconds, whatever the load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from statistics import median

from auction.api.traffic import Traffic
from auction.buyers.health import Health
from auction.buyers.protocol import Bid
from auction.market.campaigns import CampaignMarket
from auction.market.market import Market, compile_market
from auction.market.money import Micros
from auction.market.reasons import Reason
from auction.ping.auction import Auction
from auction.ping.journal import STAGES, Trace
from auction.ping.offer import PingRequest
from auction.ping.service import terms_for
from auction.ping.tally import PingTally
from loadtest.bench import book
from loadtest.bench.contenders import SERVER
from loadtest.bench.figures import Figure
from loadtest.bench.machine import bound_to
from loadtest.bench.scenarios.eligibility import MATCHING
from loadtest.bench.stage import CONNECTIONS, MAIN, MAIN_LINE, ORDERS, Stage

BATCH = 500
OWN_US, PRICE = 350, Micros(30_000_000)


def run(stage: Stage) -> list[Figure]:
    """The calls' CPU, over the CPU of the server's own pings in the same run."""
    market = compile_market(stage.catalogue([MAIN_LINE]), 1)
    seconds = stage.pace.spell_s / 5
    with bound_to(stage.cores.server):
        parts = {name: cpu_us(call, seconds) for name, call in calls(trace_of(market)).items()}
    taken = stage.load(stage.ours, MAIN).closed(CONNECTIONS, stage.pace.round_s)
    ping_us, whole_us = taken.cpu_us(SERVER), sum(parts.values())
    note = ", ".join(f"{name} {part_us:.2f}" for name, part_us in parts.items())
    share = whole_us / ping_us * 100
    return [
        Figure("metrics.cpu_us", f"CPU of a ping's metrics, {MATCHING} buyers", whole_us, "µs", f"{note} µs"),
        Figure("metrics.share", "  of the CPU of a ping", share, "%", f"{ping_us:.0f} µs, {ORDERS:,} orders"),
    ]


def calls(trace: Trace) -> dict[str, Callable[[], None]]:
    """All that a ping does to be counted, by name."""
    tally, traffic = PingTally(Health()), Traffic()

    def laps() -> None:
        for stage in range(len(STAGES)):
            trace.lap(stage)

    return {
        "tally": lambda: tally.note(trace, "offer", OWN_US),
        "laps": laps,
        "response": lambda: traffic.answered("/ping", 200),
    }


def trace_of(market: Market) -> Trace:
    """The trace of a ping of the main case, at its end: one order won, the others were outbid."""
    campaign: CampaignMarket = market.campaigns[MAIN.campaign]
    values, mistakes = campaign.decoder.ping(book.lead(Random(5)))
    assert not mistakes
    request, seller = PingRequest(campaign.id, dict(values)), market.sellers["bench"]
    now_ms = int(time.time() * 1000)
    trace = Trace("0" * 32, seller, campaign.id, 1, now_ms, request, values, True, time.perf_counter())
    terms = terms_for(campaign, seller, request)
    found = campaign.eligible(
        values, now_ms, seller.id, full=0, unhealthy=0, lowest_price_micros=terms.lowest_price_micros
    )
    auction = Auction(terms)
    for order in campaign.orders:
        if found.eligible >> order.bit & 1:
            auction.bid(auction.ask(order), [Bid(PRICE, exclusive=True)], 800)
    assert len(auction.asked) == MATCHING, "the book does not match as it should"
    trace.asked, trace.outcomes = auction.asked, auction.outcomes
    for outcome in trace.outcomes:
        outcome.reason = Reason.OUTBID
    trace.won(auction.bids[0])
    return trace


def cpu_us(call: Callable[[], None], seconds: float) -> float:
    """Microseconds of CPU for one call: the median of batches."""
    costs: list[float] = []
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s or not costs:
        begun_ns = time.process_time_ns()
        for _ in range(BATCH):
            call()
        costs.append((time.process_time_ns() - begun_ns) / BATCH / 1000)
    return median(costs)
