"""Two workers, one ping budget: a buyer is asked as often as it said, in every second, and hardly less often."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house import catalogue
from tests.servers import Client, client_of, running_buyers, running_server

BUDGET = 6
SECONDS = 4


def market(mock_url: str) -> str:
    """Two orders of a buyer who wants to be asked so often a second, and one of a buyer who takes it all."""
    orders = [
        {"id": "calm-a", "buyer": "calm"},
        {"id": "calm-b", "buyer": "calm"},
        {"id": "rest", "buyer": "rest"},
    ]
    buyers = {"calm": {"caps": [{"pings": BUDGET, "per": "second"}]}}
    text: dict[str, Any] = yaml.safe_load(catalogue(orders, buyers=buyers, mock_url=mock_url))
    return yaml.safe_dump(text)


async def ping_on(client: Client, seller: int, until_s: float) -> int:
    """Pings one after the other until then: how many."""
    number = 0
    while time.time() < until_s:
        number += 1
        body = {"campaign": "solar", "lead": {"state": "TX"}, "sub_id": f"{seller}-{number}"}
        status, answer = await client.post("/ping", body)
        assert (status, answer["status"]) == (200, "offer"), answer
    return number


@pytest.mark.slow
async def test_a_budget_holds_over_two_workers_and_is_spent(tmp_path: Path) -> None:
    manners = {"calm": {"bid": {"price": 30}}, "rest": {"bid": {"price": 5}}}
    with (
        running_buyers(tmp_path, manners) as mock_url,
        running_server(tmp_path, mock_url, market, workers=2) as served,
    ):
        async with client_of(served) as client:
            began_s = time.time()
            pinged = await asyncio.gather(
                *(ping_on(client, seller, began_s + SECONDS) for seller in range(8))
            )
            asked = await client.seen("calm", "ping")
            late = [entry for entry in await client.seen("rest", "ping") if entry["at_ms"] % 1000 > 700]
            explained = [await client.run("explain", entry["body"]["ping_id"]) for entry in late[-3:]]
    touched = asked[-1]["at_ms"] // 1000 - int(began_s) + 1  # seconds of the clock
    assert sum(pinged) > 2 * BUDGET * touched, "not enough pings to test anything"
    assert len(asked) <= BUDGET * touched
    assert len(asked) >= BUDGET * (touched - 2)
    assert {entry["body"]["order"] for entry in asked} == {"calm-a", "calm-b"}
    assert any("ping_budget" in text and f"{BUDGET} per second" in text for _, text, _ in explained)
