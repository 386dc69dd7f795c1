"""A worker is killed between the sale and its postback, and in the midst of sending: it is told all the same."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec

from tests.house import PERSON, PING, catalogue
from tests.postbacks.conftest import ORDERS, SECRET, TAKES, seller
from tests.postbacks.receiver import receiving
from tests.servers import client_of, running_buyers, running_server

LEASE_OVER = {"AUCTION_CLOCK_OFFSET_MS": "60000"}
"""The next process need not wait for the lease of the one that was killed."""


async def test_a_killed_worker_forgets_no_postback(tmp_path: Path) -> None:
    async with receiving() as receiver:
        sellers = seller({"url": receiver.url, "secret": SECRET})

        def text_of(mock_url: str) -> str:
            return catalogue(ORDERS, mock_url=mock_url, sellers=sellers)

        leads: list[str] = []
        receiver.answer = None
        with running_buyers(tmp_path, TAKES) as mock_url:
            with running_server(tmp_path, mock_url, text_of) as served:
                async with client_of(served) as client:
                    for number in range(2):
                        _, ping = await client.post("/ping", {**PING, "sub_id": str(number)})
                        status, sale = await client.post(
                            "/post", {"ping_id": ping["ping_id"], "lead": PERSON}
                        )
                        assert (status, sale["status"]) == (200, "sold")
                        leads.append(sale["lead_id"])
                        if number == 0:
                            await receiver.until(1)  # it hangs in the midst of this one
                os.kill(served.process.pid, signal.SIGKILL)
            before = [one.headers["webhook-id"] for one in receiver.heard]
            receiver.heard.clear()
            receiver.answer = lambda _: (200, b"ok")
            with running_server(tmp_path, mock_url, text_of, environ=LEASE_OVER):
                await receiver.until(2, within_s=30)
                await asyncio.sleep(0.5)
        after = {
            one.headers["webhook-id"]: msgspec.json.decode(one.body)["data"]["lead_id"]
            for one in receiver.heard
        }
        assert sorted(after.values()) == sorted(leads)
        assert len(receiver.heard) == 2
        assert set(before) <= set(after), "again with the same id"
