"""What the pings of a worker add up to, and what of it counts against a buyer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from auction.buyers.health import Health
from auction.market.reasons import Reason
from auction.ping.auction import Outcome
from auction.ping.journal import STAGES
from auction.ping.tally import PingTally
from tests.house import House

TIMES = 40


def noted(reason: Reason, waited_ms: int, *, hurried: bool, own_ms: int = 300) -> PingTally:
    """After so many pings of which a buyer with a time of its own made this."""
    order = SimpleNamespace(buyer_id="b", live=True, buyer=SimpleNamespace(timeout_ms=own_ms))
    trace: Any = SimpleNamespace(
        campaign="solar",
        buyers_us=0,
        saved_ms=0.0,
        laps_us=[0] * len(STAGES),
        left_out=(),
        asked=[order],
        outcomes=[Outcome("o", 0, reason, elapsed_us=waited_ms * 1000)],
        adaptive=False,
        hurried=hurried,
    )
    tally = PingTally(Health())
    for _ in range(TIMES):
        tally.note(trace, "timeout", 0)
    return tally


@pytest.mark.parametrize(
    ("reason", "waited_ms", "hurried", "sick"),
    [
        (Reason.TIMEOUT, 9, True, False),
        (Reason.TIMEOUT, 149, True, False),
        (Reason.TIMEOUT, 150, True, True),  # half of its own time
        (Reason.TIMEOUT, 9, False, True),  # all that the campaign gives
        (Reason.CONNECT_FAILED, 9, True, True),
        (Reason.BAD_ANSWER, 9, True, True),
        (Reason.NO_BID, 9, True, False),
    ],
)
def test_a_seller_that_gives_no_time_makes_no_buyer_sick(
    reason: Reason, waited_ms: int, hurried: bool, sick: bool
) -> None:
    tally = noted(reason, waited_ms, hurried=hurried)
    assert bool(tally._health.sick) == sick
    assert tally.orders["b", reason] == TIMES, "it is counted all the same"


async def test_of_a_hurried_ping_no_times_are_learned(
    open_sqlite_house: Callable[..., Awaitable[House]],
) -> None:
    """Half of the campaign's time is not hurried; less is."""
    auction = {"patience": "adaptive", "tmax_ms": 60_000}
    house = await open_sqlite_house(
        [{"id": "a", "buyer": "a-co"}], {"a-co": {"bid": {"share_no_bid": 1.0}}}, auction=auction
    )
    assert (await house.ping(tmax=20_000))["reason"] == "no_bid"
    assert house.exchange.health.buyers == {}
    assert (await house.ping(tmax=40_000))["reason"] == "no_bid"
    assert house.exchange.health.buyers["a-co"].answers == 1
