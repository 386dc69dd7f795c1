"""Keys changed twice under load: nothing is refused, nothing is lost, and the first key is not needed any more."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from auction.cli import main
from auction.ledger.engine import open_engine
from auction.ledger.key_file import KeyFile
from auction.ledger.lead_queries import find_lead
from auction.ledger.resealing import left_old
from auction.ledger.schema import leads
from auction.ledger.sealing import Sealer
from tests.house import PERSON, PING, catalogue
from tests.servers import Client, Served, client_of, running_buyers, running_server

SELLERS = 4
DUPLICATES = {"duplicates": {"fields": ["phone"], "days": 30}}


def text_of(mock_url: str) -> str:
    return catalogue([{"id": "a", "buyer": "ann"}], mock_url=mock_url, campaign=DUPLICATES)


class Load:
    """Sellers that sell one lead after another until they are told to stop."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.sold: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.stop = asyncio.Event()

    async def sell(self, number: int) -> None:
        """One lead: its post and the answer."""
        status, offer = await self.client.post("/ping", {**PING, "sub_id": f"s{number}"})
        assert (status, offer["status"]) == (200, "offer"), offer
        post = {"ping_id": offer["ping_id"], "lead": {**PERSON, "phone": f"+1512555{number:04d}"}}
        status, sale = await self.client.post("/post", post)
        assert (status, sale["status"]) == (200, "sold"), sale
        self.sold.append((post, sale))

    async def run(self, seller: int) -> None:
        number = seller * 1_000
        while not self.stop.is_set():
            await self.sell(number)
            number += 1

    async def until(self, more: int) -> None:
        """Until so many more were sold."""
        wanted = len(self.sold) + more
        while len(self.sold) < wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_two_rotations_under_load(tmp_path: Path) -> None:
    buyers = running_buyers(tmp_path, {"ann": {"bid": {"price": 30}}})
    with buyers as mock:
        with running_server(tmp_path, mock, text_of, workers=2) as served:
            async with client_of(served) as client:
                sold = await rotate(served, client)
        with running_server(tmp_path, mock, text_of) as served:  # which never saw the first key
            async with client_of(served) as client:
                for post, sale in (sold[0], sold[-1]):
                    assert await client.post("/post", post) == (200, sale), "the same answer, from the ledger"
                await assert_that_the_first_is_known_again(client, sold[0][0])
    file = KeyFile(tmp_path / "data" / "secret.key")
    assert_all_open(tmp_path / "data", Sealer(file.load()), len(sold))


async def reseal(served: Served, *flags: str) -> tuple[int, str]:
    """`auction reseal`, beside everything else; in this process, as a new one takes long to start."""
    command = ["reseal", *flags, "--data-dir", str(served.data_dir)]
    result = await asyncio.to_thread(CliRunner().invoke, main, command)
    return result.exit_code, result.output


async def rotate(served: Served, client: Client) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Two new keys under load, then the older ones dropped; the posts that were sold and their answers."""
    file = KeyFile(served.data_dir / "secret.key")
    (first,) = file.load()
    load = Load(client)
    sellers = [asyncio.create_task(load.run(seller)) for seller in range(SELLERS)]
    await load.until(10)
    for rotation in (1, 2):
        exit_code, said = await reseal(served, "--new-key")
        assert exit_code == 0, said
        assert said.endswith("leads sealed again, 0 left with an older key\n")
        assert len(file.load()) == rotation + 1
        await load.until(10)
    load.stop.set()
    await asyncio.gather(*sellers)
    exit_code, said = await reseal(served, "--drop-old")
    assert (exit_code, "too young" in said) == (2, True), "answers of a day ago may still be kept"
    assert file.load()[-1] == first
    a_day_ago_s = file.written_at_s() - 25 * 3_600
    os.utime(file.path, (a_day_ago_s, a_day_ago_s))
    exit_code, said = await reseal(served, "--drop-old")
    assert (exit_code, "2 older keys dropped" in said) == (0, True)
    assert first not in file.load()
    return load.sold


async def assert_that_the_first_is_known_again(client: Client, post: dict[str, Any]) -> None:
    _, offer = await client.post("/ping", {**PING, "sub_id": "again"})
    status, answer = await client.post("/post", {**post, "ping_id": offer["ping_id"]})
    assert (status, answer["status"], answer["reason"]) == (200, "rejected", "duplicate")


def assert_all_open(data_dir: Path, sealer: Sealer, sold: int) -> None:
    engine = open_engine(f"sqlite:///{data_dir / 'ledger.sqlite3'}")
    with engine.connect() as conn:
        ids = conn.execute(leads.select().with_only_columns(leads.c.lead_id)).scalars().all()
        assert len(ids) == sold + 1
        assert left_old(conn, sealer) == 0
        for lead_id in ids:
            lead = find_lead(conn, lead_id)
            assert lead is not None
            assert b"+1512555" in sealer.open(lead.sealed, lead_id.encode())
    engine.dispose()
