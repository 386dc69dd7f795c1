"""A buyer frozen, resetting, dripping, silent: the ping keeps its deadline, and a post says what is known.

The buyers are on real sockets behind a proxy; what a fault does to bidding is one thing, what it does to a lead
that is being sold another: there an answer that nobody heard is never taken for a no.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from buyers_mock.script import read_script
from buyers_mock.server import listening
from tests.faults.killer import Own
from tests.faults.proxy import (
    CloseAtOnce,
    Cut,
    Drip,
    Fault,
    Garbage,
    HalfClose,
    NeverAnswer,
    Oversize,
    Partition,
    Proxy,
    Refuse,
    Reset,
    proxied,
)
from tests.house import House, open_house
from tests.servers import running_buyers

TMAX_MS = 500
POST_TIMEOUT_MS = 400
BUYERS_MS = 30_000
"""What buyers have where neither a ping's deadline nor a post's own bound is kept."""
HANGS_S = 10.0
"""The promise is 5 ms beyond the deadline; this is about hanging, on a busy machine."""
ORDERS = [{"id": "far", "buyer": "far-co"}, {"id": "near", "buyer": "near-co"}]


class Away:
    """A house with two buyers: `far` bids more and is behind the proxy, `near` is always well."""

    def __init__(self, house: House, link: Proxy) -> None:
        self.house = house
        self.link = link

    async def ping(self, tag: str) -> dict[str, Any]:
        """Answered by its deadline."""
        began_s = perf_counter()
        answer = await self.house.ping(sub_id=tag, tmax=TMAX_MS)
        assert perf_counter() - began_s < HANGS_S
        return answer

    async def sell(self, offer: dict[str, Any]) -> dict[str, Any]:
        """Answered within the buyer's own bound, and what the next buyer takes."""
        began_s = perf_counter()
        answer = await self.house.sell(offer["ping_id"])
        assert perf_counter() - began_s < HANGS_S
        return answer


@pytest.fixture
async def away(tmp_path: Path, emptied_valkey: str, sqlite_ledger: str) -> AsyncIterator[Away]:
    async with _away(tmp_path, emptied_valkey, sqlite_ledger) as away:
        yield away


@asynccontextmanager
async def _away(folder: Path, redis_url: str, ledger_url: str) -> AsyncIterator[Away]:
    script = read_script("buyers: {far-co: {bid: {price: 30}}}")
    async with listening(script) as far, proxied(int(far.url.rpartition(":")[2])) as link:
        at = f"http://127.0.0.1:{link.port}/far-co"
        buyers = {
            "far-co": {
                "ping_url": f"{at}/ping",
                "post_url": f"{at}/post",
                "timeout_ms": BUYERS_MS,
                "post_timeout_ms": POST_TIMEOUT_MS,
            }
        }
        manners = {"near-co": {"bid": {"price": 20}}}
        async with open_house(folder, redis_url, ledger_url, ORDERS, manners, buyers=buyers) as house:
            yield Away(house, link)
            assert house.app.bugs == 0


BROKEN: list[Fault] = [
    Partition(),
    Reset(),
    Drip(size=1, every_ms=50),
    HalfClose(),
    Cut(20),
    Garbage(),
    Oversize(),
    CloseAtOnce(),
    NeverAnswer(),
    Refuse(),
]
ENTRY = (CloseAtOnce, NeverAnswer, Refuse)


async def spoil(link: Proxy, fault: Fault) -> None:
    """On the answers; and no connection of before is left to go round it."""
    await link.put(fault, *(() if isinstance(fault, ENTRY) else ("down",)))
    if isinstance(fault, ENTRY):
        link.reset_all()


def named(fault: Fault) -> str:
    return type(fault).__name__


@pytest.mark.parametrize("fault", BROKEN, ids=named)
async def test_a_ping_is_answered_by_its_deadline_and_without_the_buyer(away: Away, fault: Fault) -> None:
    assert (await away.ping("well"))["payout"] == 30
    await spoil(away.link, fault)
    for number in range(3):
        answer = await away.ping(f"spoiled-{number}")
        # its answer came whole: what follows it is not waited for
        well = isinstance(fault, HalfClose | Oversize)
        assert answer["payout"] in ((30, 20) if well else (20,))
    await away.link.heal()
    await until(lambda number: away.ping(f"healed-{number}"), lambda answer: answer["payout"] == 30)


@pytest.mark.parametrize("fault", BROKEN, ids=named)
async def test_a_lead_whose_buyer_was_not_heard_is_sold_to_nobody_else(away: Away, fault: Fault) -> None:
    """Where nothing left the house, or the answer came whole, the lead is sold; else it is pending: nobody knows."""
    offer = await away.ping("well")
    assert offer["payout"] == 30
    await spoil(away.link, fault)
    answer = await away.sell(offer)
    if isinstance(fault, Refuse):
        assert (answer["status"], answer["buyers"]) == ("sold", ["near-co"]), "nothing was sent"
    elif isinstance(fault, HalfClose | Oversize) and answer["status"] == "sold":
        assert answer["buyers"] == ["far-co"]
    else:
        assert answer["status"] == "pending"
        assert await away.house.seen("near-co", "post") == []
    await away.link.heal()
    assert await away.sell(offer) == answer


async def until(ask: Callable[[int], Any], holds: Callable[[Any], bool]) -> None:
    """Asks until the answer is so."""
    async with asyncio.timeout(20):
        number = 0
        while not holds(await ask(number)):
            number += 1
            await asyncio.sleep(0.05)


async def test_buyers_that_are_frozen(tmp_path: Path, emptied_valkey: str, sqlite_ledger: str) -> None:
    """The process itself stands still: the system goes on taking connections for it."""
    own = Own()
    with running_buyers(tmp_path, {"far-co": {"bid": {"price": 30}}}) as mock_url:
        buyers = {
            "far-co": {
                "ping_url": f"{mock_url}/far-co/ping",
                "post_url": f"{mock_url}/far-co/post",
                "timeout_ms": BUYERS_MS,
                "post_timeout_ms": POST_TIMEOUT_MS,
            }
        }
        manners = {"near-co": {"bid": {"price": 20}}}
        async with open_house(
            tmp_path, emptied_valkey, sqlite_ledger, ORDERS, manners, buyers=buyers
        ) as house:
            away = Away(house, None)  # type: ignore[arg-type]
            offer = await away.ping("well")
            [mock] = [one for one in own.look() if "buyers_mock" in one.cmdline()]
            async with own.frozen([mock]):
                assert (await away.ping("frozen"))["payout"] == 20
                assert (await away.sell(offer))["status"] == "pending"
            await until(lambda number: away.ping(f"thawed-{number}"), lambda answer: answer["payout"] == 30)
