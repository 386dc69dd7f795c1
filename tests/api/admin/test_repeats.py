"""`Idempotency-Key` on changes of the catalogue: one effect, one answer, and no other request's key."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace
from sqlalchemy import select

from auction.api import changes
from auction.changes.administration import Administration
from auction.idempotency import KeyedRequest
from auction.ledger.request_keys import KEPT_MS, drop_old_keys
from auction.ledger.schema import request_keys
from auction.request_keys import Begun
from tests.api.admin.conftest import Operator, on_both

ZETA = {"id": "zeta", "name": "Zeta"}


@on_both
async def test_the_same_change_is_made_once_and_told_the_same(ops: Operator) -> None:
    first = await ops.call("POST", "/sellers", ZETA, idempotency_key="k1")
    again = await ops.call("POST", "/sellers", dict(reversed(ZETA.items())), idempotency_key="k1")
    assert (again.status, again.json, again.tag) == (201, first.json, first.tag)
    assert again.headers["location"] == "/admin/sellers/zeta"
    assert (again.version, again.headers["idempotent-replayed"]) == (2, "true")
    other = await ops.call("POST", "/sellers", {**ZETA, "name": "Y"}, idempotency_key="k1")
    assert (other.status, other.code) == (409, "idempotency_conflict")
    other = await ops.call("POST", "/buyers", ZETA, idempotency_key="k1")
    assert other.code == "idempotency_conflict"
    writer = await ops.with_key("writer-key").call("POST", "/sellers", ZETA, idempotency_key="k1")
    assert (writer.code, "idempotent-replayed" in writer.headers) == ("already_there", False)
    ops.house.clock.move(KEPT_MS + 1)
    assert (await ops.call("POST", "/sellers", ZETA, idempotency_key="k1")).code == "already_there"


async def test_every_kind_of_change_takes_a_key(ops: Operator) -> None:
    patch = {"if_match": '"v1"', "idempotency_key": "p"}
    told = [await ops.call("PATCH", "/orders/a", {"tier": 2}, **patch) for _ in range(2)]
    assert [(one.status, one.version) for one in told] == [(200, 2)] * 2
    gone = {"if_match": '"v2"', "idempotency_key": "d"}
    told = [await ops.call("DELETE", "/orders/a", **gone) for _ in range(2)]
    assert [(one.status, one.json) for one in told] == [(200, {"version": 3})] * 2


async def test_what_is_wrong_is_an_answer_and_what_says_look_again_is_none(ops: Operator) -> None:
    wrong = [await ops.patch("/orders/a", {"tier": 99}, idempotency_key="w") for _ in range(2)]
    assert [(one.status, "idempotent-replayed" in one.headers) for one in wrong] == [
        (422, False),
        (422, True),
    ]
    stale = {"idempotency_key": "s"}
    assert (await ops.call("PATCH", "/orders/a", {"tier": 2}, if_match='"v7"', **stale)).status == 412
    assert (await ops.call("PATCH", "/orders/a", {"tier": 2}, if_match='"v1"', **stale)).status == 200


@on_both
async def test_twenty_at_once_are_one(ops: Operator) -> None:
    told = await asyncio.gather(*(ops.call("POST", "/sellers", ZETA, idempotency_key="k") for _ in range(20)))
    assert {one.status for one in told} <= {201, 409}
    made = [one for one in told if one.status == 201]
    assert sum("idempotent-replayed" not in one.headers for one in made) == 1
    assert all(one.code == "request_in_progress" for one in told if one.status == 409)
    assert (await ops.get("/audit?id=zeta")).json["total"] == 1


async def test_one_that_is_being_worked_on_is_waited_for_and_its_late_owner_changes_nothing(
    ops: Operator, monkeypatch: Any
) -> None:
    monkeypatch.setattr(changes, "WAIT_S", 0.1)
    administration: Administration = ops.house.exchange.administration
    idempotency: Any = administration.idempotency
    request = KeyedRequest(
        caller="admin:ops", key="k", door="POST /admin/sellers", body_hash=b"", give_up_s=0, lease_ms=0
    )
    use = replace(idempotency._use(request), owner="frozen", print_of=b"x" * 16)
    assert await idempotency._keys.begin(use, ops.house.clock.now_ms(), 10_000) == Begun()
    told = await ops.call("POST", "/sellers", ZETA, idempotency_key="k")
    assert told.code == "idempotency_conflict"
    ops.house.clock.move(10_001)
    assert (await ops.call("POST", "/sellers", ZETA, idempotency_key="k")).status == 201
    assert not await idempotency._keys.end(use, ops.house.clock.now_ms(), b"late")


async def test_a_key_that_was_kept_long_enough_is_dropped(ops: Operator) -> None:
    await ops.call("POST", "/sellers", ZETA, idempotency_key="k")
    exchange = ops.house.exchange
    now_ms = exchange.clock.now_ms()
    assert await exchange.writer.write(lambda conn: drop_old_keys(conn, now_ms + KEPT_MS - 1, 10)) == 0
    ops.house.clock.move(KEPT_MS)
    await exchange.retention.look()
    assert exchange.retention.request_keys == 1


async def test_an_answer_says_nothing_in_the_ledger(ops: Operator) -> None:

    await ops.call("POST", "/sellers", {"id": "zeta", "name": "Planted"}, idempotency_key="planted-key")
    rows = await ops.house.exchange.reader.read(lambda conn: conn.execute(select(request_keys)).all())
    assert len(rows) == 1
    assert "lanted" not in str(rows)
