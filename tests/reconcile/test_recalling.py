"""Who bought what is told to the counters again: after a loss, and where a rule is new; by one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from auction.counters import scripts
from auction.counters.link import Link
from auction.counters.naming import HOUSE, RECALLED, RECALLING
from auction.counters.scripts import Script
from auction.reconcile import recalling
from auction.reconcile.recalling import Recalling
from tests.api.wired import until
from tests.house import House, catalogue
from tests.ping.test_inbound import BY_HASH, DAY_MS, DIGEST, MANNERS, ORDERS, SAME_PHONE, ping, sell

Open = Callable[..., Any]
RULED = [{**ORDERS[0], "duplicates": SAME_PHONE}, ORDERS[1]]


async def until_told(house: House) -> None:
    """Waits until the counters were told all there is."""
    async with asyncio.timeout(20):
        while not await house.exchange.link.call("EXISTS", RECALLED):
            await house.exchange.recalling.look(house.exchange.link)
            await asyncio.sleep(0.01)


async def forget_all(house: House) -> None:
    """The counters lose what they know of duplicates."""
    link = house.exchange.link
    lost = await link.call("KEYS", "*:bought:*")
    assert lost
    await link.call("DEL", RECALLED, RECALLING, *lost)


async def test_what_was_lost_is_told_again(open_test_house: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """By pages, each print whole."""
    monkeypatch.setattr(recalling, "PAGE", 3)
    house: House = await open_test_house(RULED, MANNERS, campaign=BY_HASH)
    await until_told(house)
    sold = [await sell_to(house, f"512-555-01{number}") for number in range(20, 27)]
    assert sold == [["a-co"]] * 7
    await forget_all(house)
    assert (await ping(house, phone="512-555-0120"))["payout"] == 30, "nobody knows"
    before = house.exchange.recalling.recalled
    await until_told(house)
    assert house.exchange.recalling.recalled - before >= 7
    for number in range(20, 27):
        assert (await ping(house, phone=f"512-555-01{number}", bill=1))["payout"] == 20
    assert (await ping(house, phone="512-555-0199"))["payout"] == 30


async def sell_to(house: House, phone: str) -> list[str]:
    """Who bought the lead of this phone."""
    sold = await house.sell((await ping(house, phone=phone))["ping_id"], phone=phone)
    return list(sold["buyers"])


async def test_where_a_rule_reaches_further_back_more_is_told(open_sqlite_house: Open) -> None:
    """What was sold before that, the counters may have forgotten: also where it reached as far once."""
    ruled = {**BY_HASH, "duplicates": SAME_PHONE}
    house: House = await open_sqlite_house(ORDERS, MANNERS, campaign=ruled)
    await until_told(house)
    assert (await sell(house, phone=DIGEST))["status"] == "sold"
    link, recalling = house.exchange.link, house.exchange.recalling
    await link.call("DEL", *await link.call("KEYS", "*:bought:*"))
    for days, knows in ((29, False), (30, True)):
        before = recalling.recalled
        await apply(house, campaign={**ruled, "duplicates": {**SAME_PHONE, "days": days}})
        await recalling.look(link)

        async def told(days: int = days) -> bool:
            reach_ms = max(map(int, await link.call("HVALS", RECALLED)))
            return reach_ms == days * DAY_MS

        await until(told)
        assert (recalling.recalled > before) == knows
        assert (await ping(house, phone=DIGEST, bill=days)).get("reason") == ("duplicate" if knows else None)


async def apply(house: House, **changes: Any) -> None:
    """The house trades on another catalogue."""
    text = catalogue(ORDERS, mock_url=house.mock.url, **changes)
    version = house.exchange.floor.market.version
    await house.store(text)
    await until(lambda: house.exchange.floor.market.version > version)


async def test_after_a_rebuild_all_is_told_again(
    open_sqlite_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    house: House = await open_sqlite_house(ORDERS, MANNERS, campaign={**BY_HASH, "duplicates": SAME_PHONE})
    await until_told(house)
    assert (await sell(house, phone=DIGEST))["status"] == "sold"
    link = house.exchange.link
    rebuilds = house.exchange.rebuilding.rebuilds
    run, known = Link.run, []

    def looked(self: Link, script: Script, read: Any, *arguments: Any) -> Any:
        if script is scripts.SETTLE_ERA:
            known.append(self.call("EXISTS", RECALLED))
        return run(self, script, read, *arguments)

    monkeypatch.setattr(Link, "run", looked)
    # what they are good for is not known
    await link.call("DEL", HOUSE, *await link.call("KEYS", "*:bought:*"))
    async with asyncio.timeout(20):
        while house.exchange.rebuilding.rebuilds == rebuilds:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        while (await house.get("/readyz"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert {await each for each in known} == {0}, "also where the worker ends right behind the rebuild"
    await until_told(house)
    assert (await ping(house, phone=DIGEST))["reason"] == "duplicate"


async def test_what_is_told_while_the_counters_are_rebuilt_is_told_again(
    open_sqlite_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who tells them has a link of its own, and does not notice."""
    house: House = await open_sqlite_house(ORDERS, MANNERS, campaign={**BY_HASH, "duplicates": SAME_PHONE})
    await until_told(house)
    assert (await sell(house, phone=DIGEST))["status"] == "sold"
    link, rebuilding = house.exchange.link, house.exchange.rebuilding
    recall, interrupted = Recalling._recall, asyncio.Event()

    async def rebuilt_meanwhile(self: Recalling, own: Link, campaign: Any) -> None:
        await recall(self, own, campaign)
        if not interrupted.is_set():
            before = rebuilding.rebuilds
            await own.call("DEL", HOUSE, *await own.call("KEYS", "*:bought:*"))
            await until(lambda: rebuilding.rebuilds > before, within_s=20)
            interrupted.set()

    monkeypatch.setattr(Recalling, "_recall", rebuilt_meanwhile)
    await link.call("DEL", RECALLED)
    async with asyncio.timeout(30):
        await interrupted.wait()
    assert await link.passed(20_000), "calls go again"
    await until_told(house)
    assert (await ping(house, phone=DIGEST))["reason"] == "duplicate"


async def test_nothing_is_asked_where_no_ping_can_tell(open_sqlite_house: Open) -> None:
    house: House = await open_sqlite_house(ORDERS, MANNERS, campaign={"duplicates": SAME_PHONE})
    assert (await sell(house))["status"] == "sold"
    before = house.exchange.link.calls
    await house.exchange.recalling.look(house.exchange.link)
    assert house.exchange.link.calls == before
    assert await house.exchange.link.call("KEYS", "*:bought:*") == []
