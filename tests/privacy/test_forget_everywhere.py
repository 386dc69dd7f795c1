"""After `auction forget` nothing that the house keeps names the person, though one reads it with the house's own keys.

One person comes in by every door, with keys and without, is sold, turned down, kept waiting and told of. Then every
row, every counter, and every byte of their files is opened as far as any key of the house opens it, and searched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from auction.counters.embedded import EmbeddedValkey
from auction.ledger.engine import open_engine
from auction.ledger.schema import leads
from tests.api.conftest import hash_of_key
from tests.house import CAMPAIGN, SELLER, House
from tests.privacy.opened import Opener, commands_in, counters_of, places_with, rows_of
from tests.privacy.recorder import Recorder, Request, recording
from tests.privacy.test_forget import auction
from tests.privacy.test_nothing_personal_anywhere import answer

Open = Callable[..., Awaitable[House]]
PERSON = {
    "first_name": "Zqanna",
    "last_name": "Zqobrien",
    "phone": "(307) 555-8642",
    "email": "Zq.Anna@planted.example",
    "street": "77 Zqoak Street",
}
PLANTED = ("zqanna", "zqobrien", "3075558642", "307) 555", "zq.anna", "planted.example", "zqoak", "zqlink")
OF_THE_LEADS = ("sub-zq-17", "123321")
"""What its seller said of it in clear. It names nobody, and goes all the same."""
FIELDS: list[dict[str, Any]] = [
    {"name": "state", "type": "us_state", "required": "ping"},
    {"name": "bill", "type": "integer", "ping": True},
    {"name": "first_name", "type": "text", "required": "post", "pii": True},
    {"name": "last_name", "type": "text", "pii": True},
    {"name": "phone", "type": "phone", "required": "post", "pii": True, "ping_as": "hash"},
    {"name": "email", "type": "email", "pii": True, "ping_as": "hash"},
    {"name": "street", "type": "text", "pii": True},
]
DOORS: dict[str, Any] = {"router": {}, "leads": {}, "distro": {}}


def campaign(name: str, **rules: Any) -> dict[str, Any]:
    return {**CAMPAIGN, "id": name, "fields": FIELDS, "doors": DOORS, "pending_hours": 2, **rules}


ORDERS: list[dict[str, Any]] = [
    {"id": "takes", "buyer": "a-co", "returns": {"days": 5}},
    {"id": "refuses", "buyer": "no-co", "campaign": "unloved"},
    {"id": "sleeps", "buyer": "a-co", "campaign": "later", "hours": ["Mon-Sun 23:00-23:30"]},
    {"id": "mute", "buyer": "mute-co", "campaign": "unheard"},
]
MANNERS: dict[str, dict[str, Any]] = {
    "a-co": {
        "bid": {"price": 30},
        "post": {"redirect_url": "https://b.example/zqlink?e=zq.anna@planted.example"},
    },
    "no-co": {"bid": {"price": 30}, "post": {"accept": 0.0, "reject_reasons": ["known_zqobrien"]}},
    "mute-co": {"bid": {"price": 30}, "post": {"faults": {"error_500": 1.0}}},
}
BUYERS = {name: {"keys": [hash_of_key(f"{name}-key")]} for name in MANNERS}


def hears(_: Request) -> bytes:
    """A seller's endpoint, that says of whom it was told."""
    return answer("400 Bad", {"error": "no such zqanna", "lead": PERSON})


@pytest.fixture
async def told() -> AsyncIterator[Recorder]:
    """Where the seller is told what became of its leads."""
    async with recording(hears) as recorder:
        yield recorder


@pytest.fixture
async def house(open_test_house: Open, told: Recorder) -> AsyncIterator[House]:
    """Buyers that take, refuse, sleep, and are never heard."""
    opened = await open_test_house(
        ORDERS,
        MANNERS,
        campaign=campaign("solar"),
        more_campaigns=[campaign("unloved"), campaign("later"), campaign("unheard")],
        buyers=BUYERS,
        sellers=[{**SELLER, "code": "ACME1234", "postbacks": [{"url": f"{told.url}/told/{{lead_id}}"}]}],
    )
    for name, value in (
        ("aof-use-rdb-preamble", "no"),
        ("slowlog-log-slower-than", "0"),
        ("slowlog-max-len", "9999"),
    ):
        await opened.exchange.link.call("CONFIG", "SET", name, value)
    yield opened
    await opened.exchange.link.call("CONFIG", "SET", "slowlog-log-slower-than", "10000")
    await opened.exchange.link.call("SLOWLOG", "RESET")


class Sent:
    """What the seller sent, and what it was answered."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.keyed: list[tuple[str, Any, str, bytes]] = []
        self.lead_ids: list[str] = []

    async def send(self, path: str, body: Any, key: str | None = None) -> dict[str, Any]:
        """One request that is answered 200; with a key, it can be sent again."""
        raw, _ = await self.raw(path, body, key)
        if key is not None:
            self.keyed.append((path, body, key, raw))
        known: dict[str, Any] = msgspec.json.decode(raw)
        lead_id = known.get("lead_id") or (known["data"]["id"] if "ingest" in path else None)
        if lead_id is not None:
            self.lead_ids.append(lead_id)
        return known

    async def raw(self, path: str, body: Any, key: str | None) -> tuple[bytes, bool]:
        sent = {"content-type": "application/json"} | ({} if key is None else {"idempotency-key": key})
        url = self.house.url + path
        async with self.house._session.post(url, data=msgspec.json.encode(body), headers=sent) as response:
            raw = await response.read()
            assert response.status == 200, raw
            return raw, "idempotent-replayed" in response.headers


async def send_everywhere(house: House) -> Sent:
    """One person, by every door."""
    sent = Sent(house)
    hashed = {"phone": PERSON["phone"], "email": PERSON["email"]}
    ping = {"campaign": "solar", "lead": {"state": "WY", "bill": 123_321, **hashed}, "sub_id": "sub-zq-17"}
    for number, key in enumerate((None, "of Zqanna")):
        floor = {"floor": number}  # so that it is no repeat
        offer = await sent.send("/ping", ping | floor, None if key is None else f"ping {key}")
        await sent.send("/post", {"ping_id": offer["ping_id"], "lead": PERSON}, key)
        for name in ("solar", "unloved", "unheard"):
            direct = {
                "campaign": name,
                "lead": {"state": "WY", "bill": 123_321, **PERSON},
                "sub_id": "sub-zq-17",
            }
            await sent.send("/direct", direct, None if key is None else f"{name} {key}")
        for name in ("solar", "unloved", "later"):
            whole = {"state": "WY", "bill": 123_321, **PERSON}
            of_router = {"campaign": name, "name": "Zqanna Zqobrien", **whole}
            del of_router["first_name"], of_router["last_name"]
            await sent.send("/api.php", of_router, None if key is None else f"router {name} {key}")
            of_leads = {"seller": "ACME1234", "category": name, **whole}
            await sent.send("/api/leads", of_leads, None if key is None else f"leads {name} {key}")
            of_distro = {"flo_campaign_id": name, "flo_supplier_id": "acme", **whole}
            await sent.send("/api/v1/ingest", of_distro, None if key is None else f"distro {name} {key}")
    return sent


async def tell(house: House, lead_id: str, buyer: str, **said: Any) -> dict[str, Any]:
    status, told = await house.ask("POST", "/postback", f"{buyer}-key", json={"lead_id": lead_id, **said})
    assert status == 200, told
    return told


async def everything(
    house: House, opener: Opener, valkey: EmbeddedValkey, tmp_path: Path
) -> dict[str, set[str]]:
    """Where in all that is kept what was planted can be read."""
    engine = open_engine(house.exchange.settings.ledger_url)
    rows = rows_of(engine)
    engine.dispose()
    counters = await counters_of(house.exchange.link)
    commands = commands_in(valkey._folder)
    files = files_in(tmp_path)
    opener.about |= {raw for _, raw in [*counters, *commands] if len(raw) == 16}
    kept = [*rows, *counters, *commands, *files]
    return places_with(opener, kept, (*PLANTED, *OF_THE_LEADS))


async def test_who_is_forgotten_can_be_read_nowhere(
    house: House, emptied_valkey: str, valkey: EmbeddedValkey, told: Recorder, tmp_path: Path
) -> None:
    sent = await send_everywhere(house)
    by_state: dict[str, list[str]] = {}
    for lead_id in sent.lead_ids:
        _, view = await house.get(f"/leads/{lead_id}")
        by_state.setdefault(view["status"], []).append(lead_id)
    assert set(by_state) == {"sold", "rejected", "pending", "waiting"}, by_state
    sold, pending = by_state["sold"], by_state["pending"]
    await tell(house, sold[0], "a-co", status="converted", value=80)
    returned = await tell(house, sold[1], "a-co", status="returned", reason="zqobrien_hung_up")
    assert returned["reason"] == "returned", "a word that names somebody is not kept"
    await tell(house, pending[0], "mute-co", status="accepted", buyer_lead_id="zqobrien-1")
    await house.exchange.postbacks.look()
    await house.exchange.writer.flush()
    opener = Opener(house.exchange._sealer)
    opener.about = {about for one in sent.lead_ids for about in (one.encode(), f"answer:{one}".encode())}
    for path, body, key, raw in sent.keyed:
        assert await sent.raw(path, body, key) == (raw, True), path

    before = await everything(house, opener, valkey, tmp_path)
    assert opener.opened > 40, "what is sealed is seen through"
    named = {where: found & set(PLANTED) for where, found in before.items() if found & set(PLANTED)}
    assert set(named) == {"leads.sealed", "leads.answer"}, "sealed in the ledger, and nowhere else"
    assert "zqlink" in named["leads.answer"]
    seals = sealed_in(house)
    assert [
        one for one in seals if in_files(one, tmp_path)
    ] or "sqlite" not in house.exchange.settings.ledger_url

    exit_code, said = await auction(house, emptied_valkey, "forget", "--email", PERSON["email"])
    assert exit_code == 0, said
    assert f"{len(sent.lead_ids)} leads" in said
    assert await everything(house, opener, valkey, tmp_path) == {}
    assert [one for one in seals if in_files(one, tmp_path)] == []

    for path, body, key, raw in sent.keyed:
        again, replayed = await sent.raw(path, body, key)
        assert (without_link(again), replayed) == (without_link(raw), True)
        assert b"zqlink" not in again
    told_late = await tell(house, pending[1], "mute-co", status="accepted", buyer_lead_id="zqobrien-2")
    assert told_late["changed"]
    await tell(house, sold[2], "a-co", status="returned", reason="zqobrien_hung_up")
    await house.exchange.postbacks.look()
    assert not places_with(opener, [("told", one.raw) for one in told.requests], PLANTED)
    assert await everything(house, opener, valkey, tmp_path) == {}


def without_link(raw: bytes) -> dict[str, Any]:
    known: dict[str, Any] = msgspec.json.decode(raw)
    known.pop("redirect_url", None)
    return known


def sealed_in(house: House) -> list[bytes]:
    """What is sealed in the ledger now, as it lies there."""
    engine = open_engine(house.exchange.settings.ledger_url)
    with engine.connect() as conn:
        rows = conn.execute(leads.select()).all()
    engine.dispose()
    return [one for row in rows for one in (bytes(row.sealed), (row.answer or "").encode()) if one]


def files_in(folder: Path) -> list[tuple[str, bytes]]:
    """Every file; those that a house at work replaces or drops meanwhile are not there."""
    found: list[tuple[str, bytes]] = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                found.append((path.name, path.read_bytes()))
    return found


def in_files(raw: bytes, folder: Path) -> bool:
    return any(raw in held for _, held in files_in(folder))
