"""`auction postbacks`: what was told is listed, and told again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result
from sqlalchemy import Connection

from auction.clock import SystemClock
from auction.ledger.lead_queries import find_lead
from tests.cli.conftest import Run
from tests.house import NOON_MS
from tests.postbacks.conftest import LOSES, SECRET, Telling, open_receiver, receiver, seller
from tests.postbacks.receiver import Receiver

__all__ = ["open_receiver", "receiver"]
Told = tuple[Telling, Callable[..., Awaitable[Result]]]


@pytest.fixture
async def told(
    tmp_path: Path, open_sqlite_house: Any, sqlite_ledger: str, auction: Run, receiver: Receiver
) -> Told:
    """A lead that was pending and is sold; a receiver that took the second only after it never took the first."""
    house = await open_sqlite_house(
        [{"id": "a", "buyer": "a-co"}], LOSES, sellers=seller({"url": receiver.url, "secret": SECRET})
    )
    telling = Telling(house)
    await telling.stop()
    house.clock.move(SystemClock().now_ms() - NOON_MS)  # commands live now
    receiver.answer = lambda one: (410, b"no such lead") if b"lead.pending" in one.body else (200, b"ok")
    lead_id = await telling.sell()
    await telling.accept(lead_id)
    await telling.turn()

    async def run(*arguments: str) -> Result:
        where = ["--data-dir", str(tmp_path), "--database-url", sqlite_ledger]
        return await asyncio.to_thread(auction, *arguments, *where)

    return telling, run


async def test_what_was_told_is_listed(told: Told, receiver: Receiver) -> None:
    telling, run = told
    (first, second) = await telling.stored()
    listed = await run("postbacks", "list")
    assert listed.exit_code == 0
    head, one, two = listed.stdout.splitlines()
    assert head.split() == ["event", "seller", "told", "to", "state", "tries", "answer", "next"]
    assert one.split() == [
        first.event_id, "acme", "pending", receiver.url, "given_up", "1", "410", "no", "such", "lead",
    ]  # fmt: skip
    assert two.split() == [second.event_id, "acme", "sold", receiver.url, "delivered", "1", "200", "ok"]
    failed = await run("postbacks", "list", "--failed", "--json")
    (shown,) = map(msgspec.json.decode, failed.stdout.splitlines())
    assert (shown["event_id"], shown["answered"], shown["answer"]) == (first.event_id, 410, "no such lead")
    assert (shown["status"], shown["url"], shown["next_at"]) == ("pending", receiver.url, None)
    assert first.event_id in (await run("postbacks", "list", "--lead", first.lead_id)).stdout
    assert (
        first.event_id
        in (
            await run(
                "postbacks",
                "list",
                "--lead",
                await telling.house.exchange.reader.read(partial(ping_of, lead_id=first.lead_id)),
            )
        ).stdout
    )
    assert first.event_id in (await run("lead", first.lead_id)).stdout


def ping_of(conn: Connection, lead_id: str) -> str:
    lead = find_lead(conn, lead_id)
    assert lead is not None
    return lead.ping_id


@pytest.mark.parametrize(
    ("what", "count", "again"),
    [
        ("lead", 2, ["pending", "sold"]),
        ("ping", 2, ["pending", "sold"]),
        ("event", 1, ["sold"]),
        ("failed", 1, ["pending"]),
    ],
)
async def test_it_is_told_again(
    told: Told, receiver: Receiver, what: str, count: int, again: list[str]
) -> None:
    telling, run = told
    first, second = await telling.stored()
    ids = {one.headers["webhook-id"] for one in receiver.heard}
    named = {
        "lead": [first.lead_id],
        "ping": [await telling.house.exchange.reader.read(partial(ping_of, lead_id=first.lead_id))],
        "event": [second.event_id],
        "failed": ["--failed", "--seller", "acme"],
    }
    result = await run("postbacks", "redeliver", *named[what])
    assert result.stdout == f"{count} postback{'s' if count > 1 else ''} will be sent again\n"
    receiver.heard.clear()
    receiver.answer = lambda _: (200, b"ok")
    telling.house.clock.move(60_000)
    await telling.turn()
    assert receiver.told == again
    assert {one.headers["webhook-id"] for one in receiver.heard} <= ids, "the same event has the same id"


async def test_what_waits_is_tried_now(told: Told, receiver: Receiver) -> None:
    telling, run = told
    receiver.answer = lambda _: (500, b"")
    lead_id = await telling.sell(sub_id="x")
    await telling.turn()
    receiver.heard.clear()
    receiver.answer = lambda _: (200, b"")
    await telling.turn()
    assert receiver.heard == []
    result = await run("postbacks", "redeliver", "--waiting", "--seller", "acme")
    assert result.stdout == "1 postback will be sent again\n"
    telling.house.clock.move(4_000)
    await telling.turn()
    assert [one.headers["webhook-id"].rpartition("-")[0] for one in receiver.heard] == [lead_id]


async def test_what_was_given_up_goes_to_the_endpoints_of_now(
    told: Told, receiver: Receiver, open_receiver: Callable[[], Awaitable[Receiver]]
) -> None:
    telling, run = told
    other = await open_receiver()
    await telling.apply({"url": other.url, "secret": SECRET})
    result = await run("postbacks", "redeliver", "--failed")
    assert result.stdout == "1 postback will be sent again\n"
    telling.house.clock.move(60_000)
    await telling.turn()
    assert other.told == ["pending"]
    assert "(removed)" in (await run("postbacks", "list")).stdout
    assert (await run("postbacks", "redeliver", "--failed")).stdout == "0 postbacks will be sent again\n"


async def test_what_cannot_be_told_again_is_said(told: Told) -> None:
    _, run = told
    unknown = await run("postbacks", "redeliver", "nothing")
    assert unknown.exit_code == 2
    assert unknown.stderr.startswith("there is no lead 'nothing' in this ledger; ids of")
    for arguments in ([], ["lead", "--failed"], ["lead", "--seller", "acme"]):
        assert (await run("postbacks", "redeliver", *arguments)).exit_code == 2
