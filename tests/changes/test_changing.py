"""Entries changed while the house trades: in turn, and only so many wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from auction.catalogue.one_entry import EntryMistakes
from auction.catalogue.reading import Source, read_catalogue
from auction.changes.applying import apply_catalogue, stored_catalogue
from auction.changes.changing import Changing
from auction.clock import MovedClock
from auction.errors import HouseError
from auction.ledger.engine import open_engine
from tests.house import catalogue


@pytest.fixture
def engine(sqlite_ledger: str) -> Iterator[Engine]:
    """A ledger with one order in it."""
    opened = open_engine(sqlite_ledger)
    text = catalogue([{"id": "a", "buyer": "ann", "price": {"fixed": 1}}])
    apply_catalogue(opened, read_catalogue([Source("market.yaml", text)]), 1, "before")
    yield opened
    opened.dispose()


def more_weight(order: Any) -> Any:
    """The order, a little heavier."""
    return replace(order, weight=order.weight + 1)


async def test_changes_at_once_are_one_after_the_other(engine: Engine) -> None:
    changing = Changing(engine, MovedClock(2))
    await asyncio.gather(*(changing.change("order", "a", more_weight, "test") for _ in range(8)))
    with engine.connect() as conn:
        version, found, _ = stored_catalogue(conn)
    assert (version, found.orders[0].weight) == (9, 9)
    assert (changing.outcomes, changing.waiting) == ({("made",): 8}, 0)


async def test_too_many_are_turned_away(engine: Engine) -> None:
    changing = Changing(engine, MovedClock(2), most_waiting=2)
    async with changing.turn():
        waits = asyncio.create_task(changing.change("order", "a", more_weight, "test"))
        await asyncio.sleep(0)
        with pytest.raises(HouseError) as refused:
            await changing.change("order", "a", more_weight, "test")
    assert refused.value.code == "house_full"
    assert (await waits).version == 2
    assert changing.outcomes == {("turned_away",): 1, ("made",): 2}


async def test_what_is_refused_is_counted_and_holds_up_nobody(engine: Engine) -> None:
    changing = Changing(engine, MovedClock(2))
    with pytest.raises(EntryMistakes):
        await changing.change("buyer", "ann", lambda _: None, "test")
    await changing.change("order", "a", more_weight, "test")
    assert changing.outcomes == {("refused",): 1, ("made",): 1}
    await changing.close()
