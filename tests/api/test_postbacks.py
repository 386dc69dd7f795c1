"""`/postback` as buyers' tools send it: by URL, form and JSON, with a key, a token or a signature."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from auction.api.document.openapi import document
from auction.api.postbacks import read_report
from auction.api.said import MOST_TEXT
from auction.errors import SellerError
from auction.ledger.refused import latest_refused
from auction.market.model import House as HouseEntry
from auction.reports.entering import NOT_KEPT
from auction.reports.report import Refusal
from tests.faults.holding import held_buyer
from tests.house import House

Open = Callable[..., Awaitable[House]]
SECRET = "whsec_" + base64.b64encode(b"the buyer's own secret, 32 bytes").decode()
SOL, BOB = "sols key", "bob's key"


def hashed(key: str) -> str:
    return f"sha256:{sha256(key.encode()).hexdigest()}"


BUYERS: dict[str, dict[str, Any]] = {
    "sol": {"keys": [hashed(SOL)], "signing_secret": SECRET},
    "bob": {"keys": [hashed(BOB)]},
}
ORDERS: list[dict[str, Any]] = [
    {"id": "a", "buyer": "sol", "price": {"fixed": 30}, "returns": {"days": 5}},
    {"id": "b", "buyer": "bob", "price": {"fixed": 20}, "filter": {"field": "state", "in": ["OK"]}},
]


@pytest.fixture
async def house(open_sqlite_house: Open) -> House:
    return await open_sqlite_house(ORDERS, buyers=BUYERS)


async def sold(house: House) -> str:
    return str((await house.sell((await house.ping())["ping_id"]))["lead_id"])


async def send(
    house: House, method: str = "GET", query: str = "", *, key: str | None = None, **more: Any
) -> tuple[int, dict[str, Any]]:
    """One request with nothing of the seller's on it."""
    headers = {**more.pop("headers", {}), **({} if key is None else {"authorization": f"Bearer {key}"})}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{house.url}/postback{query}", headers=headers, **more) as answer,
    ):
        assert answer.headers.get("cache-control") == ("no-store" if answer.status == 200 else None)
        return answer.status, await answer.json(content_type=None)


async def test_a_url_a_form_and_json_say_the_same(house: House) -> None:
    lead_id = await sold(house)
    status, answer = await send(house, query=f"?token={SOL}&lead_id={lead_id}&status=delivered&sub=9&reason=")
    assert status == 200
    assert answer["changed"] is True
    told = {"lead_id": lead_id, "order": "a", "status": "delivered", "changed": False}
    told["buyer_lead_id"] = answer["buyer_lead_id"]
    ways: list[dict[str, Any]] = [
        {"query": f"?lead_id={lead_id}&status=delivered", "key": SOL},
        {"method": "POST", "data": {"lead_id": lead_id, "status": "Delivered"}, "key": SOL},
        {"method": "POST", "query": f"?token={SOL}", "json": {"lead_id": lead_id, "status": "delivered"}},
        {
            "method": "POST",
            "query": f"?lead_id={lead_id}",
            "json": {"status": "delivered", "more": []},
            "key": SOL,
        },
        {
            "query": f"?buyer_lead_id={answer['buyer_lead_id']}&status=delivered",
            "headers": {"x-api-key": SOL},
        },
        {"query": f"?lead_id={lead_id}&order=a&status=delivered", "key": SOL},
    ]
    for way in ways:
        assert await send(house, **way) == (200, told), way
    body = {"lead_id": lead_id, "status": "converted", "value": 250.5, "currency": "usd"}
    status, answer = await send(house, "POST", "?status=delivered", key=SOL, json=body)
    assert (status, answer["status"], answer["value"]) == (200, "converted", 250.5), "the body wins"
    status, answer = await send(
        house, query=f"?token={SOL}&lead_id={lead_id}&status=returned&reason=wrong%20number!"
    )
    assert status == 200
    assert (answer["credit"], answer["currency"], answer["reason"]) == (30, "USD", "wrong_number")


async def test_a_body_may_be_signed(house: House) -> None:
    lead_id = await sold(house)
    body = json.dumps({"lead_id": lead_id, "status": "delivered"})
    now = datetime.fromtimestamp(house.clock.now_ms() / 1000, UTC)
    hook = Webhook(SECRET)

    def signed(text: str = body, at: datetime = now, by: Webhook = hook) -> dict[str, str]:
        return {
            "content-type": "application/json",
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": f"v1,bm90IG91cnM= {by.sign('msg_1', at, text)}",
        }

    for changed in (True, False):  # the same message again
        status, answer = await send(house, "POST", "?buyer=sol", data=body, headers=signed())
        assert (status, answer["changed"]) == (200, changed)
    other = Webhook("whsec_" + base64.b64encode(b"somebody else's").decode())
    late = datetime.fromtimestamp(now.timestamp() - 301, UTC)
    bad: list[tuple[str, str, dict[str, str]]] = [
        ("?buyer=sol", body, signed(text=body + " ")),
        ("?buyer=sol", body + " ", signed()),
        ("?buyer=sol", body, signed(by=other)),
        ("?buyer=sol", body, signed(at=late)),
        ("?buyer=sol", body, {**signed(), "webhook-id": "msg_2"}),
        ("?buyer=sol", body, {**signed(), "webhook-timestamp": "soon"}),
        ("?buyer=bob", body, signed()),
        ("?buyer=nobody", body, signed()),
        ("", body, signed()),
    ]
    for query, text, headers in bad:
        status, answer = await send(house, "POST", query, data=text, headers=headers)
        assert (status, answer["code"]) in ((401, "bad_signature"), (401, "unknown_key")), (query, headers)
    empty = signed(text="")
    query = f"?buyer=sol&lead_id={lead_id}&status=returned&reason=mine"
    for method in ("GET", "POST"):
        status, answer = await send(house, method, query, data="", headers=empty)
        assert (status, answer["code"]) == (422, "missing_field"), "nobody signed the URL"
    text = json.dumps({"status": "returned", "reason": "mine"})
    status, answer = await send(house, "POST", query, data=text, headers=signed(text=text))
    assert (status, answer["errors"][0]["field"]) == (422, "lead_id")


async def test_who_is_no_buyer_is_told_nothing(house: House) -> None:
    lead_id = await sold(house)
    for query in ("", "?token=", "?token=test-key", f"?buyer=sol&lead_id={lead_id}&status=delivered"):
        status, answer = await send(house, query=query)
        assert (status, answer["code"]) == (401, "unknown_key")
    status, answer = await send(house, key="test-key")
    assert (status, answer["code"]) == (401, "unknown_key"), "a seller's key is no buyer's"


async def test_another_buyers_lead_is_not_there(house: House) -> None:
    lead_id = await sold(house)
    status, _ = await send(house, query=f"?lead_id={lead_id}&status=delivered", key=SOL)
    assert status == 200
    theirs = await send(house, query=f"?lead_id={lead_id}&status=delivered", key=BOB)
    nobodys = await send(house, query="?lead_id=no-such-lead&status=delivered", key=BOB)
    assert theirs == nobodys
    assert (theirs[0], theirs[1]["code"]) == (404, "unknown_lead")


async def test_each_refusal_has_its_code(house: House) -> None:
    lead_id = await sold(house)
    for query, expected in (
        (f"lead_id={lead_id}", (422, "missing_field")),
        ("status=delivered", (422, "missing_field")),
        (f"lead_id={lead_id}&status=returned", (422, "missing_field")),
        (f"lead_id={lead_id}&status=gone", (422, "bad_fields")),
        (f"lead_id={lead_id}&status=converted&value=-1", (422, "bad_fields")),
        (f"lead_id={lead_id}&status=converted&value=1&currency=EUR", (422, "bad_fields")),
        (f"lead_id={lead_id}&status=returned&reason=512-555-0142", (422, "bad_fields")),
        (f"lead_id={'x' * (MOST_TEXT + 1)}&status=delivered", (422, "bad_fields")),
        (f"lead_id={lead_id}&lead_id=2&status=delivered", (422, "repeated_key")),
        (f"lead_id={lead_id}&status=rejected", (409, "impossible_status")),
        (f"lead_id={lead_id}&status=delivered&order=b", (404, "unknown_order")),
        (f"lead_id={lead_id}&status=delivered&buyer_lead_id=7", (409, "told_otherwise")),
    ):
        status, answer = await send(house, query=f"?{query}", key=SOL)
        assert (status, answer["code"]) == expected, query
    status, answer = await send(
        house, "POST", key=SOL, data=b"{", headers={"content-type": "application/json"}
    )
    assert (status, answer["code"]) == (400, "bad_json")
    status, answer = await send(house, "POST", key=SOL, data=b"x", headers={"content-type": "text/plain"})
    assert (status, answer["code"]) == (415, "not_json")
    status, answer = await send(house, "DELETE", key=SOL)
    assert (status, answer["detail"]) == (405, "Use GET or POST.")
    async with aiohttp.ClientSession() as session:
        url = f"{house.url}/postback?token={SOL}&lead_id={lead_id}&status=delivered"
        async with session.head(url) as answer_to_head:
            assert answer_to_head.status == 405, "a look at a link tells nothing"
    _, view = await house.get(f"/leads/{lead_id}")
    assert view["status"] == "sold"


async def test_a_lead_that_is_being_offered_is_told_of_again_later(open_sqlite_house: Open) -> None:
    async with held_buyer() as buyer:
        held = {**BUYERS["sol"], "post_url": buyer.url, "post_timeout_ms": 60_000}
        house = await open_sqlite_house(ORDERS, buyers={**BUYERS, "sol": held})
        ping_id = (await house.ping())["ping_id"]
        posting = asyncio.create_task(house.sell(ping_id))
        await buyer.until_asked()
        ((lead_id, _),) = house.exchange.posts.book.in_hand
        query = f"?lead_id={lead_id}&status=delivered"
        status, answer = await send(house, query=query, key=SOL)
        assert (status, answer["code"]) == (409, "being_offered")
        buyer.speaks.set()
        assert (await posting)["status"] == "sold"
    assert (await send(house, query=query, key=SOL))[0] == 200
    kept = await house.exchange.reader.read(lambda conn: latest_refused(conn, 9))
    assert kept == [], "that was no refusal"


async def test_a_token_in_a_url_is_written_nowhere(
    house: House, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    lead_id = await sold(house)
    token = "sols%20key"
    for status in ("delivered", "rejected", "nothing"):
        await send(house, query=f"?token={token}&lead_id={lead_id}&status={status}")
    reporting: Any = house.exchange.reporting
    reporting.report = None  # a bug of ours
    _, answer = await send(house, query=f"?token={token}&lead_id={lead_id}&status=delivered")
    assert answer["code"] == "internal_error"
    async with aiohttp.ClientSession() as session, session.get(f"{house.url}/metrics") as metrics:
        written = await metrics.text()
    out = capsys.readouterr()
    written += out.out + out.err + caplog.text
    assert "postback" in written
    assert "/postback" in written, "the bug is in the log"
    for secret in (token, SOL, "token="):
        assert secret not in written


async def test_a_buyer_that_floods_us_is_slowed_down(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house(ORDERS, buyers=BUYERS, settings={"postbacks_per_second": 2})
    lead_id = await sold(house)
    query = f"?lead_id={lead_id}&status=accepted"
    assert [(await send(house, query=query, key=SOL))[0] for _ in range(3)] == [200, 200, 429]
    assert (await send(house, query=query, key=BOB))[0] == 404
    house.clock.move(1_000)
    assert (await send(house, query=query, key=SOL))[0] == 200


def test_every_code_of_a_refusal_is_told() -> None:
    told = str(document(HouseEntry()))
    assert Refusal.__doc__ is not None
    codes = {word for word in Refusal.__doc__.split("`") if "_" in word and word.isidentifier()}
    assert len(codes) == 10
    assert codes > NOT_KEPT
    assert {code for code in codes if f"`{code}`" not in told} == set()


TEXTS = st.none() | st.text(max_size=140) | st.integers() | st.floats() | st.booleans() | st.lists(st.none())


@given(
    st.dictionaries(
        st.sampled_from(["status", "lead_id", "buyer_lead_id", "order", "reason", "value", "currency", "x"]),
        TEXTS | st.sampled_from(["delivered", "returned", "converted", "rejected", "USD", "12.5"]),
    )
)
def test_whatever_is_sent_is_read_or_named(named: dict[str, Any]) -> None:
    try:
        report = read_report(named, "sol", "USD")
    except SellerError as error:
        found = error
    else:
        assert report.lead_id or report.buyer_lead_id
        assert report.by == "buyer sol"
        return
    assert found.status == 422
    assert found.mistakes
    assert {mistake.field for mistake in found.mistakes} <= {*named, "status", "lead_id", "reason"}
