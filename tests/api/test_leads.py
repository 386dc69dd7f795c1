"""`POST /api/leads`: by body, form and query; whose lead, which campaign; the limit of a key; errors in its shape."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.conftest import OpenDoors, hash_of_key
from tests.house import CAMPAIGN, KEY, KEY_HASH, House

ACME = {
    "id": "acme",
    "code": "ACME1234",
    "slug": "acme-leads",
    "keys": [KEY_HASH, hash_of_key("second-key")],
    "campaigns": ["solar"],
    "margin": "20%",
}
RIVAL = {"id": "rival", "code": "RIVAL777", "keys": [hash_of_key("rival-key")]}
DOOR = {"doors": {"leads": {"name": "Solar Leads", "fields": {"monthlyBill": "bill"}}}, "pending_hours": 5}
BOATS = {**CAMPAIGN, "id": "boats", "doors": {"leads": {"name": "Boats"}}}
FIXED = [{"id": "a", "buyer": "a-co", "price": {"fixed": 20}, "filter": {"field": "state", "equals": "TX"}}]
LEAD: dict[str, Any] = {
    "seller": "ACME1234",
    "category": "Solar Leads",
    "state": "TX",
    "firstName": "Ann",
    "phone": "512-555-0142",
}


@pytest.fixture
async def house(open_doors: OpenDoors) -> House:
    return await open_doors(FIXED, {}, campaign=DOOR, sellers=[ACME, RIVAL], more_campaigns=[BOATS])


async def send(house: House, path: str = "/api/leads", **changes: Any) -> tuple[int, dict[str, Any]]:
    return await house.post(path, {**LEAD, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seller": "acme1234"},
        {"seller": "acme-leads"},
        {"category": "solar leads"},
        {"category": "solar"},
        {"firstName": None, "first_name": "Ann"},
        {"monthlyBill": 120},
    ],
)
async def test_sold(house: House, changes: dict[str, Any]) -> None:
    status, answer = await send(house, **changes)
    lead_id = answer.pop("lead_id")
    assert (status, answer) == (
        200,
        {"success": True, "status": "sold", "price": 16.0, "buyer_ids": ["a-co"]},
    )
    assert (await house.get(f"/leads/{lead_id}"))[1]["payout"] == 16.0
    (posted,) = await house.seen("a-co", "post")
    assert posted["body"]["lead"]["first_name"] == "Ann"
    assert posted["body"]["lead"].get("bill") == changes.get("monthlyBill")


async def test_two_names_of_one_field_are_named(house: House) -> None:
    status, answer = await send(house, first_name="Bob")
    assert (status, answer["code"]) == (422, "bad_fields")
    assert answer["fields"] == {"first_name": "means the same field as firstName: send one of them"}


async def test_an_empty_body_and_another_type_are_told_what_to_send(house: House) -> None:
    _, answer = await house.post("/api.php", b"", **{"content-type": "application/json"})
    assert answer["detail"] == "The body is not JSON: it is empty."
    _, answer = await house.post("/api/leads", b"<a/>", **{"content-type": "text/xml"})
    assert (
        answer["details"]
        == "Send the body as application/json, application/x-www-form-urlencoded or multipart/form-data."
    )


async def test_by_query_and_the_body_wins(house: House) -> None:
    query = "/api/leads?" + urlencode({**LEAD, "monthlyBill": "90", "city": ""})
    assert (await house.post(query, b""))[1]["status"] == "sold"
    assert (await house.post(query, {"firstName": "Bob"}))[1]["status"] == "sold"
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert (await house.post(query, b"firstName=Cy&state=TX", **form))[1]["status"] == "sold"
    names = [one["body"]["lead"]["first_name"] for one in await house.seen("a-co", "post")]
    assert names == ["Ann", "Bob", "Cy"]


async def test_pending_and_rejected(house: House) -> None:
    status, answer = await send(house, state="WA")
    assert (status, answer["success"], answer["status"]) == (200, True, "pending")
    assert set(answer) == {"success", "status", "lead_id"}
    await house.change_manner("a-co", {"post": {"accept": 0, "reject_reasons": ["bad_phone"]}})
    status, answer = await send(house)
    assert (status, answer["success"], answer["status"]) == (200, False, "rejected")
    assert answer["reason"] == "bad_phone"


@pytest.mark.parametrize(
    ("changes", "status", "error", "code", "fields"),
    [
        ({"seller": "RIVAL777"}, 400, "No matching seller", "unknown_seller", None),
        ({"seller": "NOBODY"}, 400, "No matching seller", "unknown_seller", None),
        ({"seller": 7}, 400, "No matching seller", "unknown_seller", None),
        ({"category": "Boats"}, 400, "No matching campaign", "unknown_campaign", None),
        ({"category": "Nothing"}, 400, "No matching campaign", "unknown_campaign", None),
        ({"category": ["x"]}, 400, "No matching campaign", "unknown_campaign", None),
        ({"seller": None}, 400, "Missing required field", "missing_fields", {"seller"}),
        (
            {"category": None, "phone": None},
            400,
            "Missing required field",
            "missing_fields",
            {"category", "lastName", "phone"},
        ),
        (
            {"firstName": None, "state": None},
            400,
            "Missing required field",
            "missing_fields",
            {"firstName", "state"},
        ),
        (
            {"firstName": None, "phone": "1"},
            400,
            "Missing required field",
            "missing_fields",
            {"firstName", "phone"},
        ),
        ({"state": "Texxas"}, 422, "Invalid field", "bad_fields", {"state"}),
        ({"firstName": ""}, 422, "Invalid field", "bad_fields", {"firstName"}),
        ({"monthlyBill": "much"}, 422, "Invalid field", "bad_fields", {"monthlyBill"}),
        ({"shoeSize": 12}, 422, "Invalid field", "bad_fields", {"shoeSize"}),
        ({"first_name": "Bob"}, 422, "Invalid field", "bad_fields", {"first_name"}),
    ],
)
async def test_mistakes(
    house: House, changes: dict[str, Any], status: int, error: str, code: str, fields: set[str] | None
) -> None:
    found, answer = await send(house, **changes)
    assert (found, answer["success"], answer["error"], answer["code"]) == (status, False, error, code)
    assert answer["details"]
    assert set(answer.get("fields", {})) == (fields or set())
    assert await house.seen("a-co", "post") == []


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_json"),
        (b"[]", "application/json", 400, "not_an_object"),
        (b'{"seller":1,"seller":2}', "application/json", 422, "repeated_key"),
        (b"<lead/>", "text/xml", 415, "not_json"),
        (b"x" * 70_000, "application/json", 413, "too_large"),
        (b"%ff%fe=1&%f", "application/x-www-form-urlencoded", 400, "bad_form"),
    ],
)
async def test_bodies_that_cannot_be_read(
    house: House, body: bytes, kind: str, status: int, code: str
) -> None:
    found, answer = await house.post("/api/leads", body, **{"content-type": kind})
    assert (found, answer["success"], answer["code"]) == (status, False, code)


async def test_keys(house: House) -> None:
    for headers in ({"x-api-key": ""}, {"x-api-key": "no"}, {"authorization": "Basic x", "x-api-key": ""}):
        status, answer = await house.post("/api/leads", LEAD, **headers)
        assert (status, answer["success"], answer["error"]) == (401, False, "Invalid API Key")
    rival = {"x-api-key": "rival-key"}
    status, answer = await house.post("/api/leads", LEAD, **rival)
    assert (status, answer["error"]) == (400, "No matching seller")


async def test_the_limit_is_a_keys_own_and_every_answer_tells_it(open_doors: OpenDoors) -> None:
    house = await open_doors(
        FIXED, {}, campaign=DOOR, sellers=[ACME, RIVAL], settings={"leads_per_minute": 3}
    )

    async def left(body: bytes, key: str) -> tuple[int, str | None, str | None]:
        headers = {"x-api-key": key, "content-type": "application/json"}
        async with house._session.post(house.url + "/api/leads", data=body, headers=headers) as answer:
            told = answer.headers
            if answer.status == 429:
                assert (await answer.json())["error"] == "Rate limit exceeded"
                assert told["retry-after"] == "60"
            return answer.status, told.get("x-ratelimit-remaining"), told.get("x-ratelimit-reset")

    reset = str((house.clock.now_ms() + 60_000) // 1000)
    assert await left(b"{}", "test-key") == (400, "2", reset)
    assert await left(b"{", "test-key") == (400, "1", reset)
    assert await left(b"x" * 70_000, "test-key") == (413, "0", reset)
    assert await left(b"{}", "test-key") == (429, "0", reset)
    assert await left(b"{}", "second-key") == (400, "2", reset)
    assert await left(b"{}", "nobody's") == (401, None, None)
    house.clock.move(60_000)
    assert (await left(b"{}", "test-key"))[1] == "2"


async def test_a_replayed_answer_tells_the_limit_of_now(house: House) -> None:
    headers = {"idempotency-key": "k1", "content-type": "application/json"}
    left = []
    for _ in range(2):
        async with house._session.post(house.url + "/api/leads", json=LEAD, headers=headers) as answer:
            left.append((answer.headers["x-ratelimit-remaining"], answer.headers.get("idempotent-replayed")))
    assert left == [("59", None), ("58", "true")]
    assert len(await house.seen("a-co", "post")) == 1


async def test_a_bug_is_an_internal_error(
    open_sqlite_house: OpenDoors, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_sqlite_house(FIXED, {}, campaign=DOOR, sellers=[ACME])
    monkeypatch.setattr("auction.post.direct.DirectService.direct", None)
    url, key = house.url + "/api/leads", {"authorization": f"Bearer {KEY}"}
    async with house._session.post(url, json=LEAD, headers=key) as told:
        answer, headers = await told.json(), told.headers
    assert (told.status, answer["success"], answer["error"]) == (500, False, "Internal error")
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("60", "59")
    assert "x-ratelimit-reset" in headers
    assert house.app.bugs == 1
    assert house.app.traffic.responses["api/leads", "5xx"] == 1
