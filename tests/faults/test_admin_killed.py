"""`kill -9` in the middle of a change of the catalogue that has an `Idempotency-Key`: done once, and told the same."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from auction.catalogue.reading import Source, read_catalogue
from auction.changes.applying import apply_catalogue, stored_catalogue
from auction.ledger.audit import entries
from auction.ledger.conditions import Asked, Wanted
from auction.ledger.engine import open_engine
from auction.ledger.migrations import upgrade
from loadtest.processes import Process
from tests.api.conftest import hash_of_key
from tests.house import catalogue
from tests.servers import ROOT

DYING = """
import os, signal, sys
from auction.changes import applying
from auction.api.admin import calls, entries
from auction.cli import main

calls.LEASE_MS = 2_000
instant = sys.argv.pop(1)
store, change_entry = applying._store, entries.change_entry

def dying_before(conn, *more):
    store(conn, *more)
    os.kill(os.getpid(), signal.SIGKILL)

def dying_after(*arguments, **more):
    change_entry(*arguments, **more)
    os.kill(os.getpid(), signal.SIGKILL)

if instant.startswith("before the commit"):
    applying._store = dying_before
elif instant.startswith("after the commit"):
    entries.change_entry = dying_after
main()
"""
ADMIN = {"id": "ops", "keys": [hash_of_key("ops-key")], "scopes": ["catalogue:read", "catalogue:write"]}


@pytest.fixture(params=["before the commit on sqlite", "after the commit on postgres"])
def instant(request: pytest.FixtureRequest) -> str:
    """Each on one kind of ledger."""
    return str(request.param)


@pytest.fixture
def ledger(request: pytest.FixtureRequest, instant: str) -> str:
    ledger_url: str = request.getfixturevalue(f"{instant.rpartition(' ')[2]}_ledger")
    engine = open_engine(ledger_url)
    upgrade(engine)
    text = catalogue([{"id": "a", "buyer": "ann"}], sections={"admins": [ADMIN]})
    apply_catalogue(engine, read_catalogue([Source("c.yaml", text)]), 1, "test")
    engine.dispose()
    return ledger_url


@contextmanager
def serving(folder: Path, ledger_url: str, instant: str) -> Iterator[tuple[str, Process]]:
    command = [sys.executable, "-c", DYING, instant, "serve", "--port", "0"]
    command += ["--data-dir", str(folder / "data"), "--database-url", ledger_url]
    environ = {"AUCTION_COUNTERS_TIMEOUT_MS": "5000"}
    with Process(command, folder / "serve.log", cwd=ROOT, environ=environ, end_within_s=20) as process:
        url = process.wait_for_line(r"listens on (http://\S+)", 60)[1]
        process.wait_for_url(f"{url}/readyz")
        yield url, process


async def change(url: str) -> tuple[int, dict[str, Any], bool]:
    headers = {"x-api-key": "ops-key", "idempotency-key": "k1"}
    body = {"id": "zeta", "name": "Zeta"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/admin/sellers", json=body, headers=headers) as response,
    ):
        return response.status, await response.json(), "idempotent-replayed" in response.headers


async def test_a_change_is_made_once_and_told_the_same(tmp_path: Path, ledger: str, instant: str) -> None:
    with serving(tmp_path, ledger, instant) as (url, process):
        with pytest.raises(aiohttp.ClientError):
            await change(url)
        os.killpg(process.pid, signal.SIGKILL)
    engine = open_engine(ledger)
    with engine.connect() as conn:
        version, found, _ = stored_catalogue(conn)
    before = instant.startswith("before")
    assert (version, len(found.sellers)) == ((1, 1) if before else (2, 2))
    with serving(tmp_path, ledger, "never") as (url, _):
        status, answer, replayed = await change(url)
        async with asyncio.timeout(30):
            while status == 409:  # until the lease of the dead is over
                assert (before, answer["code"]) == (True, "request_in_progress")
                await asyncio.sleep(0.2)
                status, answer, replayed = await change(url)
        assert (status, answer) == (201, {"id": "zeta", "name": "Zeta"})
        assert replayed == (not before)
        assert await change(url) == (201, answer, True)
    with engine.connect() as conn:
        told = entries(conn, Asked((Wanted("entry", frozenset(("zeta",))),)))
        assert stored_catalogue(conn)[0] == 2
    engine.dispose()
    assert [(one.who, one.action, one.version) for one in told.rows] == [("admin:ops", "create", 2)]
