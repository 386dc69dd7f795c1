"""The lead distribution API as its document has it, against a served exchange: its own curl, and a file for each
request and answer in `002/`."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.doors.distro import EXAMPLES, Open, example, ingest, ping, plain
from tests.house import KEY, House


async def test_the_documents_own_curl(open_distro: Open) -> None:
    """With another host and another key, and nothing else."""
    house: House = await open_distro()
    document = (EXAMPLES / "document.txt").read_text()
    found = re.search(r"^curl .*?\}'", document, re.DOTALL | re.MULTILINE)
    assert found is not None
    curl = found[0].replace("https://www.leaddistro.ai", house.url).replace("your_supplier_api_key", KEY)
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{curl} --silent", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    answer = json.loads(output)
    assert plain(answer) == example("ingest.answer")
    assert json.loads(re.search(r"-d '(\{.*?\})'", document, re.DOTALL)[1]) == example("ingest.request")  # type: ignore[index]
    (sold,) = await house.seen("buyer_abc", "post")
    assert sold["body"]["lead"]["first_name"] == "John"
    _, lead = await house.get(f"/leads/{answer['data']['id']}")
    assert (lead["status"], lead["payout"]) == ("sold", 24.0)


async def test_nobody_for_the_lead(open_distro: Open) -> None:
    house: House = await open_distro()
    _, answer = await house.post("/api/v1/ingest", example("ingest.request", state="OK"))
    assert plain(answer) == example(
        "ingest_unmatched.answer",
        data={**example("ingest_unmatched.answer")["data"], "reason": "no_eligible_order"},
    )
    _, lead = await house.get(f"/leads/{answer['data']['id']}")
    assert (lead["status"], lead["reason"]) == ("rejected", "no_eligible_order")
    _, answer = await house.post("/api/v1/ping", example("ping.request", state="OK"))
    assert plain(answer) == example("ping_unmatched.answer")


async def test_a_ping_lists_the_buyers_and_the_post_names_one(open_distro: Open) -> None:
    house: House = await open_distro()
    status, answer = await house.post("/api/v1/ping", example("ping.request"))
    assert (status, plain(answer)) == (200, example("ping.answer"))
    assert await house.post("/api/v1/ping", example("ping.request")) == (200, answer), "the same offer"
    chosen = example("chosen.request", ping_id=answer["data"]["ping_id"])
    status, sold = await house.post("/api/v1/ingest", chosen)
    assert (status, plain(sold)) == (200, example("chosen.answer"))
    assert (await house.get(f"/leads/{sold['data']['id']}"))[1]["payout"] == 20.0, "the bid that was shown"
    assert await house.seen("buyer_abc", "post") == []
    assert await house.post("/api/v1/ingest", chosen) == (200, sold), "and it is sold once"
    assert len(await house.seen("buyer_def", "post")) == 1


async def test_a_ping_at_the_native_door_is_another_though_its_fields_are_the_same(open_distro: Open) -> None:
    """That one's answer names no buyers."""
    house: House = await open_distro()
    first = await house.ping(campaign="campaign_abc123", lead={"state": "TX"})
    pinged = await ping(house)
    assert (len(pinged["buyers"]), pinged["ping_id"] != first["ping_id"]) == (2, True)


@pytest.mark.parametrize("told", [{}, {"phone": "5551234567", "first_name": "John"}])
async def test_the_post_need_not_name_its_ping(open_distro: Open, told: dict[str, str]) -> None:
    house: House = await open_distro()
    pinged = await ping(house, **told)
    sold = await ingest(house, buyer_id="buyer_def")
    _, lead = await house.get(f"/leads/{sold['id']}")
    assert (lead["ping_id"], lead["buyers"]) == (pinged["ping_id"], ["buyer_def"])
    again = await ingest(house, buyer_id="buyer_def", phone="5551234568")
    _, lead = await house.get(f"/leads/{again['id']}")
    assert lead["ping_id"] != pinged["ping_id"], "its offer was used"
    assert (again["buyer_id"], len(await house.seen("buyer_abc", "ping"))) == ("buyer_def", 1)


async def test_a_buyer_that_is_named_without_a_ping_is_asked_alone(open_distro: Open) -> None:
    house: House = await open_distro(manners={"buyer_def": {"bid": {"price": 25}, "post": {"accept": 0}}})
    refused = await ingest(house, buyer_id="buyer_def")
    assert (refused["status"], refused["buyer_id"]) == ("UNMATCHED", None)
    assert await house.seen("buyer_abc", "ping") == []
    nobody = await ingest(house, buyer_id="nobody")
    assert (nobody["status"], nobody["reason"]) == ("UNMATCHED", "no_eligible_order")


async def test_what_names_a_person_is_dropped_from_a_ping(open_distro: Open) -> None:
    house: House = await open_distro()
    await ping(house, first_name="John", email="john@example.com", phone="5551234567", monthly_bill="150")
    (asked,) = await house.seen("buyer_abc", "ping")
    assert asked["body"]["lead"] == {"state": "TX", "bill": 150}
    assert re.fullmatch("[0-9a-f]{64}", asked["body"]["hashed"]["phone"])


async def test_a_form_the_name_and_either_key(open_distro: Open) -> None:
    """As `curl -d a=b` sends it; the campaign by its name, the supplier by its code; Bearer will do."""
    house: House = await open_distro()
    lead = example("ingest.request", flo_campaign_id="Roofs of Texas", flo_supplier_id="ACME1234")
    form = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Bearer {KEY}"}
    body = urlencode({**lead, "monthly_bill": 150, "ping_id": "", "buyer_id": ""}).encode()
    status, answer = await house.post("/api/v1/ingest", body, **form)
    assert status == 200, answer
    assert (answer["data"]["status"], answer["data"]["campaign_id"]) == ("ACCEPTED", "Roofs of Texas")
    (sold,) = await house.seen("buyer_abc", "post")
    assert sold["body"]["lead"]["bill"] == 150


@pytest.mark.parametrize(
    ("changes", "status", "code", "fields"),
    [
        ({"flo_campaign_id": None}, 422, "bad_fields", ["flo_campaign_id"]),
        (
            {"flo_supplier_id": 7, "flo_campaign_id": ""},
            422,
            "bad_fields",
            ["flo_campaign_id", "flo_supplier_id"],
        ),
        ({"flo_campaign_id": "nothing"}, 404, "unknown_campaign", []),
        ({"flo_supplier_id": "other"}, 403, "not_your_supplier", []),
        ({"phone": None, "email": None}, 422, "bad_fields", ["email", "phone"]),
        ({"phone": "12", "monthly_bill": "much", "x": 1}, 422, "bad_fields", ["monthly_bill", "phone", "x"]),
        ({"ping_id": "nothing"}, 404, "unknown_ping", []),
        ({"ping_id": [], "buyer_id": 5}, 422, "bad_fields", ["buyer_id", "ping_id"]),
    ],
)
async def test_what_is_wrong_is_named_as_the_sender_calls_it(
    open_distro: Open, changes: dict[str, Any], status: int, code: str, fields: list[str]
) -> None:
    house: House = await open_distro()
    told, problem = await house.post("/api/v1/ingest", example("ingest.request", **changes))
    assert (told, problem["code"]) == (status, code)
    assert sorted(mistake["field"] for mistake in problem.get("errors", ())) == fields


async def test_without_a_key_and_with_a_buyer_that_did_not_bid(open_distro: Open) -> None:
    house: House = await open_distro()
    status, problem = await house.post("/api/v1/ingest", example("ingest.request"), **{"x-api-key": "wrong"})
    assert (status, problem["code"]) == (401, "unknown_key")
    ping_id = (await ping(house))["ping_id"]
    chosen = example("chosen.request", ping_id=ping_id, buyer_id="buyer_xyz")
    status, problem = await house.post("/api/v1/ingest", chosen)
    assert (status, problem["code"]) == (422, "no_such_bid")
    assert (await ingest(house, "chosen", ping_id=ping_id))["status"] == "ACCEPTED", "the ping is still open"


async def test_a_lead_that_may_wait_is_unmatched_until_somebody_buys_it(open_distro: Open) -> None:
    """But not one that the campaign itself does not take."""
    inbound = {"filter": {"field": "state", "not_in": ["CA"]}}
    house: House = await open_distro(campaign={"pending_hours": 1, **inbound})
    for state, status, reason in (
        ("OK", "waiting", "no_eligible_order"),
        ("CA", "rejected", "filtered_inbound"),
    ):
        key = {"idempotency-key": state}
        first = await house.post("/api/v1/ingest", example("ingest.request", state=state), **key)
        unmatched = first[1]["data"]
        assert (unmatched["status"], unmatched["buyer_id"]) == ("UNMATCHED", None)
        _, lead = await house.get(f"/leads/{unmatched['id']}")
        assert (lead["status"], lead["history"][-1]["reason"]) == (status, reason)
        assert await house.post("/api/v1/ingest", example("ingest.request", state=state), **key) == first


async def test_two_names_of_one_field_are_named(open_distro: Open) -> None:
    house: House = await open_distro()
    told = await house.post("/api/v1/ingest", example("ingest.request", monthly_bill=200, bill=100))
    assert told[0] == 422
    error = "means the same field as monthly_bill: send one of them"
    assert told[1]["errors"] == [{"field": "bill", "error": error}]
    status, answer = await house.post(
        "/api/v1/ingest", example("ingest.request", bill=200, monthly_bill=None)
    )
    assert (status, answer["data"]["status"]) == (200, "ACCEPTED")
    (sold,) = await house.seen("buyer_abc", "post")
    assert sold["body"]["lead"]["bill"] == 200
