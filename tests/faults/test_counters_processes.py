"""`auction serve` with workers of its own, seen from outside, while its counters are killed, emptied and late."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from loadtest.processes import Process
from tests.api.wired import until
from tests.exactness.views import reconcile
from tests.house import PERSON, catalogue
from tests.ports import held_port
from tests.servers import ROOT, Client, Served, client_of, running_buyers, running_server
from tests.valkeys import running_valkey, tell

CAP = 40
SELLERS = 4
ORDERS: list[dict[str, Any]] = [
    {
        "id": "capped",
        "buyer": "ann",
        "price": {"fixed": 30},
        "caps": [{"leads": CAP, "per": "total"}, {"spend": 30 * CAP, "per": "total"}],
    },
    {"id": "rest", "buyer": "ben", "price": {"fixed": 5}},
]


def market(mock_url: str) -> str:
    # offers end soon: the hold of one whose answer was lost is in the way of the last lead until then
    return catalogue(ORDERS, mock_url=mock_url, auction={"hold_s": 5})


class Seller:
    """Pings and posts until told to stop. What is refused for the counters is sent again; every refusal is quick."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._numbers = count()
        self.stopping = False
        self.answers: list[dict[str, Any]] = []
        self.refused: set[str] = set()
        self.slowest_s = 0.0

    async def run(self) -> None:
        while not self.stopping:
            offer = await self._good("/ping", self._ping())
            if offer is None or offer["status"] != "offer":
                continue
            answer = await self._good("/post", {"ping_id": offer["ping_id"], "lead": PERSON})
            if answer is not None:
                assert answer["status"] == "sold", answer
                self.answers.append(answer)

    async def until_sold(self, more: int) -> None:
        """Waits until so many more are sold."""
        enough = len(self.answers) + more
        await until(lambda: len(self.answers) >= enough, within_s=40)

    def _ping(self) -> dict[str, Any]:
        return {"campaign": "solar", "lead": {"state": "TX"}, "sub_id": str(next(self._numbers))}

    async def _good(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer, however often it takes; None where the ping went with the counters."""
        while True:
            began_s = time.monotonic()
            status, answer = await self._client.post(path, body)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
            if status == 200:
                return answer
            self.refused.add(answer["code"])
            if status in (404, 410):
                return None
            # 409: what a refused request left behind is in the way of its repetition for a moment
            assert status == 503 or answer["code"] in ("ping_in_progress", "post_in_progress"), answer
            await asyncio.sleep(0.02)


def embedded_pid(served: Served) -> int:
    """The process of the house's own Valkey; 0 while there is none."""
    return int((served.data_dir / "valkey" / "valkey.lock").read_text() or 0)


async def kill_embedded(served: Served) -> None:
    """Kill it as it stands, and wait until another has its place."""
    before = embedded_pid(served)
    os.kill(before, signal.SIGKILL)
    await until(lambda: embedded_pid(served) not in (0, before), within_s=20)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
async def test_counters_killed_and_emptied_under_load(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    """Two workers sell on, the house starts its Valkey again by itself; no lead is lost, doubled or over the cap."""
    url = request.getfixturevalue("postgres").new_database() if database == "postgresql" else None
    bound = {"AUCTION_COUNTERS_TIMEOUT_MS": "250"}
    with (
        running_buyers(tmp_path, {"ann": {}, "ben": {}}) as mock_url,
        running_server(tmp_path, mock_url, market, workers=2, database_url=url, environ=bound) as served,
    ):
        socket_url = f"unix://{served.data_dir}/valkey/valkey.sock"
        async with client_of(served) as client:
            seller = Seller(client)
            selling = [asyncio.create_task(seller.run()) for _ in range(SELLERS)]
            try:
                for lose in ("kill", "empty", "kill"):
                    await seller.until_sold(10)
                    if lose == "kill":
                        await kill_embedded(served)
                    else:
                        await tell(socket_url, "FLUSHALL")
                await until(
                    lambda: sum(answer["buyers"] == ["ann"] for answer in seller.answers) >= CAP, within_s=60
                )
                await seller.until_sold(10)
            finally:
                seller.stopping = True
                await asyncio.gather(*selling)
            ledger_url = url or f"sqlite:///{served.data_dir}/ledger.sqlite3"
            ledger = await reconcile(client, ledger_url, "solar", ["ann", "ben"], seller.answers)
            assert ledger.sold["capped"] == CAP
            assert seller.refused <= {
                *("counters_rebuilding", "counters_unavailable"),
                *("unknown_ping", "offer_expired", "ping_in_progress", "post_in_progress"),
            }
            assert seller.refused & {"counters_rebuilding", "counters_unavailable"}
            assert seller.slowest_s < 5
            code, told, errors = await client.run("reconcile")
            assert (code, told) == (0, "2 windows, 0 differ\n"), told + errors
        assert '"level":"error"' not in served.process.printed()


@contextmanager
def started(folder: Path, redis_url: str, mock_url: str) -> Iterator[Served]:
    """`auction serve` on counters that may not be there, from when it listens."""
    (folder / "catalogue.yaml").write_text(market(mock_url))
    command = [sys.executable, "-m", "auction", "serve", "--config", str(folder / "catalogue.yaml")]
    command += ["--port", "0", "--data-dir", str(folder / "data"), "--redis-url", redis_url]
    environ = {"AUCTION_ALLOW_PRIVATE_BUYERS": "1", "AUCTION_START_WITHIN_MS": "500"}
    with Process(command, folder / "serve.log", cwd=ROOT, environ=environ, end_within_s=20) as process:
        url = process.wait_for_line(r"listens on (http://\S+)", 60)[1]
        yield Served(url, mock_url, folder / "data", process, None, market)
        assert process.end() == 0, process.printed()


@pytest.mark.slow
async def test_counters_that_come_after_us_and_go_again(tmp_path: Path) -> None:
    ping = {"campaign": "solar", "lead": {"state": "TX"}}

    async def away(client: Client) -> None:
        status, answer = await client.post("/ping", ping)
        assert (status, answer["code"]) == (503, "counters_unavailable")
        status, answer = await client.get("/readyz")
        assert (status, answer["detail"]) == (503, "Away: counters.")
        assert (await client.get("/healthz"))[0] == 200

    async def ready(client: Client) -> bool:
        return (await client.get("/readyz"))[0] == 200

    with (
        held_port() as port,
        running_buyers(tmp_path, {"ann": {}, "ben": {}}) as mock_url,
        started(tmp_path, f"redis://127.0.0.1:{port}", mock_url) as served,
    ):
        async with client_of(served) as client:
            await away(client)
            for number in range(2):
                with running_valkey(tmp_path / f"own{number}", port=port):
                    await until(lambda: ready(client), within_s=20)
                    status, offer = await client.post("/ping", {**ping, "sub_id": str(number)})
                    assert (status, offer["status"]) == (200, "offer")
                    post = {"ping_id": offer["ping_id"], "lead": PERSON}
                    assert (await client.post("/post", post))[1]["status"] == "sold"
                await away(client)
        told = served.process.printed()
        assert "counters_away" in told
        assert '"level":"error"' not in told


@pytest.mark.slow
async def test_counters_that_are_never_there_do_not_keep_us_from_stopping(tmp_path: Path) -> None:
    """Gone for good while we start: it says so, serves its refusals, and ends well when told."""
    with (
        held_port() as port,
        running_buyers(tmp_path, {"ann": {}, "ben": {}}) as mock_url,
        started(tmp_path, f"redis://127.0.0.1:{port}", mock_url) as served,
    ):
        async with client_of(served) as client:
            assert (await client.get("/readyz"))[0] == 503
