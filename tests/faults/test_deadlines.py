"""Where the time of a ping goes when a store is slow (P6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from tests.house import House

Open = Callable[..., Awaitable[House]]
SLOW_S = 1.5


def order(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "buyer": f"{name}-co", **more}


async def test_the_time_to_lease_pings_is_taken_off_the_buyers(open_sqlite_house: Open) -> None:
    """The buyers have what is left of the deadline when they are asked, not what was left before."""
    manners = {"a-co": {"bid": {"price": 30}, "faults": {"hang": 1.0}}}
    house = await open_sqlite_house([order("a", caps=[{"pings": 50, "per": "hour"}])], manners)
    allowances: Any = house.exchange.pings._asking._allowances
    spend = allowances.spend

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(SLOW_S)
        return await spend(*arguments)

    allowances.spend = slowly
    began_s = perf_counter()
    answer = await house.ping(tmax=1_800)
    took_s = perf_counter() - began_s
    assert (answer["status"], answer["reason"]) == ("no_bid", "timeout")
    assert took_s < 1.8 + SLOW_S - 0.2, "not the deadline and the lease"
