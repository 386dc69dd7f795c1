"""API keys made and taken back by operators."""

from __future__ import annotations

from tests.api.admin.conftest import Operator, on_both
from tests.api.wired import until
from tests.house import KEY_HASH, PING


@on_both
async def test_a_key_is_shown_once_works_and_is_taken_back(ops: Operator) -> None:
    made = await ops.call("POST", "/sellers/acme/keys", {}, idempotency_key="k1")
    assert made.status == 201
    key, key_hash = made.json["key"], made.json["hash"]
    again = await ops.call("POST", "/sellers/acme/keys", {}, idempotency_key="k1")
    assert (again.json, again.headers["idempotent-replayed"]) == (made.json, "true")
    listed = (await ops.get("/sellers/acme/keys")).json
    assert key not in str(listed)
    assert [(line["hash"], line["in_catalogue"]) for line in listed["data"]] == [
        (KEY_HASH, True),
        (key_hash, False),
    ]
    house = ops.house
    await until(lambda: house.exchange.floor.market.seller_of_key(key) is not None)
    assert (await house.post("/ping", PING, **{"x-api-key": key}))[0] == 200
    gone = await ops.call("DELETE", f"/sellers/acme/keys/{key_hash}")
    assert (gone.status, gone.json) == (200, {"version": 3})
    await until(lambda: house.exchange.floor.market.seller_of_key(key) is None)
    assert (await house.post("/ping", PING, **{"x-api-key": key}))[0] == 401
    last = (await ops.get("/sellers/acme/keys")).json["data"][-1]
    assert last["revoked_at"] == "2026-01-01T12:00:00.000Z"
    audit = (await ops.get("/audit?kind=seller&who=admin:ops")).json["data"]
    assert [(line["action"], line["changes"]) for line in audit] == [
        ("revoke_key", [key_hash]),
        ("add_key", [key_hash]),
    ]


async def test_a_key_is_its_holders_alone(ops: Operator) -> None:
    made = await ops.call("POST", "/buyers/a-co/keys")
    await until(lambda: ops.house.exchange.floor.market.buyer_of_key(made.json["key"]) is not None)
    for holder in ("/buyers/b-co", "/sellers/acme", "/admins/ops"):
        told = await ops.call("DELETE", f"{holder}/keys/{made.json['hash']}")
        assert (told.status, told.code) == (404, "no_such_key")
    told = await ops.call("DELETE", f"/sellers/acme/keys/{KEY_HASH}")
    assert (told.status, told.code) == (409, "key_in_catalogue")
    assert (await ops.call("POST", "/sellers/none/keys")).code == "unknown_entry"
    assert (await ops.get("/orders/a/keys")).status == 404


async def test_no_operator_makes_a_key_for_more_than_it_may(ops: Operator) -> None:
    writer = ops.with_key("writer-key")
    told = await writer.call("POST", "/admins/ops/keys")
    assert (told.status, told.code) == (403, "not_in_your_scope")
    made = await writer.call("POST", "/admins/writer/keys")
    assert made.status == 201
    mine = ops.with_key(made.json["key"])
    await until(lambda: ops.house.exchange.floor.market.admin_of_key(made.json["key"]) is not None)
    assert (await mine.get("/orders")).status == 200
    assert (await ops.with_key("reader-key").call("POST", "/sellers/acme/keys")).status == 403
