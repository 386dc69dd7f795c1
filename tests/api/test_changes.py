"""Changes at the lead routes' door and the operators': one effect for each `Idempotency-Key`, so many a minute for each
key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from auction.api import changes
from auction.api.idempotency import hash_of
from auction.errors import HouseError
from auction.idempotency import KeyedRequest
from auction.ledger.request_keys import KEPT_MS
from auction.request_keys import Begun
from tests.api.admin.conftest import ADMINS
from tests.api.conftest import hash_of_key
from tests.faults.breaking import CountersAwayAt
from tests.house import House

FILE = Path(__file__).parents[1] / "doors" / "003" / "catalogue.yaml"
AGENT, OTHER, OPS = "agent-key", "other-key", "ops-key"
MINE: dict[str, Any] = {"lead_source_id": 1, "distribution_target": "Myself"}
MINUTE_MS = 60_000
OpenHouse = Callable[..., Awaitable[House]]


class Told(msgspec.Struct):
    """An answer."""

    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def is_replayed(self) -> bool:
        """Whether it was given before."""
        return self.headers.get("idempotent-replayed") == "true"

    @property
    def left(self) -> tuple[str | None, str | None]:
        """The limit, and what is left of it."""
        return self.headers.get("x-ratelimit-limit"), self.headers.get("x-ratelimit-remaining")


async def call(
    house: House, method: str, path: str, body: Any = None, *, key: str = AGENT, **headers: str
) -> Told:
    """One request; a name of a header is written with `_`."""
    sent = {"authorization": f"Bearer {key}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    async with aiohttp.request(method, house.url + path, json=body, headers=sent) as answer:
        return Told(answer.status, answer.headers.copy(), await answer.json(content_type=None))


async def routes_of(house: House) -> int:
    total: int = (await call(house, "GET", "/lead-routes")).json["total"]
    return total


@pytest.fixture
async def house(open_test_house: OpenHouse) -> House:
    """The house of the document's catalogue, on each kind of ledger."""
    return await open_test_house([], text=FILE.read_text(encoding="utf-8"))


@pytest.fixture
def open_limited(open_sqlite_house: OpenHouse) -> Callable[[], Awaitable[House]]:
    """The same, with operators, where a key makes two changes a minute."""
    text = FILE.read_text(encoding="utf-8") + "\nadmins: " + msgspec.json.encode(ADMINS[:1]).decode() + "\n"

    async def open_one() -> House:
        return await open_sqlite_house([], text=text, settings={"changes_per_minute": 2})

    return open_one


async def test_the_same_change_of_a_route_is_made_once_and_told_the_same(house: House) -> None:
    before = await routes_of(house)
    first = await call(house, "POST", "/lead-routes", MINE, idempotency_key="k1")
    again = await call(house, "POST", "/lead-routes", dict(reversed(MINE.items())), idempotency_key="k1")
    assert (first.status, first.is_replayed) == (201, False)
    assert (again.status, again.json, again.is_replayed) == (201, first.json, True)
    assert await routes_of(house) == before + 1

    path = f"/lead-routes/{first.json['id']}"
    for method, body in (("PATCH", {"filter": "Buyer"}), ("DELETE", None)):
        told = [await call(house, method, path, body, idempotency_key=f"k-{method}") for _ in range(2)]
        assert [(one.status, one.is_replayed) for one in told] == [(200, False), (200, True)]
        assert told[0].json == told[1].json
    assert (await call(house, "GET", path)).status == 404
    assert await routes_of(house) == before


async def test_a_key_is_one_requests_and_one_buyers(house: House) -> None:
    first = await call(house, "POST", "/lead-routes", MINE, idempotency_key="k")
    for method, path, body in (
        ("POST", "/lead-routes", {**MINE, "filter": "x"}),
        ("PATCH", f"/lead-routes/{first.json['id']}", MINE),
    ):
        told = await call(house, method, path, body, idempotency_key="k")
        assert (told.status, told.json["code"]) == (409, "idempotency_conflict")
    others = await call(house, "POST", "/lead-routes", MINE, key=OTHER, idempotency_key="k")
    assert not others.is_replayed
    house.clock.move(KEPT_MS + 1)
    later = await call(house, "POST", "/lead-routes", MINE, idempotency_key="k")
    assert (later.status, later.is_replayed) == (201, False)


async def test_what_is_wrong_is_an_answer_too(house: House) -> None:
    wrong = {**MINE, "team_id": 99}
    told = [await call(house, "POST", "/lead-routes", wrong, idempotency_key="w") for _ in range(2)]
    assert [(one.status, one.json["errors"][0]["field"], one.is_replayed) for one in told] == [
        (422, "team_id", False),
        (422, "team_id", True),
    ]
    bad = await call(house, "POST", "/lead-routes", MINE, idempotency_key="x" * 129)
    assert (bad.status, bad.json["errors"][0]["field"]) == (422, "Idempotency-Key")


async def test_twenty_at_once_make_one_route(house: House) -> None:
    before = await routes_of(house)
    told = await asyncio.gather(
        *(call(house, "POST", "/lead-routes", MINE, idempotency_key="k") for _ in range(20))
    )
    made = [one for one in told if one.status == 201]
    assert {one.json["id"] for one in made} == {made[0].json["id"]}
    assert sum(not one.is_replayed for one in made) == 1
    assert all(one.json["code"] == "request_in_progress" for one in told if one.status != 201)
    assert await routes_of(house) == before + 1


async def test_the_answer_is_kept_with_the_change(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens after the change: here the key cannot be ended by itself any more."""

    async def lost(*_: Any) -> bool:
        raise HouseError("ledger_unavailable", "Away.")

    idempotency: Any = house.exchange.administration.idempotency
    monkeypatch.setattr(idempotency._keys, "end", lost)
    first = await call(house, "POST", "/lead-routes", MINE, idempotency_key="k")
    again = await call(house, "POST", "/lead-routes", MINE, idempotency_key="k")
    assert (again.status, again.json, again.is_replayed) == (201, first.json, True)


async def test_one_that_is_being_worked_on_is_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "WAIT_S", 0.1)
    idempotency: Any = house.exchange.administration.idempotency
    request = KeyedRequest(
        caller="buyer:agent",
        key="k",
        door="DELETE /lead-routes/1",
        body_hash=hash_of({}),
        give_up_s=0,
        lease_ms=0,
    )
    use = replace(idempotency._use(request), owner="frozen")
    assert await idempotency._keys.begin(use, house.clock.now_ms(), 10_000) == Begun()
    told = await call(house, "DELETE", "/lead-routes/1", idempotency_key="k")
    assert (told.status, told.json["code"]) == (409, "request_in_progress")
    assert (await call(house, "GET", "/lead-routes/1")).status == 200
    house.clock.move(10_001)
    assert (await call(house, "DELETE", "/lead-routes/1", idempotency_key="k")).status == 200


async def test_a_key_makes_so_many_changes_a_minute(open_limited: Callable[[], Awaitable[House]]) -> None:
    house = await open_limited()
    told = [await call(house, "POST", "/lead-routes", MINE) for _ in range(3)]
    assert [(one.status, one.left) for one in told] == [
        *((201, ("2", "1")), (201, ("2", "0"))),
        (429, ("2", "0")),
    ]
    late = told[-1]
    assert (late.json["code"], late.headers["retry-after"]) == ("rate_limited", "60")
    assert "x-ratelimit-reset" in late.headers
    assert (await call(house, "DELETE", "/lead-routes/1")).status == 429
    assert (await call(house, "GET", "/lead-routes/1")).left == (None, None)  # to look is not to change
    assert (await call(house, "DELETE", "/lead-routes/1", key=OTHER)).status == 404
    house.clock.move(MINUTE_MS)
    assert (await call(house, "DELETE", "/lead-routes/1")).status == 200
    assert house.exchange.routes_rate.refused == 2


async def test_an_operators_key_makes_so_many_changes_a_minute(
    open_limited: Callable[[], Awaitable[House]],
) -> None:
    house = await open_limited()
    seller = {"id": "zeta"}
    made = await call(house, "POST", "/admin/sellers", seller, key=OPS)
    again = await call(house, "POST", "/admin/sellers", seller, key=OPS)
    assert [(one.status, one.left) for one in (made, again)] == [(201, ("2", "1")), (409, (None, None))]
    for method, path, body in (
        ("PATCH", "/admin/sellers/zeta", {"name": "Z"}),
        ("POST", "/admin/sellers/zeta/keys", None),
        ("POST", "/admin/leads/x/settle", {"outcome": "accepted"}),
        ("DELETE", "/admin/sellers/zeta", None),
    ):
        late = await call(house, method, path, body, key=OPS, if_match="*")
        assert (late.status, late.json["code"], late.headers["retry-after"]) == (429, "rate_limited", "60")
    assert (await call(house, "GET", "/admin/sellers/zeta", key=OPS)).status == 200
    assert (await call(house, "POST", "/lead-routes", MINE)).status == 201  # a budget of its own
    assert house.exchange.admin_rate.refused == 4


async def test_an_upload_is_a_change(open_sqlite_house: OpenHouse) -> None:
    sections = {"admins": ADMINS[:1], "suppression_lists": [{"id": "dnc", "fields": ["phone"]}]}
    house = await open_sqlite_house(
        [{"id": "a", "buyer": "a-co"}], {}, sections=sections, settings={"changes_per_minute": 1}
    )
    path, headers = "/admin/suppression_lists/dnc/entries", {"authorization": f"Bearer {OPS}"}
    statuses = []
    for _ in range(2):
        text = {**headers, "content-type": "text/plain"}
        async with aiohttp.request("PUT", house.url + path, data="5125550100", headers=text) as answer:
            statuses.append((answer.status, answer.headers["x-ratelimit-remaining"]))
    assert statuses == [(200, "0"), (429, "0")]
    assert hash_of_key(OPS) in ADMINS[0]["keys"]


async def test_counters_that_are_away_hold_up_no_change(
    open_limited: Callable[[], Awaitable[House]],
) -> None:
    """A change needs the ledger alone: what the operator may have to do then is not refused."""
    house = await open_limited()
    rate: Any = house.exchange.admin_rate
    rate._counters = CountersAwayAt(rate._counters, "admit_request", times=5)
    told = [await call(house, "POST", "/admin/sellers", {"id": f"s{at}"}, key=OPS) for at in range(5)]
    assert [(one.status, one.left) for one in told] == [(201, (None, None))] * 5
    assert (rate.uncounted, rate.refused) == (5, 0)
