"""`auction reconcile`: what differs is told window by window, and made to match, beside a running house."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from auction.counters.embedded import EmbeddedValkey
from tests.cli.conftest import Run
from tests.faults.test_settling import used
from tests.house import NOON_MS, House, catalogue
from tests.valkeys import tell

ORDERS: list[dict[str, Any]] = [
    {"id": "a", "buyer": "ann", "caps": [{"leads": 5, "per": "day"}, {"spend": 500, "per": "total"}]},
    {"id": "b", "buyer": "ann", "price": {"fixed": 5}},
]
BUYERS = {"ann": {"caps": [{"leads": 9, "per": "month"}]}}
DAY, MONTH = "o:a:leads:day@1767225600000", "b:leads:month@1767225600000"


async def sold(house: House, leads: int) -> None:
    for number in range(leads):
        offer = await house.ping(sub_id=str(number))
        answer = await house.sell(offer["ping_id"], phone=f"512-555-{number:04d}")
        assert answer["status"] == "sold"


@pytest.fixture
async def house(open_test_house: Any) -> House:
    house: House = await open_test_house(ORDERS, {"ann": {"bid": {"price": 30}}}, buyers=BUYERS)
    return house


@pytest.fixture
def flags(house: House, emptied_valkey: str, ledger_url: str) -> list[str]:
    return ["--redis-url", emptied_valkey, "--database-url", ledger_url]


@pytest.fixture
def environ(house: House) -> dict[str, str]:
    """The command's clock stands where the house's does, or nearly."""
    import time

    return {"AUCTION_CLOCK_OFFSET_MS": str(NOON_MS - time.time_ns() // 1_000_000)}


async def test_equal_stores_are_told_so(
    auction: Run, house: House, flags: list[str], environ: dict[str, str]
) -> None:
    await sold(house, 2)
    result = await asyncio.to_thread(auction, "reconcile", *flags, **environ)
    assert (result.exit_code, result.stdout) == (0, "3 windows, 0 differ\n")


async def test_what_differs_is_told_and_repaired(
    auction: Run, house: House, flags: list[str], environ: dict[str, str], emptied_valkey: str
) -> None:
    await sold(house, 2)
    await tell(emptied_valkey, "HINCRBY", "{buyer:ann}:counts", DAY, 3)
    await tell(emptied_valkey, "HDEL", "{buyer:ann}:counts", MONTH)
    result = await asyncio.to_thread(auction, "reconcile", *flags, **environ)
    assert result.exit_code == 1
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["ann", "a", "leads/day", "2026-01-01T00:00:00Z", "5", "2", "5", "3"] in rows
    assert ["ann", "(all)", "leads/month", "2026-01-01T00:00:00Z", "9", "2", "0", "-2"] in rows
    assert result.stdout.splitlines()[-1] == "3 windows, 2 differ"
    result = await asyncio.to_thread(auction, "reconcile", "--repair", "--json", *flags, **environ)
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert [(each["cap"], each["difference"]) for each in report["differences"]] == [
        ("leads/day", 3),
        ("leads/month", -2),
    ]
    assert (report["windows"], report["good"], report["repaired"]) == (3, True, True)
    assert await used(house, "a") == 2
    result = await asyncio.to_thread(auction, "reconcile", *flags, **environ)
    assert result.exit_code == 0


async def test_counters_of_another_ledger_are_taken_over_only_when_told(
    auction: Run, house: House, flags: list[str], environ: dict[str, str], emptied_valkey: str
) -> None:
    await sold(house, 1)
    ledger = (await tell(emptied_valkey, "HGET", "{house}", "ledger")).decode()
    await tell(emptied_valkey, "HSET", "{house}", "ledger", "another")
    result = await asyncio.to_thread(auction, "reconcile", "--repair", *flags, **environ)
    assert result.exit_code == 2
    assert "these counters are of another exchange (ledger another, ours is" in result.stderr
    result = await asyncio.to_thread(auction, "reconcile", "--adopt", *flags, **environ)
    assert result.exit_code == 0
    assert (await tell(emptied_valkey, "HGET", "{house}", "ledger")).decode() == ledger


def test_the_embedded_counters_are_started_where_no_house_runs(auction: Run, folder: Path) -> None:
    (folder / "market.yaml").write_text(
        catalogue([{"id": "a", "buyer": "ann", "caps": [{"leads": 1, "per": "day"}]}])
    )
    auction("apply", "market.yaml")
    result = auction("reconcile")
    assert (result.exit_code, result.stdout) == (0, "1 window, 0 differ\n")
    assert "it rebuilds them itself" in result.stderr
    running = EmbeddedValkey(folder / "data")
    running.start()
    try:
        assert auction("reconcile").exit_code == 0, "and those of a house that runs are used"
        assert running.pid is not None
    finally:
        running.stop()


def test_counters_that_are_away_are_named(auction: Run, folder: Path) -> None:
    (folder / "market.yaml").write_text(catalogue([{"id": "a", "buyer": "ann"}]))
    auction("apply", "market.yaml")
    result = auction("reconcile", "--redis-url", f"unix://{folder}/none.sock")
    assert result.exit_code == 2
    assert result.stderr.startswith("they cannot be compared: ")
