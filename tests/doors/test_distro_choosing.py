"""The buyer that a seller chose: its offer is honoured, and those of the others are neither lost nor kept too long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.doors.distro import ORDERS, Open, example, ingest, ping
from tests.faults.breaking import eventually
from tests.house import House
from tests.reports.test_reporting import lose_counters

ONE_A_DAY: list[dict[str, Any]] = [{**order, "caps": [{"leads": 1, "per": "day"}]} for order in ORDERS]
TWO_A_DAY: list[dict[str, Any]] = [{**order, "caps": [{"leads": 2, "per": "day"}]} for order in ORDERS]
REFUSES = {"bid": {"price": 25}, "post": {"accept": 0}}


async def test_where_the_chosen_one_is_full_by_now_the_winner_has_its_place(open_distro: Open) -> None:
    house: House = await open_distro(ONE_A_DAY)
    first = await ping(house)
    assert [one["buyer_id"] for one in (await ping(house, monthly_bill=1))["buyers"]] == ["buyer_def"]
    sold = await ingest(house, "chosen", ping_id=first["ping_id"], buyer_id="buyer_def")
    assert sold["buyer_id"] == "buyer_abc"


async def test_a_choice_takes_its_own_place_and_gives_back_the_winners(open_distro: Open) -> None:
    house: House = await open_distro(ONE_A_DAY)
    first = await ping(house)
    assert (await ingest(house, "chosen", ping_id=first["ping_id"]))["buyer_id"] == "buyer_def"
    assert [one["buyer_id"] for one in (await ping(house, monthly_bill=2))["buyers"]] == [
        "buyer_abc",
        "buyer_def",
    ]
    full = await ingest(house, buyer_id="buyer_def", phone="5551234568", monthly_bill=3)
    assert (full["status"], full["reason"]) == ("UNMATCHED", "caps_full")


@pytest.mark.parametrize(("on_reject", "status"), [("next", "ACCEPTED"), ("stop", "UNMATCHED")])
async def test_a_chosen_buyer_that_refuses(open_distro: Open, on_reject: str, status: str) -> None:
    """By the campaign's rule the winner follows, whose place was held all the while; or nobody."""
    house: House = await open_distro(
        ONE_A_DAY, manners={"buyer_def": REFUSES}, auction={"on_reject": on_reject}
    )
    first = await ping(house)
    sold = await ingest(house, "chosen", ping_id=first["ping_id"])
    assert (sold["status"], sold["buyer_id"]) == (status, "buyer_abc" if status == "ACCEPTED" else None)
    assert len(await house.seen("buyer_def", "post")) == 1
    left = [one["buyer_id"] for one in (await ping(house, monthly_bill=1))["buyers"]]
    assert left == (["buyer_def"] if status == "ACCEPTED" else ["buyer_abc", "buyer_def"])


@pytest.mark.parametrize(("on_reject", "buyer"), [("next", "buyer_abc"), ("stop", None)])
async def test_a_chosen_bid_that_does_not_stand_any_more(
    open_distro: Open, on_reject: str, buyer: str | None
) -> None:
    house: House = await open_distro(
        manners={"buyer_def": {"bid": {"price": 25, "expires_in": 5}}}, auction={"on_reject": on_reject}
    )
    first = await ping(house)
    assert first["buyers"][1]["expires_at"] < first["expires_at"]
    house.clock.move(6_000)
    sold = await ingest(house, "chosen", ping_id=first["ping_id"])
    assert (sold["buyer_id"], sold.get("reason")) == (buyer, None if buyer else "bid_expired")
    assert await house.seen("buyer_def", "post") == []


async def test_the_offer_of_a_lead_that_changed_since_its_ping(open_distro: Open) -> None:
    house: House = await open_distro(
        auction={"on_mismatch": "auction"}, manners={"buyer_def": {"bid": {"price": 31}}}
    )
    first = await ping(house)
    changed = example("chosen.request", ping_id=first["ping_id"], monthly_bill=9)
    status, answer = await house.post("/api/v1/ingest", changed)
    assert (status, answer["data"]["buyer_id"]) == (200, "buyer_def")


async def test_a_shared_lead_goes_to_the_one_that_was_chosen_or_to_all(open_distro: Open) -> None:
    shared = {"auction": {"mode": "shared", "max_buyers": 2}}
    house: House = await open_distro(**shared)
    first = await ping(house)
    assert [(one["buyer_id"], one["exclusive"]) for one in first["buyers"]] == [
        ("buyer_abc", False),
        ("buyer_def", False),
    ]
    chosen = await ingest(house, "chosen", ping_id=first["ping_id"])
    assert (chosen["buyer_id"], "buyer_ids" in chosen) == ("buyer_def", False)
    assert await house.seen("buyer_abc", "post") == []
    both = await ingest(house, phone="5551234568")
    assert (both["buyer_id"], both["buyer_ids"]) == ("buyer_abc", ["buyer_abc", "buyer_def"])


async def test_a_keyed_request_has_one_effect(open_distro: Open) -> None:
    house: House = await open_distro()
    await ping(house)
    lead = example("ingest.request", buyer_id="buyer_def")
    first = await house.post("/api/v1/ingest", lead, **{"idempotency-key": "k"})
    assert first[1]["data"]["status"] == "ACCEPTED"
    assert await house.post("/api/v1/ingest", lead, **{"idempotency-key": "k"}) == first
    assert len(await house.seen("buyer_def", "post")) == 1
    await house.exchange.link.call("DEL", *await house.exchange.link.call("KEYS", "*:keys*"))
    again = await house.post("/api/v1/ingest", lead, **{"idempotency-key": "k"})
    assert again == first, "though the key is lost: by the offer that it took"
    assert len(await house.seen("buyer_def", "post")) == 1
    status, problem = await house.post("/api/v1/ingest", {**lead, "state": "OK"}, **{"idempotency-key": "k"})
    assert (status, problem["code"]) == (409, "idempotency_conflict")


async def test_a_keyed_request_has_one_effect_though_all_counters_are_lost(open_distro: Open) -> None:
    """By the offer of an earlier ping: its id is not the one that follows from the key, and only the ledger knows."""
    house: House = await open_distro(TWO_A_DAY)
    await ping(house)
    lead, key = example("ingest.request", buyer_id="buyer_def"), {"idempotency-key": "k"}
    first = await house.post("/api/v1/ingest", lead, **key)
    assert first[1]["data"]["status"] == "ACCEPTED"
    await lose_counters(house, "def")
    assert await house.post("/api/v1/ingest", lead, **key) == first
    await lose_counters(house, "def")
    await ping(house)  # an offer that would fit
    assert await house.post("/api/v1/ingest", lead, **key) == first
    status, problem = await house.post("/api/v1/ingest", {**lead, "first_name": "Bob"}, **key)
    assert (status, problem["code"]) == (409, "idempotency_conflict")
    assert len(await house.seen("buyer_def", "post")) == 1


async def test_nor_is_one_sold_anew_by_an_offer_that_came_after_it(open_distro: Open) -> None:
    house: House = await open_distro(TWO_A_DAY)
    lead, key = example("ingest.request", buyer_id="buyer_def"), {"idempotency-key": "k"}
    first = await house.post("/api/v1/ingest", lead, **key)
    assert first[1]["data"]["status"] == "ACCEPTED"
    await lose_counters(house, "def")
    await ping(house)
    assert await house.post("/api/v1/ingest", lead, **key) == first
    assert len(await house.seen("buyer_def", "post")) == 1


async def test_a_retry_waits_for_the_first_though_all_counters_are_lost(open_distro: Open) -> None:
    house: House = await open_distro(
        TWO_A_DAY, manners={"buyer_def": {"bid": {"price": 25}, "post": {"latency_ms": 1_500}}}
    )
    await ping(house)
    lead, key = example("ingest.request", buyer_id="buyer_def"), {"idempotency-key": "k"}
    under_way = asyncio.create_task(house.post("/api/v1/ingest", lead, **key))

    async def offered() -> bool:
        return bool(await house.seen("buyer_def", "post"))

    await eventually(offered)
    await lose_counters(house, "def")
    again = await house.post("/api/v1/ingest", lead, **key)
    assert again == await under_way
    assert again[1]["data"]["status"] == "ACCEPTED"
    assert len(await house.seen("buyer_def", "post")) == 1


async def test_a_take_that_comes_too_late_gives_its_places_back(
    open_distro: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counters are lost between the two looks at the ledger: the retry is auctioned, and finds its lead there."""
    house: House = await open_distro(TWO_A_DAY)
    await ping(house)
    lead, key = example("ingest.request", buyer_id="buyer_def"), {"idempotency-key": "k"}
    first = await house.post("/api/v1/ingest", lead, **key)
    await lose_counters(house, "def")

    async def unseen(*_: Any) -> None:
        return None

    monkeypatch.setattr(house.exchange.posts.claiming, "earlier", unseen)
    assert await house.post("/api/v1/ingest", lead, **key) == first
    one = house.exchange.floor.market.orders["def"]
    used = await house.exchange.counters.peek(one.buyer_id, one.caps, house.clock.now_ms())
    assert [(count, limit) for _, count, limit in used] == [(1, 2)]
    assert len(await house.seen("buyer_def", "post")) == 1


async def test_an_answer_that_was_lost_is_pending(open_distro: Open) -> None:
    house: House = await open_distro(
        [ORDERS[0]], manners={"buyer_abc": {"bid": {"price": 30}, "post": {"faults": {"reset": 1}}}}
    )
    pending = await ingest(house)
    assert (pending["status"], pending["buyer_id"]) == ("PENDING", None)
