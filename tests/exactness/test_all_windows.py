"""Caps of 1, 5 and 50, each in all windows, by leads and by spend, under two workers: met to the last lead (P2).

Buyers turn some leads down, so places go back and forth until the end. `make exact` does it twenty times.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.exactness.views import reconcile
from tests.house import CAMPAIGN, PERSON, SELLER
from tests.servers import Client, client_of, running_buyers, running_server
from tests.stores import PostgresServer

WEDNESDAY_MS = 1_784_117_100_000  # 15 July 2026, 12:05 UTC: no window ends for 55 minutes
CAPS = {"one": (1, 40), "five": (5, 30), "fifty": (50, 20)}
PERIODS = ("hour", "day", "week", "month", "total")
AT_ONCE = 60
ROUNDS = 10
TURNS_DOWN = {"bid": {"price": 1}, "post": {"accept": 0.75}}


def market(mock_url: str, campaigns: list[str]) -> str:
    """In each campaign an order of each cap, and one that takes what they leave. Each has a buyer of its own, so the
    buyer's caps are those of its orders in all campaigns together, and as wide."""
    orders: list[dict[str, Any]] = []
    for campaign in campaigns:
        for name, (limit, price) in CAPS.items():
            caps: list[dict[str, Any]] = [{"leads": limit, "per": per} for per in PERIODS]
            caps += [{"spend": limit * price, "per": per} for per in PERIODS]
            order = {"id": f"{campaign}-{name}", "buyer": name, "price": {"fixed": price}, "caps": caps}
            orders.append({**order, "campaign": campaign})
        rest = {"id": f"{campaign}-rest", "buyer": "rest", "price": {"fixed": 5}, "campaign": campaign}
        orders.append(rest)
    buyers: list[dict[str, Any]] = [
        {"id": name, "caps": [{"leads": limit * len(campaigns), "per": "day"}]}
        for name, (limit, _) in CAPS.items()
    ]
    return yaml.safe_dump(
        {
            "exchange": {"name": "All windows", "timezone": "America/Chicago"},
            "campaigns": [{**CAMPAIGN, "id": campaign} for campaign in campaigns],
            "sellers": [SELLER],
            "buyers": [
                {**buyer, "post_url": f"{mock_url}/{buyer['id']}/post", "post_timeout_ms": 20_000}
                for buyer in [*buyers, {"id": "rest"}]
            ],
            "orders": orders,
        }
    )


async def sell(client: Client, campaign: str, leads: int, from_number: int = 0) -> list[dict[str, Any]]:
    """So many leads, many at once: the posts' answers."""
    answers: list[dict[str, Any]] = []

    async def one(number: int) -> None:
        ping = {"campaign": campaign, "lead": {"state": "TX"}, "sub_id": f"{campaign}-{number}"}
        status, offer = await client.post("/ping", ping)
        assert (status, offer["status"]) == (200, "offer"), offer
        status, answer = await client.post("/post", {"ping_id": offer["ping_id"], "lead": PERSON})
        assert status == 200, answer
        answers.append(answer)

    end = from_number + leads
    for first in range(from_number, end, AT_ONCE):
        await asyncio.gather(*(one(number) for number in range(first, min(first + AT_ONCE, end))))
    return answers


async def sell_out(client: Client, campaign: str, leads: int) -> list[dict[str, Any]]:
    """So many leads, and then some more until every cap is met: a worker looks at a full one again after a second,
    and by then the places of leads that were turned down last are free."""
    answers = await sell(client, campaign, leads)
    for _ in range(ROUNDS):
        sold = Counter(buyer for answer in answers for buyer in answer.get("buyers", ()))
        if all(sold[name] >= limit for name, (limit, _) in CAPS.items()):
            break
        await asyncio.sleep(1.1)
        answers += await sell(client, campaign, AT_ONCE // 2, from_number=len(answers))
    return answers


async def run(folder: Path, database_url: str | None, runs: int, leads: int) -> None:
    """`runs` campaigns, one after the other, on one house of two workers."""
    campaigns = [f"run{number}" for number in range(runs)]
    offset_ms = WEDNESDAY_MS - time.time_ns() // 1_000_000
    manners = dict.fromkeys(CAPS, TURNS_DOWN) | {"rest": {}}
    with (
        running_buyers(folder, manners) as mock_url,
        running_server(
            folder,
            mock_url,
            lambda url: market(url, campaigns),
            workers=2,
            database_url=database_url,
            environ={"AUCTION_CLOCK_OFFSET_MS": str(offset_ms)},
        ) as served,
    ):
        ledger_url = database_url or f"sqlite:///{served.data_dir}/ledger.sqlite3"
        async with client_of(served) as client:
            for campaign in campaigns:
                answers = await sell_out(client, campaign, leads)
                ledger = await reconcile(client, ledger_url, campaign, [*CAPS, "rest"], answers)
                sold = {name: ledger.sold[f"{campaign}-{name}"] for name in CAPS}
                assert sold == {name: limit for name, (limit, _) in CAPS.items()}, campaign
                assert len(ledger.workers) == 2
            environ = {"AUCTION_CLOCK_OFFSET_MS": str(offset_ms)}
            code, told, errors = await client.run("reconcile", environ=environ)
            assert (code, told) == (0, f"{runs * 30 + 3} windows, 0 differ\n"), told + errors


async def test_caps_in_all_windows_are_met_exactly(tmp_path: Path) -> None:
    await run(tmp_path, None, runs=1, leads=200)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_thousand_posts_twenty_times(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    url: str | None = None
    if database == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        url = postgres.new_database()
    await run(tmp_path, url, runs=10, leads=1_000)
