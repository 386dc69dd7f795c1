"""The composition root: what it opens and closes, and the market it trades on while the catalogue changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auction import exchange as exchange_module
from auction import log
from auction.buyers import fanout
from auction.buyers.address import resolve
from auction.errors import HouseError
from auction.exchange import Exchange
from auction.ledger.sealing import Sealer
from auction.sealers import sealer_of
from auction.settings import Settings
from tests.house import House, catalogue

FIXED: list[dict[str, Any]] = [{"id": "a", "buyer": "ann", "price": {"fixed": 30}}]


async def until(what: Callable[[], bool]) -> None:
    """Waits for it."""
    give_up_s = time.monotonic() + 20
    while not what():
        assert time.monotonic() < give_up_s
        await asyncio.sleep(0.02)


async def apply(house: House, price: float, **buyer: Any) -> None:
    """The same market with another price; `buyer` are changes to ann."""
    text = catalogue(
        [{**FIXED[0], "price": {"fixed": price}}], mock_url=house.mock.url, buyers={"ann": buyer}
    )
    await house.store(text)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What an operator was told to look at."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(log, "warning", lambda name, **facts: told.append({"event": name, **facts}))
    return told


async def test_a_changed_catalogue_is_traded_on_within_a_second(open_test_house: Any) -> None:
    house = await open_test_house(FIXED)
    assert (await house.ping(sub_id="1"))["payout"] == 30
    await apply(house, 35)
    applied_s = time.monotonic()
    await until(lambda: bool(house.exchange.swapping.swaps == 2))
    # the promise is one second, on a machine that has nothing else to do
    assert time.monotonic() - applied_s < 5
    assert (await house.ping(sub_id="2"))["payout"] == 35


async def test_a_market_that_cannot_be_traded_on_is_refused_once_and_the_old_one_stays(
    open_test_house: Any, warnings: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is good, but this server's environment lacks a secret that it names."""
    house = await open_test_house(FIXED)
    await apply(house, 35, headers={"authorization": "env:NOT_SET_ANYWHERE"})
    await until(lambda: bool(warnings))
    assert (await house.ping(sub_id="1"))["payout"] == 30
    (told,) = warnings
    assert (told["event"], told["version"], told["latest"]) == ("market_stays", 1, 2)
    assert "NOT_SET_ANYWHERE" in told["detail"]
    await asyncio.sleep(3 * exchange_module.WATCH_S)
    assert len(warnings) == 1
    await apply(house, 40)
    await until(lambda: bool(house.exchange.swapping.swaps == 2))
    assert (await house.ping(sub_id="2"))["payout"] == 40


async def test_all_secrets_that_cannot_be_had_are_named_at_once(
    open_test_house: Any, warnings: list[dict[str, Any]]
) -> None:
    house = await open_test_house(FIXED)
    await apply(
        house, 35, headers={"authorization": "env:NOT_SET_ANYWHERE"}, signing_secret="env:NOR_IS_THIS"
    )
    await until(lambda: bool(warnings))
    assert "NOT_SET_ANYWHERE" in warnings[0]["detail"]
    assert "NOR_IS_THIS" in warnings[0]["detail"]


async def test_a_secret_that_is_none_is_told_with_its_buyer(
    open_test_house: Any, warnings: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_BUYERS_SECRET", "?")
    house = await open_test_house(FIXED)
    await apply(house, 35, signing_secret="env:A_BUYERS_SECRET")
    await until(lambda: bool(warnings))
    assert warnings[0]["detail"].startswith("buyer ann: a signing_secret is ")


async def test_a_ledger_that_is_away_for_a_while_is_looked_at_again(
    open_test_house: Any, warnings: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_test_house(FIXED)
    read, failing = house.exchange.reader.read, True

    async def read_or_fail(question: Any) -> Any:
        if failing:
            raise HouseError("ledger_unavailable", "the ledger does not answer")
        return await read(question)

    monkeypatch.setattr(house.exchange.reader, "read", read_or_fail)
    await apply(house, 35)
    await until(lambda: len(warnings) >= 2)
    failing = False
    await until(lambda: bool(house.exchange.swapping.swaps == 2))


async def test_a_buyer_whose_name_hangs_does_not_hold_up_the_others_new_terms(
    open_test_house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_test_house([*FIXED, {"id": "b", "buyer": "ben"}], {"ben": {"bid": {"price": 20}}})

    async def hang(host: str, *arguments: Any, **limits: Any) -> Any:
        await asyncio.sleep(60 if host == "slow.test" else 0)
        return await resolve(host, *arguments, **limits)

    monkeypatch.setattr(fanout, "resolve", hang)
    text = catalogue(
        [{**FIXED[0], "price": {"fixed": 35}}, {"id": "b", "buyer": "ben"}],
        mock_url=house.mock.url,
        buyers={"ben": {"ping_url": "http://slow.test/ping"}},
    )
    await house.store(text)
    await until(lambda: bool(house.exchange.swapping.swaps == 2))
    assert (await house.ping(sub_id="1"))["payout"] == 35


async def test_a_house_starts_without_counters_and_says_so(
    tmp_path: Path, sqlite_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may come later: it serves all the same, and refuses."""
    monkeypatch.setattr(exchange_module, "COUNTERS_WITHIN_MS", 200)
    told: list[str] = []
    monkeypatch.setattr(log, "warning", lambda name, **facts: told.append(f"{name}: {facts['detail']}"))
    exchange = Exchange(Settings(data_dir=tmp_path, database_url=sqlite_ledger))
    await exchange.open("redis://:s3cret@127.0.0.1:1")
    assert await exchange.what_is_away() == ["counters"]
    await exchange.close()
    (said,) = told
    assert said.startswith("counters_away: 127.0.0.1:1: ")
    assert "s3cret" not in said


async def test_it_closes_what_it_opened(open_test_house: Any) -> None:
    """Even right after a swap, while names are still looked up."""
    house = await open_test_house(FIXED)
    await apply(house, 35)
    before = asyncio.all_tasks()
    await house.exchange.close()
    left = {task for task in asyncio.all_tasks() if not task.done()} - {asyncio.current_task()}
    names = {task.get_name() for task in left & before}
    assert not names & {"prepare", "counters-link", "fanout addresses"}, names


def test_the_key_that_seals_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    sealed = sealer_of(settings).seal(b"secret", b"lead")
    assert sealer_of(settings).open(sealed, b"lead") == b"secret"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert isinstance(sealer_of(Settings(secret_key="00" * 32)), Sealer)
