"""`auction forget` on a house that runs: the person is gone, the money is right, and nothing is sold again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from auction.cli import main
from auction.ledger.engine import open_engine, transaction
from auction.ledger.lead_queries import find_lead
from auction.ledger.schema import erasures, fingerprints, lead_history, leads, offers, people, pings, sales
from auction.post.answer import Answers
from auction.post.settling import Said, settle_offer
from tests.faults.holding import held_buyer
from tests.house import NOON_MS, PING, House

Open = Callable[..., Awaitable[House]]
CAMPAIGN: dict[str, Any] = {
    "fields": [
        {"name": "state", "type": "us_state", "required": "ping"},
        {"name": "bill", "type": "integer", "ping": True},
        {"name": "first_name", "type": "text", "required": "post", "pii": True},
        {"name": "phone", "type": "phone", "required": "post", "pii": True, "ping_as": "hash"},
        {"name": "email", "type": "email", "pii": True},
    ],
    "duplicates": {"fields": ["phone"], "days": 30},
}
ANN = {"first_name": "Ann", "phone": "512-555-0142", "email": "Ann@example.com"}
BOB = {"first_name": "Bob", "phone": "512-555-0199", "email": "bob@example.com"}
REDIRECTS = {"a-co": {"bid": {"price": 30}, "post": {"redirect_url": "https://b.example/?e=Ann"}}}
MONEY = (sales, offers)
COMMAND = import_module("auction.cli.forget")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of pings are flushed here, so nobody need wait for them."""
    monkeypatch.setattr(COMMAND, "LATE_S", 0)


@pytest.fixture
async def house(open_test_house: Open) -> House:
    """One order, whose buyer sends the consumer on."""
    return await open_test_house([{"id": "a", "buyer": "a-co"}], REDIRECTS, campaign=CAMPAIGN)


async def auction(house: House, redis_url: str, *arguments: str) -> tuple[int, str]:
    """A command, beside the house."""
    settings = house.exchange.settings
    command = [*arguments, "--data-dir", str(settings.data_dir), "--database-url", settings.ledger_url]
    if arguments[0] == "forget":
        command += ["--redis-url", redis_url]
    environ = {"AUCTION_CLOCK_OFFSET_MS": "0"}
    result = await asyncio.to_thread(CliRunner().invoke, main, command, env=environ)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def rows(house: House, *tables: Any) -> dict[str, list[Any]]:
    """All that is in these tables."""
    engine = open_engine(house.exchange.settings.ledger_url)
    with engine.connect() as conn:
        found: dict[str, list[Any]] = {
            table.name: sorted(conn.execute(select(table)), key=repr) for table in tables
        }
    engine.dispose()
    return found


async def sold(house: House, person: dict[str, str], sub_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A post and its answer."""
    offer = await house.ping(sub_id=sub_id, lead={"state": "TX", "bill": 123_321_123})
    post = {"ping_id": offer["ping_id"], "lead": person}
    status, answer = await house.post("/post", post)
    assert status == 200, answer
    await house.exchange.writer.flush()  # the ping's row is written a little later
    return post, answer


async def test_a_person_is_forgotten_by_phone(house: House, emptied_valkey: str) -> None:
    post, first = await sold(house, ANN, "s-1")
    _, second = await sold(house, {**ANN, "phone": "+1 (512) 555-0142"}, "s-2")
    _, other = await sold(house, BOB, "s-3")
    assert (first["status"], second["reason"], other["status"]) == ("sold", "duplicate", "sold")
    assert first["redirect_url"]
    await house.exchange.writer.flush()
    everything = (leads, offers, sales, pings, people, fingerprints, lead_history, erasures)
    before = rows(house, *everything)

    exit_code, said = await auction(house, emptied_valkey, "forget", "--phone", "512.555.0142", "--dry-run")
    assert (exit_code, said.count("would be forgotten")) == (0, 2), said
    assert said.endswith("2 leads; nothing was changed\n")
    assert rows(house, *everything) == before

    exit_code, said = await auction(house, emptied_valkey, "forget", "--phone", "512.555.0142")
    assert (exit_code, said.splitlines()[-1]) == (0, "2 leads and 2 pings forgotten"), said
    after = rows(house, *everything)
    assert {table.name: after[table.name] for table in MONEY} == {
        table.name: before[table.name] for table in MONEY
    }
    assert_forgotten(house, [first["lead_id"], second["lead_id"]], but=other["lead_id"])
    assert [(row.asked, row.leads, row.pings) for row in after["erasures"]] == [("phone", 2, 2)]
    assert len(after["people"]) == 2, "Bob's phone and email"
    assert len(after["fingerprints"]) == 1
    assert len(await house.exchange.link.call("KEYS", "*:bought:*")) == 1, "that Bob's lead was bought"
    assert await house.exchange.link.call("EXISTS", f"{{ping:{post['ping_id']}}}") == 0

    kept = {key: value for key, value in first.items() if key != "redirect_url"}
    for body in (post, {**post, "lead": {**ANN, "first_name": "Zoe"}}):
        assert await house.post("/post", body) == (200, kept), "the answer that it got, and no second sale"
    assert len(await house.seen("a-co", "post")) == 2
    status, view = await house.get(f"/leads/{first['lead_id']}")
    assert (status, view["status"], view["payout"], view["sub_id"]) == (200, "sold", first["payout"], None)
    assert [moment["reason"] for moment in view["history"]][-1] == "forgotten"
    for command in ("explain", "lead"):
        exit_code, said = await auction(house, emptied_valkey, command, post["ping_id"])
        assert exit_code == 0, said
        assert "123321123" not in said
    exit_code, said = await auction(house, emptied_valkey, "forget", "--phone", "5125550142")
    assert (exit_code, said.splitlines()[-1]) == (0, "0 leads and 0 pings forgotten")
    _, again = await sold(house, ANN, "s-4")
    assert again["status"] == "sold", "nobody remembers the phone: it is a new lead"


def assert_forgotten(house: House, lead_ids: list[str], but: str) -> None:
    engine = open_engine(house.exchange.settings.ledger_url)
    with engine.connect() as conn:
        for lead_id in lead_ids:
            lead = find_lead(conn, lead_id)
            assert lead is not None
            assert (lead.sealed, lead.body_hash, lead.ping_fields, lead.sub_id) == (b"", b"", {}, None)
            ping = conn.execute(select(pings).where(pings.c.ping_id == lead.ping_id)).one()
            assert (ping.lead, ping.sub_id) == ("{}", None)
        lead = find_lead(conn, but)
        assert lead is not None
        assert lead.sealed
        assert lead.ping_fields == {"state": "TX", "bill": 123_321_123}
    engine.dispose()


async def test_a_ping_that_is_written_later_is_forgotten_too(
    open_test_house: Open, emptied_valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row stood in the queue of a worker while the lead was forgotten."""
    house = await open_test_house([{"id": "a", "buyer": "a-co"}], REDIRECTS, campaign=CAMPAIGN)
    writer: Any = house.exchange.writer
    log_ping, loop = writer.log_ping, asyncio.get_running_loop()
    queued: list[Any] = []

    def keep(row: Any) -> bool:
        queued.append(row)
        return True

    def later(_: float) -> None:
        assert len(queued) == 1
        log_ping(queued[0])
        asyncio.run_coroutine_threadsafe(writer.flush(), loop).result(10)

    monkeypatch.setattr(writer, "log_ping", keep)
    monkeypatch.setattr(COMMAND, "sleep", later)
    _, answer = await sold(house, ANN, "s-1")
    assert (await auction(house, emptied_valkey, "forget", answer["lead_id"]))[0] == 0
    (row,) = rows(house, pings)["pings"]
    assert (row.ping_id, row.lead, row.sub_id) == (answer["ping_id"], "{}", None)


async def test_by_email_and_by_lead(house: House, emptied_valkey: str) -> None:
    _, first = await sold(house, ANN, "s-1")
    _, other = await sold(house, BOB, "s-2")
    exit_code, said = await auction(house, emptied_valkey, "forget", "--email", "ann@EXAMPLE.com")
    assert (exit_code, said.splitlines()[-1]) == (0, "1 lead and 1 ping forgotten"), said
    exit_code, said = await auction(
        house, emptied_valkey, "forget", other["lead_id"], first["lead_id"], "nobody"
    )
    assert exit_code == 2
    assert "there is no lead 'nobody'" in said
    assert f"{first['lead_id']}  solar" in said
    assert "was forgotten before" in said
    assert said.splitlines()[-1] == "1 lead and 1 ping forgotten"
    assert [row.asked for row in rows(house, erasures)["erasures"]] == ["email", "lead"]


async def test_a_lead_that_is_being_sold_waits(open_test_house: Open, emptied_valkey: str) -> None:
    async with held_buyer() as buyer:
        terms = {"post_url": buyer.url, "post_timeout_ms": 60_000}
        house = await open_test_house(
            [{"id": "a", "buyer": "a-co"}], REDIRECTS, campaign=CAMPAIGN, buyers={"a-co": terms}
        )
        selling = asyncio.create_task(sold(house, ANN, "s-1"))
        await buyer.until_asked()
        exit_code, said = await auction(house, emptied_valkey, "forget", "--phone", "5125550142")
        assert exit_code == 2
        assert "is being sold just now" in said
        buyer.speaks.set()
        _, answer = await selling
    assert answer["status"] == "sold"
    exit_code, _ = await auction(house, emptied_valkey, "forget", "--phone", "5125550142")
    assert exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [(), ("--phone", "5125550142", "--email", "a@b.co"), ("x", "--older-than", "1d"), ("--older-than", "90"),
     ("--phone", "12"), ("--email", "zq@nowhere")],
)  # fmt: skip
async def test_what_cannot_be_asked(
    open_sqlite_house: Open, emptied_valkey: str, arguments: tuple[str, ...]
) -> None:
    house = await open_sqlite_house([{"id": "a", "buyer": "a-co"}])
    exit_code, said = await auction(house, emptied_valkey, "forget", *arguments)
    assert (exit_code, said.count("\n")) == (2, 1)
    assert "zq@nowhere" not in said


async def test_no_file_of_sqlite_holds_what_was_sealed(
    open_sqlite_house: Open, emptied_valkey: str, tmp_path: Path
) -> None:
    house = await open_sqlite_house([{"id": "a", "buyer": "a-co"}], REDIRECTS, campaign=CAMPAIGN)
    _, answer = await sold(house, ANN, "s-zq")
    await house.exchange.writer.flush()
    (lead,) = rows(house, leads)["leads"]
    secret = bytes(lead.sealed)

    def holding(what: bytes) -> list[str]:
        return [path.name for path in tmp_path.glob("ledger.db*") if what in path.read_bytes()]

    assert holding(secret)
    assert holding(b"s-zq")
    assert (await auction(house, emptied_valkey, "forget", answer["lead_id"]))[0] == 0
    assert holding(secret) == holding(b"s-zq") == []


async def test_ping_fields_alone_name_nobody_and_are_not_looked_for(
    house: House, emptied_valkey: str
) -> None:
    await house.ping(**{**PING, "sub_id": "only-a-ping"})
    exit_code, said = await auction(house, emptied_valkey, "forget", "--phone", "5125550142")
    assert (exit_code, said.splitlines()[-1]) == (0, "0 leads and 0 pings forgotten")


async def test_a_pending_lead_can_be_forgotten_and_settled_all_the_same(
    house: House, emptied_valkey: str
) -> None:
    await house.change_manner("a-co", {"bid": {"price": 30}, "post": {"faults": {"error_500": 1.0}}})
    post, pending = await sold(house, ANN, "s-1")
    assert pending["status"] == "pending"
    assert (await auction(house, emptied_valkey, "forget", pending["lead_id"]))[0] == 0
    engine = open_engine(house.exchange.settings.ledger_url)
    with transaction(engine) as conn:
        said = Said(accepted=True, by="operator")
        settled = settle_offer(
            conn, pending["lead_id"], said, Answers(house.exchange._sealer), "USD", NOON_MS
        )
    engine.dispose()
    assert (settled.state, settled.payout_micros) == ("sold", 30_000_000)
    status, answer = await house.post("/post", post)
    assert (status, answer["status"], answer["payout"]) == (200, "sold", 30)
    assert len(rows(house, sales)["sales"]) == 1
