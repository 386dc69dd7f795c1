"""`auction serve` as processes: started, told to stop, killed; and what is found again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.house import PERSON, PING, catalogue
from tests.servers import ROOT, Client, Served, client_of, running_buyers, running_server

ORDERS: list[dict[str, Any]] = [{"id": "a", "buyer": "ann"}]
SLOW = {"post": {"latency_ms": 1_000}}


def text_of(mock_url: str) -> str:
    """The catalogue of one order."""
    return catalogue(ORDERS, mock_url=mock_url)


def processes_of(folder: Path) -> list[str]:
    """All processes that run on this folder: the server, its workers' Valkey, and whatever waits for them."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


def workers_of(house: int) -> list[int]:
    """The process ids of the workers of this `auction serve`."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, parent, args in rows if int(parent) == house and " worker " in args]


def alive(pid: int) -> bool:
    """Whether it runs (and is no zombie that nobody has waited for)."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(listed.stdout.strip()) and not listed.stdout.startswith("Z")


async def until(what: Callable[[], bool], within_s: float = 20) -> None:
    """Waits for it."""
    give_up_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < give_up_s, "it did not come to that"
        await asyncio.sleep(0.05)


async def sold(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
    """A lead that was sold: its post, and the answer."""
    _, offer = await client.post("/ping", {**PING, "sub_id": str(time.monotonic_ns())})
    post = {"ping_id": offer["ping_id"], "lead": PERSON}
    status, answer = await client.post("/post", post)
    assert (status, answer["status"]) == (200, "sold")
    return post, answer


async def test_a_stop_finishes_what_was_taken_in_and_everything_is_found_again(tmp_path: Path) -> None:
    with running_buyers(tmp_path, {"ann": {}}) as mock_url, ExitStack() as servers:
        start = partial(running_server, tmp_path, mock_url, text_of)
        served = servers.enter_context(start())
        async with client_of(served) as client:
            await client.change_manner("ann", SLOW)
            _, offer = await client.post("/ping", PING)
            post = {"ping_id": offer["ping_id"], "lead": PERSON}
            in_flight = asyncio.create_task(client.post("/post", post))
            await client.until_seen("ann", "post", 1)
            os.kill(served.process.pid, signal.SIGTERM)
            status, answer = await in_flight
            assert (status, answer["status"]) == (200, "sold")
            assert await asyncio.to_thread(served.process.wait, 20) == 0
        assert processes_of(served.data_dir) == []
        assert '"level":"error"' not in served.process.printed()

        served = servers.enter_context(start())
        async with client_of(served) as client:
            assert await client.post("/post", post) == (200, answer)
            await client.change_manner("ann", {"post": {"latency_ms": 0}})
            second_post, second = await sold(client)
            os.kill(served.process.pid, signal.SIGKILL)
            await asyncio.to_thread(served.process.wait, 20)
        await until(lambda: processes_of(served.data_dir) == [])

        served = servers.enter_context(start())
        async with client_of(served) as client:
            assert await client.post("/post", post) == (200, answer)
            assert await client.post("/post", second_post) == (200, second)
            assert len(await client.seen("ann", "post")) == 2


async def test_a_worker_that_dies_is_replaced_and_none_outlives_its_house(tmp_path: Path) -> None:
    with (
        running_buyers(tmp_path, {"ann": {}}) as mock_url,
        running_server(tmp_path, mock_url, text_of, workers=2) as served,
    ):
        async with client_of(served) as client:
            await until(lambda: len(workers_of(served.process.pid)) == 2)
            post, answer = await sold(client)
            killed, other = workers_of(served.process.pid)
            os.kill(killed, signal.SIGKILL)
            await until(lambda: killed not in workers_of(served.process.pid))
            assert await client.post("/post", post) == (200, answer)
            await until(lambda: len(workers_of(served.process.pid)) == 2)
            assert other in workers_of(served.process.pid)
            served.process.wait_for_line(rf'"event":"worker_died","pid":{killed},"code":-9')
            workers = workers_of(served.process.pid)
            os.kill(served.process.pid, signal.SIGKILL)
            await asyncio.to_thread(served.process.wait, 20)
        await until(lambda: not any(map(alive, workers)))
        await until(lambda: processes_of(served.data_dir) == [])


async def test_asked_twice_it_waits_for_no_buyer(tmp_path: Path) -> None:
    """What the buyer would have said is not known then: the lead is pending, and its seller is told so."""
    with (
        running_buyers(tmp_path, {"ann": {"post": {"latency_ms": 15_000}}}) as mock_url,
        running_server(tmp_path, mock_url, text_of, workers=2) as served,
    ):
        async with client_of(served) as client:
            _, offer = await client.post("/ping", PING)
            in_flight = asyncio.create_task(
                client.post("/post", {"ping_id": offer["ping_id"], "lead": PERSON})
            )
            await client.until_seen("ann", "post", 1)
            os.kill(served.process.pid, signal.SIGTERM)
            # two signals that come together are one
            await until(lambda: served.process.printed().count('"event":"stopping"') == 2)
            asked_s = time.monotonic()
            os.kill(served.process.pid, signal.SIGTERM)
            status, answer = await in_flight
            assert (status, answer["status"]) == (200, "pending")
            assert await asyncio.to_thread(served.process.wait, 20) == 0
            assert time.monotonic() - asked_s < 10


async def started(data_dir: Path, *flags: str) -> asyncio.subprocess.Process:
    """`auction serve`, just begun."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "auction", "serve", "--port", "0", "--data-dir", str(data_dir), *flags),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ends_well(process: asyncio.subprocess.Process, data_dir: Path) -> None:
    """Told to stop, it ends by itself with nothing said or left, though it never served."""
    process.terminate()
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, output) == (0, b""), errors
    assert b"Traceback" not in errors
    assert processes_of(data_dir) == []


async def test_a_stop_while_valkey_starts_is_a_good_end(tmp_path: Path) -> None:
    process = await started(tmp_path)
    await until(lambda: (tmp_path / "valkey" / "valkey.sock").exists())
    await ends_well(process, tmp_path)


async def test_a_stop_while_workers_python_starts_is_a_good_end(tmp_path: Path) -> None:
    process = await started(tmp_path, "--workers", "2")
    await until(lambda: workers_of(process.pid) != [])
    await ends_well(process, tmp_path)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_stop_while_an_exchange_opens_is_a_good_end(tmp_path: Path, workers: str) -> None:
    """It waits for counters that let it connect and then say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        process = await started(tmp_path, "--workers", workers, "--redis-url", url)
        connection, _ = await asyncio.to_thread(silent.accept)
        with connection:
            await ends_well(process, tmp_path)


async def test_one_line_on_standard_output_says_where_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUCTION_ALLOW_ORIGINS", "https://forms.example")
    process = await started(tmp_path)
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    said = re.fullmatch(
        rb"auction listens on (http://127\.0\.0\.1:\d+) \(1 worker, embedded Valkey, SQLite\)\n", line
    )
    assert said is not None, line
    served = Served(said[1].decode(), "", tmp_path, None, None, text_of)  # type: ignore[arg-type]
    async with client_of(served) as client:
        assert await client.get("/readyz") == (200, {"status": "ready", "market_version": 1})
        from_page = {"origin": "https://forms.example"}
        async with aiohttp.request("POST", served.url + "/ping", headers=from_page) as answer:
            assert answer.headers["access-control-allow-origin"] == "https://forms.example"
    process.send_signal(signal.SIGINT)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, output) == (0, b"")
