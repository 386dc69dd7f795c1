"""Asked to stop, the house takes no new work, finishes what it took within its bound, and ends well."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.wired import until
from tests.faults.holding import held_buyer
from tests.house import KEY, PERSON, PING, catalogue
from tests.servers import client_of, running_buyers, running_server


def text_of(mock_url: str, **terms: Any) -> str:
    buyers = {"ann": {"post_timeout_ms": 60_000, **terms}}
    return catalogue([{"id": "a", "buyer": "ann"}], mock_url=mock_url, buyers=buyers)


async def refuses(url: str) -> bool:
    """Whether whoever connects now is refused."""
    try:
        _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
async def test_no_new_work_is_taken_and_what_was_taken_is_finished(tmp_path: Path, workers: int) -> None:
    """A client that comes now is refused at once, and not left to wait for somebody who will never look."""
    async with held_buyer() as buyer:
        with (
            running_buyers(tmp_path, {"ann": {}}) as mock_url,
            running_server(
                tmp_path, mock_url, partial(text_of, post_url=buyer.url), workers=workers
            ) as served,
        ):
            async with client_of(served) as client:
                _, offer = await client.post("/ping", PING)
                post = {"ping_id": offer["ping_id"], "lead": PERSON}
                in_flight = asyncio.create_task(client.post("/post", post))
                await buyer.until_asked()
                bound = aiohttp.ClientTimeout(15)  # who is let in waits for the buyer, and that is for ever
                async with aiohttp.ClientSession(headers={"x-api-key": KEY}, timeout=bound) as kept:
                    async with kept.get(f"{served.url}/healthz") as health:
                        assert health.status == 200
                    os.kill(served.process.pid, signal.SIGTERM)
                    await until(partial(refuses, served.url))
                    for _ in range(4):
                        with pytest.raises(aiohttp.ClientConnectionError):
                            await kept.post(f"{served.url}/ping", json=PING)
                assert not in_flight.done()
                buyer.speaks.set()
                status, answer = await in_flight
                assert (status, answer["status"]) == (200, "sold")
                assert await asyncio.to_thread(served.process.wait, 30) == 0


async def test_a_stop_waits_for_no_buyer_longer_than_its_bound(tmp_path: Path) -> None:
    """What is not finished then is pending, its seller is told so, and the end is a good one."""
    with (
        running_buyers(tmp_path, {"ann": {"post": {"faults": {"hang": 1.0}}}}) as mock_url,
        running_server(
            tmp_path, mock_url, text_of, workers=2, environ={"AUCTION_STOP_WITHIN_MS": "1000"}
        ) as served,
    ):
        async with client_of(served) as client:
            _, offer = await client.post("/ping", PING)
            post = {"ping_id": offer["ping_id"], "lead": PERSON}
            in_flight = asyncio.create_task(client.post("/post", post))
            await client.until_seen("ann", "post", 1)
            asked_s = time.monotonic()
            os.kill(served.process.pid, signal.SIGTERM)
            status, answer = await in_flight
            assert (status, answer["status"]) == (200, "pending")
            assert await asyncio.to_thread(served.process.wait, 30) == 0
            assert 0.9 < time.monotonic() - asked_s < 20
        assert '"level":"error"' not in served.process.printed()
