"""`auction pending` and `auction settle`: what is unknown is listed, and settled by hand once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from auction.counters.embedded import EmbeddedValkey
from tests.cli.conftest import Run
from tests.house import House, open_house
from tests.privacy.planted import tells_number

LOST: dict[str, Any] = {"post": {"faults": {"reset": 1.0}}}
CAPS = [{"leads": 1, "per": "day"}]
ORDERS: list[dict[str, Any]] = [
    {"id": "a", "buyer": "a-co", "price": {"fixed": 30}, "caps": CAPS},
    {"id": "b", "buyer": "b-co", "price": {"fixed": 20}},
]
Stores = Callable[..., Any]


@pytest.fixture
def stores(tmp_path: Path, emptied_valkey: str, ledger_url: str, auction: Run) -> Stores:
    """Runs a command on the house's stores, beside it."""

    async def run(*arguments: str, counters: bool = True) -> Result:
        where = ["--data-dir", str(tmp_path), "--database-url", ledger_url]
        if counters:
            where += ["--redis-url", emptied_valkey]
        return await asyncio.to_thread(auction, *arguments, *where)

    return run


async def pending_lead(house: House, **more: Any) -> tuple[str, str]:
    ping_id = (await house.ping(**more))["ping_id"]
    answer = await house.sell(ping_id, phone="512-555-0199")
    assert answer["status"] == "pending"
    return ping_id, answer["lead_id"]


async def used(house: House) -> int:
    one = house.exchange.floor.market.orders["a"]
    return (await house.exchange.counters.peek(one.buyer_id, one.caps, house.clock.now_ms()))[0][1]


async def test_what_is_pending_is_listed_and_settled(open_test_house: Any, stores: Stores) -> None:
    house = await open_test_house(ORDERS, {"a-co": LOST, "b-co": LOST})
    ping_id, lead_id = await pending_lead(house)
    listed = await stores("pending", counters=False)
    assert listed.exit_code == 0
    (line,) = [line for line in listed.stdout.splitlines() if lead_id in line]
    for told in ("pending", "solar", "acme", "a-co", "30.00"):
        assert told in line
    (shown,) = (await stores("pending", "--json", counters=False)).stdout.splitlines()
    one = msgspec.json.decode(shown)
    assert (one["lead_id"], one["ping_id"], one["order"], one["price"]) == (lead_id, ping_id, "a", 30.0)
    assert one["why"]
    assert not tells_number(shown, "512-555-0199")

    settled = await stores("settle", lead_id, "accepted", "--buyer-lead-id", "77", "--by", "olga")
    assert settled.exit_code == 0, settled.output
    assert settled.stdout == f"lead {lead_id} is sold: a accepted; payout 30.00 USD\n"
    assert settled.stderr == ""
    assert (await house.sell(ping_id, phone="512-555-0199"))["buyers"] == ["a-co"]
    assert await used(house) == 1
    assert "operator olga" in (await stores("lead", lead_id, counters=False)).stdout
    assert (await stores("pending", counters=False)).stdout == "nothing is pending\n"

    again = await stores("settle", lead_id, "a", "rejected")
    assert again.exit_code == 2
    assert again.stderr == f"lead {lead_id}: the offer to a is known to be accepted already\n"


async def test_with_another_key_nothing_is_settled(
    tmp_path: Path, open_test_house: Any, ledger_url: str, auction: Run
) -> None:
    """An operator who forgot AUCTION_SECRET_KEY, or stands in another folder: the key is named, not the ledger."""
    house = await open_test_house(ORDERS, {"a-co": LOST, "b-co": LOST})
    _, lead_id = await pending_lead(house)
    where = ["--database-url", ledger_url, "--data-dir", str(tmp_path / "elsewhere")]
    for arguments in (["settle", lead_id, "accepted"], ["return", lead_id, "--reason", "unreachable"]):
        result = await asyncio.to_thread(auction, *arguments, *where)
        assert result.exit_code == 2
        assert result.stderr.startswith("the secret key is not the one that this ledger was sealed with")


def test_where_no_ledger_is_nothing_is_made(auction: Run, folder: Path) -> None:
    for arguments in (["settle", "lead", "accepted"], ["return", "lead", "--reason", "unreachable"]):
        result = auction(*arguments)
        assert (result.exit_code, result.stderr[:18]) == (2, "there is no ledger")
    assert list(folder.iterdir()) == []


def test_a_reason_is_one_word_and_for_a_rejection(auction: Run) -> None:
    for arguments in (["accepted", "--reason", "x"], ["rejected", "--reason", "Ann Lee said no"]):
        refused = auction("settle", "lead", *arguments)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("--reason is for a rejection, and one word such as duplicate; was ")
    assert auction("settle", "lead", "a", "perhaps").exit_code == 2


async def test_beside_no_house_the_embedded_counters_are_told(
    tmp_path: Path, sqlite_ledger: str, auction: Run
) -> None:
    """The house has ended; its counters are started for as long as the command needs them."""
    valkey = EmbeddedValkey(tmp_path)
    valkey.start()
    try:
        async with open_house(tmp_path, valkey.url, sqlite_ledger, ORDERS, {"a-co": LOST}) as house:
            _, lead_id = await pending_lead(house)
            assert await used(house) == 1
    finally:
        valkey.stop()
    where = ["--data-dir", str(tmp_path), "--database-url", sqlite_ledger]
    result = await asyncio.to_thread(auction, "settle", lead_id, "rejected", "--reason", "duplicate", *where)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"lead {lead_id} is rejected: a rejected; payout 0.00 USD\n"
    valkey.start()
    try:
        async with open_house(tmp_path, valkey.url, sqlite_ledger, ORDERS) as house:
            assert await used(house) == 0
    finally:
        valkey.stop()


async def test_counters_that_are_away_undo_nothing(
    tmp_path: Path, open_sqlite_house: Any, sqlite_ledger: str, auction: Run
) -> None:
    house = await open_sqlite_house(ORDERS, {"a-co": LOST})
    ping_id, lead_id = await pending_lead(house)
    where = ["--data-dir", str(tmp_path), "--database-url", sqlite_ledger]
    result = await asyncio.to_thread(
        auction, "settle", lead_id, "rejected", *where, "--redis-url", f"unix://{tmp_path}/nobody"
    )
    assert result.exit_code == 0
    assert "its place in the caps stays taken" in result.stderr
    assert (await house.sell(ping_id, phone="512-555-0199"))["status"] == "rejected"
    assert await used(house) == 1
