"""Good answers: their headers, and money that is the same in the answer and in the ledger."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
from sqlalchemy import select

from auction.ledger.engine import open_engine
from auction.ledger.schema import leads, sales
from tests.api.conftest import OpenDoors
from tests.api.wired import Answer, Wired, wired
from tests.house import NOON_MS, PERSON, PING, SELLER, House

encode = msgspec.json.encode
LIMITED = b"x-api-key: limited-key\r\n"
TIMING = re.compile(r"own;dur=(\d+\.\d{3}), buyers;dur=(\d+\.\d{3})")


def rate_of(answer: Answer) -> tuple[str, ...]:
    return tuple(answer.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset"))


async def test_the_rate_limit_is_told_on_every_answer_and_kept(house: House, line: Wired) -> None:
    reset = str((NOON_MS // 60_000 + 1) * 60)
    first = await line.send("/ping", encode(PING), key=LIMITED)
    assert (first.status, rate_of(first)) == (200, ("3", "2", reset))
    repeat = await line.send("/ping", encode(PING), key=LIMITED)
    assert (repeat.status, rate_of(repeat)) == (200, ("3", "1", reset))
    assert repeat.json == first.json
    direct = await line.send("/direct", encode({**PING, "lead": {**PING["lead"], **PERSON}}), key=LIMITED)
    assert (direct.json["status"], rate_of(direct)) == ("sold", ("3", "0", reset))
    for path in ("/ping", "/direct"):
        house.clock.move(20_500)
        body = {**PING, "lead": {**PING["lead"], **(PERSON if path == "/direct" else {})}}
        refused = await line.send(path, encode(body), key=LIMITED)
        assert (refused.status, refused.code, rate_of(refused)) == (429, "rate_limited", ("3", "0", reset))
        assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "19", "of 60 s, 41 are over: and never too early"
    house.clock.move(19_000)
    again = await line.send("/ping", encode(PING), key=LIMITED)
    assert (again.status, rate_of(again)[1]) == (200, "2"), "retry-after was long enough"
    offer = await line.send("/ping", encode({**PING, "floor": 1_000}), key=LIMITED)
    assert (offer.json["status"], rate_of(offer)[1]) == ("no_bid", "1")


async def test_posts_have_a_window_of_their_own(house: House, line: Wired) -> None:
    reset = str((NOON_MS // 60_000 + 1) * 60)
    offer = await line.send("/ping", encode(PING), key=LIMITED)
    post = encode({"ping_id": offer.json["ping_id"], "lead": PERSON})
    wrong = await line.send("/post", encode({"ping_id": offer.json["ping_id"], "lead": {}}), key=LIMITED)
    assert wrong.status == 422, "counted: it was looked at"
    sold = await line.send("/post", post, key=LIMITED)
    assert (sold.json["status"], rate_of(sold)) == ("sold", ("3", "1", reset))
    again = await line.send("/post", post, key=LIMITED)
    assert (again.json, rate_of(again)) == (sold.json, ("3", "0", reset))
    house.clock.move(20_500)
    refused = await line.send("/post", post, key=LIMITED)
    assert (refused.status, refused.code, rate_of(refused)) == (429, "rate_limited", ("3", "0", reset))
    assert refused.headers["retry-after"] == "40"
    assert (await line.send("/ping", encode(PING), key=LIMITED)).status == 200, "the pings' window is another"
    house.clock.move(40_000)
    assert (await line.send("/post", post, key=LIMITED)).json == sold.json
    assert house.exchange.post_rate.refused == 1


async def test_a_rate_for_posts_alone(open_doors: OpenDoors) -> None:
    seller = {**SELLER, "post_rate_limit": "2/day"}
    house = await open_doors(sellers=[seller])
    async with wired(house.url) as line:
        offer = await line.send("/ping", encode(PING))
        assert not [name for name in offer.headers if name.startswith("x-ratelimit")]
        post = encode({"ping_id": offer.json["ping_id"], "lead": PERSON})
        statuses = [(await line.send("/post", post)).status for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_where_there_is_no_limit_none_is_told(line: Wired) -> None:
    answer = await line.send("/ping", encode(PING))
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


async def test_our_own_time_is_told_apart_from_the_buyers(open_doors: OpenDoors) -> None:
    house = await open_doors(manners={"a-co": {"bid": {"price": 30}, "latency_ms": 50}})
    async with wired(house.url) as line:
        pinged = await line.send("/ping", encode(PING))
        repeat = await line.send("/ping", encode(PING))
        direct = await line.send("/direct", encode({**PING, "lead": {**PING["lead"], **PERSON}}))
    for answer, waited in ((pinged, True), (repeat, False), (direct, True)):
        told = TIMING.fullmatch(answer.headers["server-timing"])
        assert told, answer.headers
        own_ms, buyers_ms = float(told[1]), float(told[2])
        assert own_ms > 0
        assert buyers_ms >= 45 if waited else buyers_ms == 0


def four_decimals(amount: Any) -> bool:
    exact = Decimal(repr(amount))
    return exact == round(exact, 4) and amount >= 0


async def test_money_is_the_same_in_every_answer_and_in_the_ledger(open_doors: OpenDoors) -> None:
    """P8 over a random run: odd prices, a margin of a share, shared and exclusive sales, pings and direct leads."""
    rng = Random(20260101)
    names = [f"o{n}" for n in range(4)]
    bid = {"bid": {"price": {"uniform": [5, 80]}}}
    manners: dict[str, Any] = {f"{name}-co": bid for name in names}
    manners["o1-co"] = {**bid, "post": {"accept": 0.5}}
    orders: list[dict[str, Any]] = [{"id": name, "buyer": f"{name}-co"} for name in names]
    house = await open_doors(
        [*orders, {"id": "fixed", "buyer": "fixed-co", "price": {"fixed": 33.3333}}],
        {**manners, "fixed-co": {}},
        auction={"mode": "hybrid", "max_buyers": 3},
        sellers=[{**SELLER, "margin": "17.77%"}],
    )

    async def one(number: int) -> tuple[dict[str, Any], dict[str, Any] | None]:
        person = {**PERSON, "phone": f"512-556-{number:04d}"}
        ping = {**PING, "sub_id": f"s{number}", "floor": rng.choice([0, 1.2345, 7.0001])}
        if number % 4 == 0:
            _, answer = await house.post("/direct", {**ping, "lead": {**PING["lead"], **person}})
            return answer, answer
        offer = await house.ping(**ping)
        return offer, await house.sell(offer["ping_id"], **person) if offer["status"] == "offer" else None

    run: list[Awaitable[Any]] = [one(number) for number in range(40)]
    answers = await asyncio.gather(*run)
    engine = open_engine(house.exchange.settings.ledger_url)
    with engine.connect() as conn:
        sold = conn.execute(select(sales)).all()
        taken = {row.lead_id: row for row in conn.execute(select(leads))}
    engine.dispose()
    told_micros = 0
    for offer, answer in answers:
        assert all(four_decimals(bid["payout"]) for bid in offer.get("bids", []))
        assert four_decimals(offer.get("payout", 0))
        if answer is None or answer["status"] != "sold":
            continue
        assert four_decimals(answer["payout"])
        micros = int(Decimal(repr(answer["payout"])) * 1_000_000)
        parts = [sale for sale in sold if sale.lead_id == answer["lead_id"]]
        assert micros == taken[answer["lead_id"]].payout_micros == sum(sale.payout_micros for sale in parts)
        assert answer["buyers"] == [sale.buyer_id for sale in parts]
        told_micros += micros
    assert len(sold) > 40
    assert told_micros == sum(sale.payout_micros for sale in sold)
    assert all(sale.price_micros == sale.payout_micros + sale.margin_micros for sale in sold)
    assert all(sale.margin_micros * 10_000 >= sale.price_micros * 1_777 for sale in sold)
