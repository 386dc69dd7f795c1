"""What is too old is erased by itself, by one worker, in small batches; the money stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from auction import forgetting
from auction.clock import MovedClock
from auction.counters.embedded import EmbeddedValkey
from auction.forgetting import DAY_MS, LEASE_MS, Ages, Files, Retention
from auction.ledger.engine import open_engine, transaction
from auction.ledger.forgetting import Erased, take_chore
from auction.ledger.outbox import mark_addressed, new_events
from auction.ledger.ping_leases import FOLDED, add_leases, leased_pings
from auction.ledger.records import RefusedPostback
from auction.ledger.refused import keep_refused, latest_refused
from auction.ledger.schema import erasures, fingerprints, leads, people, ping_leases, pings, sales
from auction.market.windows import FOREVER_MS
from auction.measures import families_of
from auction.ping_leases import PingLease
from tests.api.wired import until
from tests.house import KEY_HASH, House

Open = Callable[..., Awaitable[House]]
CAMPAIGN: dict[str, Any] = {"duplicates": {"fields": ["phone"], "days": 3_650}}


@pytest.fixture
async def house(open_test_house: Open) -> House:
    """A house that erases nothing by itself while the test lasts."""
    return await open_test_house(
        [{"id": "a", "buyer": "a-co"}], {"a-co": {"bid": {"price": 30}}}, campaign=CAMPAIGN
    )


def retention(house: House, ages: Ages, worker: str = "w1") -> Retention:
    exchange = house.exchange
    return Retention(exchange.writer, exchange._sealer, house.clock, worker, ages)


async def sell(house: House, number: int) -> str:
    offer = await house.ping(sub_id=f"s{number}")
    sale = await house.sell(offer["ping_id"], phone=f"+1512555{number:04d}")
    assert sale["status"] == "sold"
    await house.exchange.writer.flush()
    return str(sale["lead_id"])


def counted(house: House) -> dict[str, int]:
    engine = open_engine(house.exchange.settings.ledger_url)
    with engine.connect() as conn:
        found = {
            table.name: int(conn.execute(select(func.count()).select_from(table)).scalar_one())
            for table in (leads, sales, pings, people, fingerprints, erasures)
        }
        found["sealed"] = int(
            conn.execute(
                select(func.count()).select_from(leads).where(func.length(leads.c.sealed) > 0)
            ).scalar_one()
        )
    engine.dispose()
    return found


async def test_what_is_too_old_goes_and_the_money_stays(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "LEADS_A_BATCH", 2)
    monkeypatch.setattr(forgetting, "PINGS_A_BATCH", 3)
    monkeypatch.setattr(forgetting, "PAUSE_S", 0)
    for number in range(5):
        await sell(house, number)
    house.clock.move(31 * DAY_MS)
    await sell(house, 5)
    keeper = retention(house, Ages(pii_days=90, pings_days=30))
    assert await keeper.look() == Erased(0, 5)
    assert counted(house) == {
        "leads": 6, "sales": 6, "pings": 1, "people": 6, "fingerprints": 6, "erasures": 1, "sealed": 6,
    }  # fmt: skip
    house.clock.move(60 * DAY_MS)
    assert await keeper.look() == Erased(5, 1)
    assert counted(house) == {
        "leads": 6, "sales": 6, "pings": 0, "people": 1, "fingerprints": 6, "erasures": 2, "sealed": 1,
    }  # fmt: skip
    assert await keeper.look() == Erased(0, 0)
    assert (keeper.leads, keeper.pings, counted(house)["erasures"]) == (5, 6, 2)
    offer = await house.ping()
    again = await house.sell(offer["ping_id"], phone="+15125550000")
    assert again["reason"] == "duplicate", "its keyed hash outlives what it was made of, as the campaign says"


async def test_what_sellers_were_told_goes_too(
    open_test_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "EVENTS_A_BATCH", 2)
    sellers = [{"id": "acme", "keys": [KEY_HASH], "postbacks": [{"url": "http://127.0.0.1:1/{lead_id}"}]}]
    house = await open_test_house(
        [{"id": "a", "buyer": "a-co"}], {"a-co": {"bid": {"price": 30}}}, sellers=sellers
    )
    await house.exchange.postbacks.close()
    for number in range(3):
        await sell(house, number)
    keeper = retention(house, Ages(0, 0, 30))
    house.clock.move(31 * DAY_MS)
    await keeper.look()
    assert keeper.postbacks == 0, "they were not told yet"
    await house.exchange.writer.write(lambda conn: mark_addressed(conn, new_events(conn, 10), 1))
    await keeper.look()
    assert keeper.postbacks == 3
    assert counted(house)["leads"] == 3
    assert counted(house)["erasures"] == 0


async def test_nothing_goes_where_all_is_kept(house: House) -> None:
    await sell(house, 1)
    before = counted(house)
    house.clock.move(20_000 * DAY_MS)
    assert await retention(house, Ages(0, 0)).look() == Erased(0, 0)
    assert counted(house) == before


async def test_a_lead_that_nobody_settled_keeps_its_data(house: House) -> None:
    await house.change_manner("a-co", {"bid": {"price": 30}, "post": {"faults": {"error_500": 1.0}}})
    offer = await house.ping()
    sale = await house.sell(offer["ping_id"])
    assert sale["status"] == "pending", sale
    house.clock.move(1_000 * DAY_MS)
    assert (await retention(house, Ages(1, 0)).look()) == Erased(0, 0)
    assert counted(house)["sealed"] == 1


async def test_refused_postbacks_go_with_the_log_of_pings(house: House) -> None:
    def told(number: int, at_ms: int) -> RefusedPostback:
        return RefusedPostback(
            buyer_id="a-co",
            lead_id=f"lead-{number}",
            order_id="a",
            status="delivered",
            code="impossible_status",
            times=1,
            first_at_ms=at_ms,
            last_at_ms=at_ms,
        )

    writer, now_ms = house.exchange.writer, house.clock.now_ms()
    for number, days in enumerate((31, 29)):
        await writer.write(partial(keep_refused, told=told(number, now_ms - days * DAY_MS)))
    assert await retention(house, Ages(pii_days=0, pings_days=30)).look() is not None
    kept = await house.exchange.reader.read(lambda conn: latest_refused(conn, 9))
    assert [one.lead_id for one in kept] == ["lead-1"]


async def test_one_worker_of_all_does_it(house: House) -> None:
    first, second = retention(house, Ages(1, 1), "w1"), retention(house, Ages(1, 1), "w2")
    assert await first.look() == Erased(0, 0)
    assert await second.look() is None
    assert await first.look() == Erased(0, 0), "it goes on having the chore"
    house.clock.move(LEASE_MS + 1)
    assert await second.look() == Erased(0, 0), "the first one is gone"
    assert await first.look() is None


async def test_leases_of_pings_go_a_day_after_their_window_and_what_never_ends_is_folded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "LEASES_A_BATCH", 2)
    writer, now_ms = house.exchange.writer, house.clock.now_ms()
    over = [
        PingLease("a-co", f"cap-{at}", now_ms - at * DAY_MS, now_ms + 1 - at * DAY_MS, 7) for at in range(6)
    ]
    ever = PingLease("a-co", "ever", 0, FOREVER_MS, 7)
    for worker in ("w1", "w2", "w3"):
        leases = [*over, ever] if worker == "w1" else [ever]
        await writer.write(partial(add_leases, worker=worker, leases=leases, at_ms=now_ms - 2 * DAY_MS))
    await writer.write(partial(add_leases, worker="w4", leases=[ever], at_ms=now_ms))
    assert await retention(house, Ages(0, 0)).look() == Erased()
    found = await writer.write(partial(leased_pings, buyer_ids=["a-co"], after_ms=0))
    assert {each.cap_key: each.pings for each in found} == {"ever": 28, "cap-0": 7, "cap-1": 7}
    rows = await writer.write(lambda conn: conn.execute(select(ping_leases.c.worker)).scalars().all())
    assert sorted(rows) == [FOLDED, "w1", "w1", "w4"]


async def test_it_is_counted(house: House) -> None:
    house.exchange.retention.leads = 7
    values = {family.name: family.values for family in families_of(house.exchange)}
    assert values["auction_erased"] == [(("leads",), 7.0), (("pings",), 0.0), (("postbacks",), 0.0)]
    assert values["auction_retention_failed"] == [((), 0.0)]


def test_a_clock_that_was_set_back_locks_nobody_out(ledger_url: str) -> None:
    engine: Engine = open_engine(ledger_url)
    clock = MovedClock(1_000 * DAY_MS)
    with transaction(engine) as conn:
        assert take_chore(conn, "c", "w1", clock.now_ms(), 1_000)
        assert not take_chore(conn, "c", "w2", clock.now_ms(), 1_000)
        assert take_chore(conn, "c", "w2", clock.now_ms() - DAY_MS, 1_000)
    engine.dispose()


def bytes_of(path: Path) -> bytes:
    """What is in it; nothing, where it is thrown away at this moment."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


async def test_no_file_of_ours_remembers_what_was_too_old(
    open_sqlite_house: Open, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    house = await open_sqlite_house([{"id": "a", "buyer": "a-co"}], {"a-co": {"bid": {"price": 30}}})
    exchange = house.exchange
    files = Files(exchange._engine, exchange.link)
    keeper = Retention(exchange.writer, exchange._sealer, house.clock, "w1", Ages(1, 1), files)

    def remembered() -> set[str]:
        of_counters = (valkey._folder / "appendonlydir").iterdir()
        paths = [*tmp_path.glob("ledger.db*"), *of_counters]
        return {path.name.split(".")[0] for path in paths if b"zq-sub" in bytes_of(path)}

    await exchange.link.call("CONFIG", "SET", "aof-use-rdb-preamble", "no")
    offer = await house.ping(sub_id="zq-sub")
    await house.sell(offer["ping_id"])
    await exchange.writer.flush()
    await keeper.look()
    # a house that begins has other things to do than to tidy up
    await until(lambda: "appendonly" in remembered())
    assert remembered() == {"ledger", "appendonly"}
    house.clock.move(3 * DAY_MS)
    assert await keeper.look() == Erased(1, 2), "the ping was quieted with its lead, then dropped"
    assert remembered() == set()
    await house.ping(sub_id="zq-sub-2")
    await exchange.link.call("DEL", *await exchange.link.call("KEYS", "{ping:*"))
    await keeper.look()
    await until(lambda: "appendonly" in remembered())  # the counters' file is written anew once a day
    house.clock.move(DAY_MS)
    await keeper.look()
    assert "appendonly" not in remembered()


async def test_a_house_tidies_up_its_own_counters_alone(house: House) -> None:
    files: Any = house.exchange.retention._files
    assert files._counters is None, "these are another's"
    assert files._engine is not None
