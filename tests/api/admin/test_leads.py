"""Leads and money as operators see them, and what nobody knows, settled."""

from __future__ import annotations

from typing import Any

import pytest

from auction.reports.report import Report, Status
from tests.api.admin.conftest import OpenOffice, Operator, on_both
from tests.api.wired import until
from tests.house import NOON_MS, PERSON, House

HOUR_MS = 3_600_000


async def sell(house: House, number: int, **person: Any) -> dict[str, Any]:
    offer = await house.ping(sub_id=f"s{number}")
    return await house.sell(offer["ping_id"], phone=f"+1512555{number:04}", **person)


@pytest.fixture
async def sold(open_office: OpenOffice) -> Operator:
    """Three leads sold to a, a day apart; the second for test; a fourth that nobody knows of."""
    ops = await open_office(
        manners={"a-co": {"bid": {"price": 30}}, "b-co": {}}, sellers=[{**SELLER_20, "margin": "20%"}]
    )
    await sell(ops.house, 1)
    offer = await ops.house.ping(sub_id="s2", test=True)
    await ops.house.sell(offer["ping_id"])
    ops.house.clock.move(24 * HOUR_MS)
    await sell(ops.house, 3)
    await ops.house.change_manner("a-co", {"bid": {"price": 30}, "post": {"faults": {"error_500": 1.0}}})
    assert (await sell(ops.house, 4))["status"] == "pending"
    return ops


NOTHING_BACK = {"returned": 0, "credited": 0}
SELLER_20 = {
    "id": "acme",
    "keys": ["sha256:62af8704764faf8ea82fc61ce9c4c3908b6cb97d463a634e9e587d7c885db0ef"],
}


@on_both
async def test_leads_are_listed_latest_first_and_name_nobody(sold: Operator) -> None:
    told = (await sold.get("/leads")).json
    assert (told["total"], [one["sub_id"] for one in told["data"]]) == (4, ["s4", "s3", "s2", "s1"])
    assert [(one["status"], one["buyers"], one["payout"]) for one in told["data"][:2]] == [
        ("pending", [], 0),
        ("sold", ["a-co"], 24),
    ]
    for planted in (PERSON["first_name"], "+1512", "phone"):
        assert planted not in str(told)

    async def found(query: str) -> list[str]:
        return [one["sub_id"] for one in (await sold.get(f"/leads?{query}")).json["data"]]

    assert await found("status=sold&test=false") == ["s3", "s1"]
    assert await found("status[$ne]=sold") == ["s4"]
    assert await found("buyer=a-co&$limit=1&$skip=1") == ["s2"]
    assert await found("buyer[$nin]=a-co") == ["s4"]
    assert await found("buyer=null") == ["s4"]
    assert await found("reason[$ne]=null") == []
    assert await found("sub_id[$in]=s1&sub_id[$in]=s4") == ["s4", "s1"]
    assert await found("since=2026-01-02T00:00:00Z") == ["s4", "s3"]
    assert await found("until=2026-01-02") == ["s2", "s1"]
    assert await found("seller=none") == []
    for query in ("since=soon", "since[$ne]=2026-01-01", "$skip=10001", "nmae=1", "sub_id=%00", "test=maybe"):
        told = await sold.get(f"/leads?{query}")
        assert (told.status, told.code) == (400, "bad_query"), query
    told = await sold.get("/leads?status=nonsense&status[$in]=sold&status[$in]=solid")
    assert (told.status, told.code, told.fields) == (422, "bad_fields", ["status", "status[$in]"])
    first, second = (error["error"] for error in told.json["errors"])
    assert first == (
        "expected one of received, offered, sold, rejected, pending, waiting, delivered, converted, returned"
    )
    assert second == f"{first}; did you mean `sold`?"
    assert await found("status=null") == []


async def test_a_lead_is_told_whole_but_for_the_person(sold: Operator) -> None:
    (line,) = (await sold.get("/leads?sub_id=s1")).json["data"]
    told = (await sold.get(f"/leads/{line['lead_id']}")).json
    assert told["lead"] == line
    (offer,), (sale,) = told["offers"], told["sales"]
    assert (offer["order"], offer["buyer"], offer["status"], offer["price"]) == ("a", "a-co", "accepted", 30)
    assert (sale["price"], sale["payout"], sale["margin"]) == (30, 24, 6)
    assert [step["status"] for step in told["history"]][-2:] == ["offered", "sold"]
    assert "+1512" not in str(told)
    reader = sold.with_key("reader-key")
    without = (await reader.get(f"/leads/{line['lead_id']}")).json
    for money in ("price", "payout", "margin"):
        assert money not in str(without)
    assert "payout" not in str((await reader.get("/leads")).json)
    assert (await sold.get("/leads/none")).code == "unknown_lead"
    assert (await sold.with_key("writer-key").get("/leads")).code == "not_in_your_scope"


@on_both
async def test_money_is_summed_by_what_is_asked(sold: Operator) -> None:
    told = (await sold.get("/money")).json
    assert told["data"] == [{"sales": 2, "price": 60, "payout": 48, "margin": 12, **NOTHING_BACK}]
    assert (told["currency"], told["timezone"]) == ("USD", "UTC")
    one = {"sales": 1, "price": 30, "payout": 24, "margin": 6, **NOTHING_BACK}
    told = (await sold.get("/money?by=day&by=seller")).json
    assert told["data"] == [
        {"seller": "acme", "day": "2026-01-01", **one},
        {"seller": "acme", "day": "2026-01-02", **one},
    ]
    assert (await sold.get("/money?by=buyer&test=true")).json["data"] == [{"buyer": "a-co", **one}]
    assert (await sold.get("/money?by=order&since=2026-01-02")).json["data"] == [{"order": "a", **one}]
    assert (await sold.get("/money?buyer[$ne]=a-co&by=day")).json["data"] == []
    for query in ("since=2020-01-01", "since=2027-01-01", "seller[$x]=1"):
        assert (await sold.get(f"/money?{query}")).code == "bad_query", query
    unknown = await sold.get("/money?by=hour")
    assert (unknown.status, unknown.fields) == (422, ["by"])
    assert (await sold.with_key("reader-key").get("/money")).code == "not_in_your_scope"


@on_both
async def test_what_was_given_back_is_not_earned(open_office: OpenOffice) -> None:
    orders = [{"id": "a", "buyer": "a-co", "returns": {"days": 5}}]
    ops = await open_office(orders, sellers=[{**SELLER_20, "margin": "20%"}])
    kept, back = [(await sell(ops.house, number))["lead_id"] for number in (1, 2)]
    for status, more in (
        ("converted", {"value_micros": 99_000_000}),
        ("returned", {"reason": "wrong_number"}),
    ):
        told = Report(status=Status(status), by="buyer a-co", buyer_id="a-co", lead_id=back, **more)
        await ops.house.exchange.reporting.report(told)
    lines = {one["lead_id"]: one for one in (await ops.get("/leads")).json["data"]}
    assert (lines[kept]["buyers"], "returned_by" in lines[kept]) == (["a-co"], False)
    assert (lines[back]["buyers"], lines[back]["returned_by"]) == ([], ["a-co"])
    assert (await ops.get(f"/leads/{back}")).json["lead"] == lines[back]
    for query, expected in (
        ("buyer=a-co", [kept]),
        ("buyer=null", [back]),
        ("returned_by=a-co", [back]),
        ("returned_by=null", [kept]),
        ("returned_by[$ne]=a-co", [kept]),
    ):
        found = (await ops.get(f"/leads?{query}")).json["data"]
        assert [one["lead_id"] for one in found] == expected, query
    stands = {"sales": 1, "price": 30, "payout": 24, "margin": 6}
    assert (await ops.get("/money")).json["data"] == [{**stands, "returned": 1, "credited": 30}]
    assert (await ops.get("/money?by=day")).json["data"] == [
        {"day": "2026-01-01", **stands, "returned": 1, "credited": 30}
    ]
    (sale,) = (await ops.get(f"/leads/{kept}")).json["sales"]
    assert "returned_at" not in sale
    lead = (await ops.get(f"/leads/{back}")).json
    (sale,) = lead["sales"]
    assert (sale["return_reason"], sale["value"], "returned_at" in sale, "delivered_at" in sale) == (
        *("wrong_number", 99),
        *(True, False),
    )
    assert [(step["told"], step["value"]) for step in lead["history"][-2:]] == [
        ("converted", 99),
        ("returned", None),
    ]
    without = (await ops.with_key("reader-key").get(f"/leads/{back}")).json
    (sale,) = without["sales"]
    assert (sale["return_reason"], "value" in sale) == ("wrong_number", False)
    assert {step["value"] for step in without["history"]} == {None}


async def test_days_are_those_of_the_exchange(sold: Operator) -> None:
    await sold.patch("/exchange", {"timezone": "Pacific/Auckland"})
    exchange = sold.house.exchange

    await until(lambda: exchange.floor.market.house.timezone == "Pacific/Auckland")
    days = [one["day"] for one in (await sold.get("/money?by=day")).json["data"]]
    assert days == ["2026-01-02", "2026-01-03"]
    assert NOON_MS % 86_400_000 == 12 * HOUR_MS


@on_both
async def test_what_nobody_knows_is_settled(sold: Operator) -> None:
    (line,) = (await sold.get("/leads?status=pending")).json["data"]
    path = f"/leads/{line['lead_id']}/settle"
    wrong = await sold.call("POST", path, {"outcome": "maybe", "oder": "a", "reason": 5})
    assert sorted(wrong.fields) == ["oder", "outcome", "reason"]
    assert (await sold.with_key("reader-key").call("POST", path, {"outcome": "accepted"})).status == 403
    assert (await sold.call("POST", path, {"outcome": "accepted", "order": "b"})).code == "unknown_order"
    said = {"outcome": "accepted"}
    settled = await sold.call("POST", path, said, idempotency_key="s")
    assert settled.json == {
        "lead_id": line["lead_id"],
        "status": "sold",
        "order": "a",
        "buyer": "a-co",
        "payout": 24,
    }
    again = await sold.call("POST", path, said, idempotency_key="s")
    assert (again.json, again.headers["idempotent-replayed"]) == (settled.json, "true")
    late = await sold.call("POST", path, {"outcome": "rejected"})
    assert (late.status, late.code) == (409, "nothing_unknown")
    history = (await sold.get(f"/leads/{line['lead_id']}")).json["history"]
    assert history[-1]["by"] == "operator ops"
    assert (await sold.call("POST", "/leads/none/settle", said)).code == "unknown_lead"
