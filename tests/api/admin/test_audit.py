"""Who changed what: by the API, by the command line; each change with its version and its differences."""

from __future__ import annotations

from tests.api.admin.conftest import Operator, on_both


@on_both
async def test_every_change_is_written_down(ops: Operator) -> None:
    await ops.call("POST", "/sellers", {"id": "zeta"})
    await ops.with_key("writer-key").patch("/orders/a", {"tier": 2, "paused": True})
    await ops.patch("/orders/a", {"tier": 2})  # changes nothing
    await ops.patch("/buyers/a-co", {"headers": {"x-token": "hush-hush"}})
    await ops.call("DELETE", "/sellers/zeta", if_match="*")
    told = (await ops.get("/audit?version[$ne]=1")).json
    assert [(one["who"], one["action"], one["kind"], one["id"], one["version"]) for one in told["data"]] == [
        ("admin:ops", "delete", "seller", "zeta", 5),
        ("admin:ops", "change", "buyer", "a-co", 4),
        ("admin:writer", "change", "order", "a", 3),
        ("admin:ops", "create", "seller", "zeta", 2),
    ]
    assert told["data"][2]["changes"] == ["tier: 1 -> 2", "paused: false -> true"]
    assert told["data"][1]["changes"] == ["headers: (changed)"]
    first = (await ops.get("/audit?version=1&kind=seller")).json["data"]
    assert [(one["who"], one["action"], one["id"]) for one in first] == [("cli", "create", "acme")]
    assert (await ops.get("/audit?who=admin:writer&since=2026-01-01")).json["total"] == 1
    assert (await ops.get("/audit?until=2026-01-01")).json["total"] == 0
    assert (await ops.get("/audit?at=1")).code == "bad_query"
    for query, field, known in (
        ("kind=ordre", "kind", "`order`"),
        ("action[$ne]=Delete", "action[$ne]", "`delete`"),
    ):
        unknown = await ops.get(f"/audit?{query}")
        assert (unknown.status, unknown.code, unknown.fields) == (422, "bad_fields", [field])
        assert unknown.json["errors"][0]["error"].endswith(f"; did you mean {known}?")
    assert (await ops.with_key("test-key").get("/audit")).status == 401
