"""The house may be started before its stores: it waits for them, says so, and serves once they are there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from auction.counters.embedded import EmbeddedValkey
from loadtest.processes import Process
from tests.faults.proxy import Refuse, proxied
from tests.house import PERSON, PING, catalogue
from tests.ports import held_port
from tests.servers import ROOT, Served, client_of, running_buyers
from tests.stores import PostgresServer


def text_of(mock_url: str) -> str:
    return catalogue([{"id": "a", "buyer": "ann"}], mock_url=mock_url)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    with running_buyers(tmp_path, {"ann": {}}) as mock_url:
        path = tmp_path / "market.yaml"
        path.write_text(text_of(mock_url))
        yield path


def serve(folder: Path, *flags: str, **environ: str) -> Process:
    command = [sys.executable, "-m", "auction", "serve", "--port", "0", "--data-dir", str(folder / "data")]
    calm = {"AUCTION_ALLOW_PRIVATE_BUYERS": "1", "AUCTION_COUNTERS_TIMEOUT_MS": "5000", **environ}
    return Process([*command, *flags], folder / "serve.log", cwd=ROOT, environ=calm, end_within_s=20)


@pytest.mark.slow
async def test_stores_that_come_after_the_house(
    tmp_path: Path,
    config: Path,
    postgres: PostgresServer,
    postgres_url: str,
    emptied_valkey: str,
) -> None:
    """First the one, then the other. Nobody listens until both are there."""
    async with (
        proxied(postgres.folder / ".s.PGSQL.5432") as database,
        proxied(Path(emptied_valkey.removeprefix("unix://"))) as counters,
    ):
        await database.put(Refuse())
        await counters.put(Refuse())
        name = postgres_url.partition("@/")[2].partition("?")[0]
        flags = ["--database-url", f"postgresql://postgres@127.0.0.1:{database.port}/{name}"]
        flags += ["--redis-url", f"redis://127.0.0.1:{counters.port}", "--workers", "2"]
        with serve(tmp_path, "--config", str(config), *flags) as process:
            await asyncio.to_thread(process.wait_for_line, '"event":"waiting_for_store","store":"ledger"')
            await database.heal()
            await asyncio.to_thread(process.wait_for_line, '"event":"waiting_for_store","store":"counters"')
            await asyncio.sleep(0.5)
            assert "listens" not in process.printed()
            await counters.heal()
            line = await asyncio.to_thread(process.wait_for_line, r"listens on (http://\S+)")
            served = Served(line[1], "", tmp_path / "data", process, None, text_of)
            async with client_of(served) as client:
                _, offer = await client.post("/ping", PING)
                status, answer = await client.post("/post", {"ping_id": offer["ping_id"], "lead": PERSON})
                assert (status, answer["status"]) == (200, "sold")
            assert await asyncio.to_thread(process.end) == 0


async def test_a_client_that_comes_too_early_is_refused_and_not_let_in_to_wait(
    tmp_path: Path, config: Path
) -> None:
    with held_port() as port, serve(tmp_path, "--config", str(config), "--workers", "2", "--port", str(port)):
        refused, started_s = 0, time.monotonic()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session, asyncio.timeout(100):
            while True:
                began_s = time.monotonic()
                try:
                    async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                        assert answer.status == 200
                        break
                except aiohttp.ClientConnectionError:
                    refused += 1
                await asyncio.sleep(0.02)
        assert refused > 0
        took_s, in_all_s = time.monotonic() - began_s, time.monotonic() - started_s
        assert took_s < max(1, in_all_s / 4), "who is let in is answered"


AWAY = ["--database-url", "postgresql://nobody@127.0.0.1:1/x", "--redis-url", "redis://127.0.0.1:1"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_it_waits_is_a_good_end(tmp_path: Path, number: signal.Signals) -> None:
    with serve(tmp_path, *AWAY) as process:
        process.wait_for_line('"event":"waiting_for_store"')
        os.kill(process.pid, number)
        assert process.wait(20) == 0


def test_it_waits_no_longer_than_it_was_told_and_says_what_is_missing(tmp_path: Path) -> None:
    with serve(tmp_path, *AWAY, AUCTION_START_WITHIN_MS="700") as process:
        began_s = time.monotonic()
        assert process.wait(20) == 2
        assert time.monotonic() - began_s >= 0.7
        assert "the ledger at postgresql://nobody@127.0.0.1:1/x cannot be used" in process.printed()


def test_what_is_there_and_does_not_take_us_is_not_waited_for(
    tmp_path: Path, postgres: PostgresServer, valkey: EmbeddedValkey
) -> None:
    for flags, told in (
        (["--database-url", postgres.url("no_such")], 'database "no_such" does not exist'),
        (["--redis-url", f"{valkey.url}?db=99"], "DB index is out of range"),
    ):
        began_s = time.monotonic()
        with serve(tmp_path, *flags) as process:
            assert process.wait(30) == 2
        assert time.monotonic() - began_s < 25, "nor for the half minute that others are"
        assert told in process.printed()
        assert "waiting_for_store" not in process.printed()
