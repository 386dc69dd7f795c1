"""`POST /api.php`: which lead is whose and for what, and what each kind of mistake is told."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests import house as houses
from tests.api.conftest import OpenDoors, hash_of_key
from tests.house import CAMPAIGN, KEY, House

SELLER: dict[str, Any] = {**houses.SELLER, "rate_limit": "1000/second"}
PERSON = {"name": "Ann Lee", "phone": "512-555-0142"}
KEYLESS = {"x-api-key": ""}
FIXED = [{"id": "a", "buyer": "a-co", "price": {"fixed": 20}}]
SPLIT: dict[str, Any] = {
    "fields": [
        *CAMPAIGN["fields"],
        {"name": "last_name", "type": "text", "required": "post", "pii": True},
        {"name": "country", "type": "text", "max_length": 2, "ping": True},
    ],
    "doors": {"router": {"keyless": "acme"}},
}
ROOF: dict[str, Any] = {
    "id": "roof",
    "fields": [
        {"name": "geo", "type": "choice", "choices": ["US", "CA"], "ping": True},
        {"name": "tel", "type": "phone", "required": "post", "pii": True},
        {"name": "full_name", "type": "text", "required": "post", "pii": True},
    ],
    "auction": {"tmax_ms": 2_000},
}


async def send(house: House, lead: dict[str, Any] | bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    return await house.post("/api.php", lead, **headers)


@pytest.fixture
async def web(open_doors: OpenDoors) -> House:
    """One campaign, whose leads without a key are acme's."""
    return await open_doors(FIXED, {}, campaign=SPLIT, sellers=[SELLER], more_campaigns=())


async def test_a_lead_is_accepted_with_its_id(web: House) -> None:
    status, answer = await send(web, {**PERSON, "geo": "TX", "source": None})
    assert (status, answer["status"], set(answer)) == (200, "accepted", {"status", "lead_id"})
    _, lead = await web.get(f"/leads/{answer['lead_id']}")
    assert lead["status"] == "sold"
    (posted,) = await web.seen("a-co", "post")
    sent = posted["body"]["lead"]
    assert (sent["state"], sent["first_name"], sent["last_name"]) == ("TX", "Ann", "Lee")


async def test_a_country_goes_where_countries_do(web: House) -> None:
    status, answer = await send(web, {**PERSON, "geo": "us", "state": "TX"})
    assert (status, answer["status"]) == (200, "accepted")
    (posted,) = await web.seen("a-co", "post")
    assert posted["body"]["lead"]["country"] == "us"


@pytest.mark.parametrize("how", ["none", "header", "bearer", "body", "form"])
async def test_keys(web: House, how: str) -> None:
    lead = {**PERSON, "geo": "TX"}
    headers = {
        "none": KEYLESS,
        "header": {"x-api-key": KEY},
        "bearer": {**KEYLESS, "authorization": f"Bearer {KEY}"},
        "body": KEYLESS,
        "form": {**KEYLESS, "content-type": "application/x-www-form-urlencoded"},
    }[how]
    body: dict[str, Any] | bytes = {**lead, "api_key": KEY} if how == "body" else lead
    if how == "form":
        body = f"name=Ann+Lee&phone=512-555-0142&geo=TX&email=&api_key={KEY}".encode()
    assert (await send(web, body, **headers))[1]["status"] == "accepted"


@pytest.mark.parametrize("where", ["header", "body"])
async def test_a_wrong_key_is_not_passed_over(web: House, where: str) -> None:
    body = {**PERSON, "geo": "TX", **({"api_key": "other"} if where == "body" else {})}
    headers = {"x-api-key": "other"} if where == "header" else KEYLESS
    status, answer = await send(web, body, **headers)
    assert (status, answer["status"], answer["reason"]) == (401, "rejected", "unknown_key")


async def test_without_a_campaign_for_it_a_key_is_asked_for(open_doors: OpenDoors) -> None:
    house = await open_doors(FIXED, {}, campaign={"doors": {"router": {}}})
    status, answer = await send(house, PERSON, **KEYLESS)
    assert (status, answer["reason"]) == (401, "unknown_key")


@pytest.mark.parametrize(
    ("body", "status", "reason", "fields"),
    [
        (b'{"name":"Ann" "phone"}', 400, "bad_json", None),
        (b"", 400, "bad_json", None),
        (b"[1]", 400, "not_an_object", None),
        (b'{"name":"a","name":"b"}', 422, "repeated_key", {"name"}),
        ({"geo": "TX"}, 422, "missing_fields", {"name", "phone"}),
        ({"geo": "TX", "name": None, "phone": "1"}, 422, "missing_fields", {"name", "phone"}),
        ({**PERSON}, 422, "missing_fields", {"geo"}),
        ({**PERSON, "geo": "TX", "phone": "1"}, 422, "bad_fields", {"phone"}),
        ({**PERSON, "geo": "TX", "name": "Ann"}, 422, "bad_fields", {"name"}),
        ({**PERSON, "geo": "TX", "name": 7}, 422, "bad_fields", {"name"}),
        ({**PERSON, "geo": "TX", "sauce": "x"}, 422, "bad_fields", {"sauce"}),
        ({**PERSON, "geo": "TX", "state": "OK"}, 422, "bad_fields", {"state"}),
        ({**PERSON, "geo": "TX", "api_key": 1}, 422, "bad_fields", {"api_key"}),
        ({**PERSON, "geo": "TX", "campaign": "boats"}, 422, "which_campaign", {"campaign"}),
    ],
)
async def test_mistakes(
    web: House, body: dict[str, Any] | bytes, status: int, reason: str, fields: set[str] | None
) -> None:
    found, answer = await send(web, body)
    assert (found, answer["status"], answer["reason"]) == (status, "rejected", reason)
    assert answer["detail"]
    assert set(answer.get("errors", {})) == (fields or set())
    assert await web.seen("a-co", "post") == []


async def test_what_is_neither_json_nor_a_form(web: House) -> None:
    status, answer = await send(web, b"<lead/>", **{"content-type": "text/xml"})
    assert (status, answer["reason"]) == (415, "not_json")
    async with web._session.get(web.url + "/api.php") as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")
        assert (await response.json())["reason"] == "wrong_method"


async def test_of_several_campaigns_one_must_be_named(open_doors: OpenDoors) -> None:
    names = {"name": "Roofs", "fields": {"phone": "tel"}}
    roof = {**ROOF, "doors": {"router": names}, "pending_hours": 1}
    house = await open_doors(FIXED, {}, campaign=SPLIT, sellers=[SELLER], more_campaigns=[roof])
    status, answer = await send(house, PERSON)
    assert (status, answer["reason"]) == (422, "which_campaign")
    assert "roof" in answer["errors"]["campaign"].lower()
    assert "solar" in answer["errors"]["campaign"]
    status, answer = await send(house, {**PERSON, "campaign": "roofs", "geo": "us"})
    assert (status, answer["status"], answer["state"]) == (200, "accepted", "pending")
    status, answer = await send(house, {**PERSON, "campaign": "roof", "phone": "1"})
    assert (status, set(answer["errors"])) == (422, {"phone"})
    # without a key only the campaign that takes such leads may be meant
    assert (await send(house, {**PERSON, "geo": "TX"}, **KEYLESS))[1]["status"] == "accepted"
    status, answer = await send(house, {**PERSON, "campaign": "roofs"}, **KEYLESS)
    assert (status, answer["reason"]) == (422, "which_campaign")
    assert "Roofs" not in answer["errors"]["campaign"]


async def test_a_lead_that_nobody_buys_is_rejected_and_kept(open_doors: OpenDoors) -> None:
    shut = [{**FIXED[0], "filter": {"field": "state", "equals": "OK"}}]
    house = await open_doors(shut, {}, campaign=SPLIT, sellers=[SELLER], more_campaigns=())
    status, answer = await send(house, {**PERSON, "geo": "TX"})
    assert (status, answer["status"], answer["reason"]) == (200, "rejected", "no_eligible_order")
    assert (await house.get(f"/leads/{answer['lead_id']}"))[1]["status"] == "rejected"


async def test_a_lost_answer_is_pending(open_doors: OpenDoors) -> None:
    """Saved, perhaps sold, and never offered again until that is known: the sender must not send it elsewhere."""
    manners = {"a-co": {"post": {"faults": {"close": 1}}}}
    house = await open_doors(FIXED, manners, campaign=SPLIT, sellers=[SELLER], more_campaigns=())
    status, answer = await send(house, {**PERSON, "geo": "TX"})
    assert (status, answer["status"], answer["state"]) == (200, "accepted", "pending")
    assert (await house.get(f"/leads/{answer['lead_id']}"))[1]["status"] == "pending"


async def test_a_repeat_with_its_key_is_sold_once(web: House) -> None:
    lead, key = {**PERSON, "geo": "TX"}, {"idempotency-key": "k1"}
    first = await send(web, lead, **key)
    assert await send(web, lead, **key) == first
    assert len(await web.seen("a-co", "post")) == 1
    assert (await send(web, {**lead, "geo": "OK"}, **key))[1]["reason"] == "idempotency_conflict"
    wrong = await send(web, {"geo": "TX"}, **{"idempotency-key": "k2"})
    assert await send(web, {"geo": "TX"}, **{"idempotency-key": "k2"}) == wrong
    assert wrong[1]["reason"] == "missing_fields"


async def test_more_than_the_sellers_rate(open_doors: OpenDoors) -> None:
    limited = {**SELLER, "rate_limit": "1/hour"}
    house = await open_doors(FIXED, {}, campaign=SPLIT, sellers=[limited], more_campaigns=())
    assert (await send(house, {**PERSON, "geo": "TX"}, **KEYLESS))[0] == 200
    status, answer = await send(house, {**PERSON, "geo": "TX"}, **KEYLESS)
    assert (status, answer["reason"]) == (429, "rate_limited")


async def test_a_paused_seller_gets_nothing_without_a_key(open_doors: OpenDoors) -> None:
    sellers = [{**SELLER, "paused": True}, {"id": "other", "keys": [hash_of_key("other-key")]}]
    house = await open_doors(FIXED, {}, campaign=SPLIT, sellers=sellers, more_campaigns=())
    assert (await send(house, {**PERSON, "geo": "TX"}, **KEYLESS))[0] == 401


async def test_every_request_is_logged_and_nobody_is_named(
    web: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "auction")
    _, accepted = await send(web, {**PERSON, "geo": "TX"})
    await send(web, {**PERSON, "geo": "TX", "Ann Lee": "x"})
    await send(web, b"{")
    await web.get("/api.php")
    lines = [record.facts for record in caplog.records if record.getMessage() == "request"]  # type: ignore[attr-defined]
    assert lines == [
        {"door": "api.php", "http": 200, "status": "accepted", "lead_id": accepted["lead_id"]},
        {"door": "api.php", "http": 422, "status": "rejected", "reason": "bad_fields"},
        {"door": "api.php", "http": 400, "status": "rejected", "reason": "bad_json"},
        {"door": "api.php", "http": 405, "status": "rejected", "reason": "wrong_method"},
    ]
    assert web.app.traffic.responses["api.php", "4xx"] == 3


async def test_a_bug_is_told_in_this_doors_words(
    open_sqlite_house: OpenDoors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "auction")
    house = await open_sqlite_house(FIXED, {}, campaign=SPLIT, sellers=[SELLER])
    monkeypatch.setattr("auction.post.direct.DirectService.direct", None)
    status, answer = await send(house, {**PERSON, "geo": "TX"})
    assert (status, answer["status"], answer["reason"]) == (500, "rejected", "internal_error")
    assert house.app.bugs == 1
    (line,) = [record.facts for record in caplog.records if record.getMessage() == "request"]  # type: ignore[attr-defined]
    assert line == {"door": "api.php", "http": 500, "status": "rejected", "reason": "internal_error"}
