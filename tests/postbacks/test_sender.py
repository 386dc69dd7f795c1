"""Sellers are told: by GET and by signed JSON, in order, through failures, once where there are two workers."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, tzinfo
from time import monotonic
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError, webhooks

from auction import log
from auction.errors import HouseError
from auction.ledger.postbacks import record_try
from auction.measures import families_of
from auction.postbacks import sender as module
from auction.postbacks.sender import DAY_MS, LEASE_MS, REMOVED, Postbacks
from tests.house import NOON_MS
from tests.postbacks.conftest import LOSES, ORDERS, SECRET, TAKES, OpenTelling, seller
from tests.postbacks.receiver import Heard, Receiver

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
OpenReceiver = Callable[[], Awaitable[Receiver]]


class _Noon(datetime):
    """When the tests' houses live."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(NOON_MS / 1_000, UTC)


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library compares timestamps with the clock on the wall."""
    monkeypatch.setattr(webhooks, "datetime", _Noon)


def data_of(heard: Heard) -> dict[str, Any]:
    return dict(msgspec.json.decode(heard.body)["data"])


async def test_a_sale_is_told_by_get(open_test_house: Any, receiver: Receiver) -> None:
    """By the house itself, which looks on its own."""
    macros = "l={lead_id}&s={status}&p={payout}&sub={sub_id}&c={currency}&t={test}&e={event_id}"
    postback = {"url": f"{receiver.url}/{{campaign}}?{macros}"}
    house = await open_test_house(
        ORDERS,
        TAKES,
        sellers=seller(postback),
    )
    ping = await house.ping(sub_id="fb/7 ü&x")
    lead_id = (await house.sell(ping["ping_id"]))["lead_id"]
    await receiver.until(1)
    (heard,) = receiver.heard
    sub = "fb%2F7%20%C3%BC%26x"
    assert heard.method == "GET"
    assert heard.path == f"/solar?l={lead_id}&s=sold&p=30.00&sub={sub}&c=USD&t=false&e={lead_id}-3"
    async with asyncio.timeout(30):
        while house.exchange.postbacks.delivered < 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_signed_json_is_verified_by_the_library(
    open_telling: OpenTelling, receiver: Receiver, at_noon: None
) -> None:
    telling = await open_telling({"url": f"{receiver.url}/hook?x=1", "secret": SECRET}, manners=LOSES)
    lead_id = await telling.sell(sub_id="fb-7", test=True)
    await telling.accept(lead_id)
    await telling.turn()
    assert [data_of(one)["status"] for one in receiver.heard] == ["pending", "sold"]
    for heard in receiver.heard:
        said = Webhook(SECRET).verify(heard.body, heard.headers)
        assert said["type"] == f"lead.{said['data']['status']}"
        assert heard.headers["webhook-id"] == said["data"]["event_id"]
        assert (said["data"]["test"], said["data"]["sub_id"]) == (True, "fb-7")
        assert (heard.method, heard.path) == ("POST", "/hook?x=1")
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(heard.body + b" ", heard.headers)
    assert [data_of(one)["payout"] for one in receiver.heard] == [0.0, 30.0]


async def test_a_seller_hears_what_it_asked_for(
    open_telling: OpenTelling, open_receiver: OpenReceiver, receiver: Receiver
) -> None:
    other = await open_receiver()
    telling = await open_telling(
        {"url": f"{receiver.url}/{{status}}", "statuses": ["pending", "rejected"]},
        {"url": f"{other.url}/{{status}}/{{payout}}", "statuses": ["sold"]},
        manners=LOSES,
    )
    await telling.accept(await telling.sell())
    await telling.turn()
    assert receiver.told == ["/pending"]
    assert other.told == ["/sold/30.00"]
    status, lead = await telling.house.get(f"/leads/{(await telling.stored())[0].lead_id}")
    assert status == 200
    assert [(one["status"], one["state"], one["http_status"]) for one in lead["postbacks"]] == [
        ("pending", "delivered", 200),
        ("sold", "delivered", 200),
    ]


async def test_an_hour_of_failures_loses_nothing_and_keeps_the_order(
    open_telling: OpenTelling, receiver: Receiver
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET}, manners=LOSES)
    clock, rng = telling.house.clock, random.Random(7)
    receiver.answer = lambda _: (rng.choice((500, 502, 503, 404, 429)), b"down")
    leads: list[str] = []
    for minute in range(60):
        if minute % 10 == 0:
            leads.append(await telling.sell(sub_id=str(minute)))
        if minute % 10 == 5:
            await telling.accept(leads[-1])
        await telling.turn()
        clock.move(MINUTE_MS)
    failed = len(receiver.heard)
    assert failed >= 12
    assert {one.state for one in await telling.stored()} == {"waiting", "behind"}
    assert {data_of(one)["status"] for one in receiver.heard} == {"pending"}, "none is told before its first"
    receiver.answer = lambda _: (200, b"ok")
    for _ in range(3 * 60):
        clock.move(MINUTE_MS)
        await telling.turn()
    assert {one.state for one in await telling.stored()} == {"delivered"}
    good = receiver.heard[failed:]
    assert len(good) == len({one.headers["webhook-id"] for one in good}) == 2 * len(leads), "each once"
    for lead_id in leads:
        assert [data_of(one)["status"] for one in good if data_of(one)["lead_id"] == lead_id] == [
            "pending",
            "sold",
        ]
    bodies: dict[str, set[bytes]] = {}
    for one in receiver.heard:
        bodies.setdefault(one.headers["webhook-id"], set()).add(one.body)
    assert all(len(same) == 1 for same in bodies.values()), "the same id is the same body"


async def test_after_three_days_it_is_given_up_and_the_next_event_goes(
    open_telling: OpenTelling, receiver: Receiver
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET}, manners=LOSES)
    receiver.answer = lambda one: (500 if b"lead.pending" in one.body else 200, b"no")
    await telling.accept(await telling.sell())
    for _ in range(4 * 24 * 2):
        await telling.turn()
        telling.house.clock.move(HOUR_MS // 2)
    first, second = await telling.stored()
    assert (first.told, first.state, first.tries, first.status, first.answer) == (
        "pending", "given_up", 10, 500, "no",
    )  # fmt: skip
    assert (second.told, second.state, second.tries) == ("sold", "delivered", 1)
    assert (telling.sender.delivered, telling.sender.given_up) == (1, 1)
    assert telling.sender.failed == {("http_500",): 10}
    values = {family.name: family.values for family in families_of(telling.house.exchange)}
    assert values["auction_postbacks_given_up"] == [((), 1)]
    assert values["auction_postbacks_failed"] == [(("http_500",), 10.0)]


async def test_gone_is_not_asked_again_and_a_pause_is_kept(
    open_telling: OpenTelling, receiver: Receiver
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET}, manners=LOSES)
    receiver.answer = lambda _: (503, b"", {"Retry-After": "3600"})
    lead_id = await telling.sell()
    await telling.turn()
    telling.house.clock.move(HOUR_MS - 1)
    await telling.turn()
    assert len(receiver.heard) == 1
    receiver.answer = lambda one: (410 if b"lead.pending" in one.body else 200, b"")
    telling.house.clock.move(MINUTE_MS)
    await telling.turn()
    await telling.accept(lead_id)
    await telling.turn()
    assert [(one.told, one.state, one.status) for one in await telling.stored()] == [
        ("pending", "given_up", 410),
        ("sold", "delivered", 200),
    ]


async def test_a_dead_endpoint_does_not_hold_up_a_good_one(
    open_telling: OpenTelling,
    open_receiver: OpenReceiver,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hanging = await open_receiver()
    hanging.answer = None
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{unused.getsockname()[1]}"
        telling = await open_telling(
            {"url": f"{hanging.url}/{{lead_id}}"},
            {"url": f"{refusing}/{{lead_id}}"},
            {"url": f"{receiver.url}/{{lead_id}}"},
        )
        leads = [await telling.sell(sub_id=str(number)) for number in range(10)]
        await telling.sender.look()
        await receiver.until(10, within_s=5)
    assert sorted(receiver.told) == sorted(f"/{lead_id}" for lead_id in leads)
    assert hanging.most_at_once <= 4
    assert telling.sender.running >= 1, "the one that hangs is still waited for"


async def test_of_two_workers_one_sends_and_the_other_takes_over(
    open_telling: OpenTelling, receiver: Receiver
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET})
    first, second = telling.sender, telling.another("w2")
    for number in range(5):
        await telling.sell(sub_id=str(number))
    await asyncio.gather(telling.turn(first), telling.turn(second))
    assert len(receiver.heard) == 5
    assert sorted([first.delivered, second.delivered]) == [0, 5]
    sending, other = (first, second) if first.delivered else (second, first)
    await telling.sell(sub_id="x")
    other._ask_at_s = 0.0
    await telling.turn(other)
    assert len(receiver.heard) == 5
    telling.house.clock.move(LEASE_MS + 1)
    other._ask_at_s = 0.0
    await telling.turn(other)
    assert (len(receiver.heard), other.delivered) == (6, 1)
    await telling.sell(sub_id="y")
    sending._leads_until_s = sending._ask_at_s = 0.0
    await telling.turn(sending)
    assert len(receiver.heard) == 6
    await other.close()
    sending._ask_at_s = 0.0
    await telling.turn(sending)
    assert len(receiver.heard) == 7, "who closes hands it over at once"


async def test_two_workers_that_look_all_the_time_send_each_once(
    open_telling: OpenTelling, receiver: Receiver
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET})
    others = [telling.another(f"w{number}") for number in range(2)]
    for one in others:
        one.start()
    try:
        leads = [await telling.sell(sub_id=str(number)) for number in range(20)]
        await receiver.until(20)
        async with asyncio.timeout(30):
            while any(one.state != "delivered" for one in await telling.stored()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        for one in others:
            await one.close()
    assert sorted(data_of(one)["lead_id"] for one in receiver.heard) == sorted(leads)


async def test_no_try_begins_that_could_outlast_the_lease(
    open_telling: OpenTelling, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET})
    await telling.sell()

    async def lead_for_a_moment(self: Postbacks) -> bool:
        self._leads_until_s = monotonic() + module.TIMEOUT_S - 1
        return True

    monkeypatch.setattr(Postbacks, "_take_the_lead", lead_for_a_moment)
    await telling.sender.look()
    async with asyncio.timeout(30):
        while telling.sender._lanes.queued:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert receiver.heard == []
    assert [one.state for one in await telling.stored()] == ["waiting"]


async def test_a_house_with_nothing_to_tell_writes_nothing(
    open_telling: OpenTelling, receiver: Receiver
) -> None:
    telling = await open_telling()
    await telling.sell()
    writes = telling.house.exchange.writer.writes
    await telling.turn()
    await telling.turn()
    assert telling.house.exchange.writer.writes == writes


async def test_a_try_that_cannot_be_written_is_not_made_again(
    open_telling: OpenTelling, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET})
    await telling.sell()
    writer = telling.house.exchange.writer
    write, refused = writer.write, 0

    def write_or_fail(op: Any) -> Any:
        nonlocal refused
        if getattr(op, "func", None) is record_try and refused < 3:
            refused += 1
            raise HouseError("ledger_full", "full")
        return write(op)

    monkeypatch.setattr(writer, "write", write_or_fail)
    await telling.sender.look()
    await receiver.until(1)
    while telling.sender._lanes.queued:
        await telling.sender.look()
        await asyncio.sleep(0.01)
    assert (len(receiver.heard), refused, telling.sender.troubles) == (1, 3, 3)
    assert [one.state for one in await telling.stored()] == ["delivered"]


async def test_what_breaks_is_a_try_that_failed(
    open_telling: OpenTelling, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET})
    bugs: list[str] = []
    monkeypatch.setattr(log, "bug", lambda name, **_: bugs.append(name))
    monkeypatch.setattr(module, "body_of", None)
    await telling.sell()
    await telling.turn()
    (one,) = await telling.stored()
    assert (one.state, one.tries, one.error) == ("waiting", 1, "internal_error")
    assert bugs == ["postback_failed"]


async def test_an_endpoint_that_was_taken_out_is_given_up(
    open_telling: OpenTelling, open_receiver: OpenReceiver, receiver: Receiver
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET}, manners=LOSES)
    receiver.answer = lambda _: (500, b"")
    lead_id = await telling.sell()
    await telling.turn()
    other = await open_receiver()
    await telling.apply({"url": other.url, "secret": SECRET})
    await telling.accept(lead_id)
    telling.house.clock.move(HOUR_MS)
    await telling.turn()
    assert [(one.told, one.state, one.error) for one in await telling.stored()] == [
        ("pending", "given_up", REMOVED),
        ("sold", "delivered", None),
    ]
    assert other.told == ["sold"]


async def test_an_event_waits_for_a_market_as_new_as_its_catalogue(
    open_telling: OpenTelling, receiver: Receiver
) -> None:
    telling = await open_telling()
    exchange = telling.house.exchange
    old = exchange.floor
    await telling.apply({"url": receiver.url, "secret": SECRET})
    new, exchange.swapping.floor = exchange.floor, old
    await telling.sell()
    await telling.turn()
    assert await telling.stored() == []
    exchange.swapping.floor = new
    await telling.turn()
    assert receiver.told == ["sold"]


async def test_a_secret_that_is_not_set_is_told_and_waited_for(
    open_telling: OpenTelling, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(log, "warning", lambda name, **facts: told.append(f"{name} {facts.get('detail')}"))
    telling = await open_telling({"url": receiver.url, "secret": "env:POSTBACK_TEST_SECRET"})
    await telling.sell()
    await telling.turn()
    (one,) = await telling.stored()
    assert (one.state, one.error) == ("waiting", "no_secret")
    assert receiver.heard == []
    assert any("POSTBACK_TEST_SECRET is not set" in line for line in told)
    telling.house.clock.move(HOUR_MS)
    other = telling.another("w2")
    other._environ = {"POSTBACK_TEST_SECRET": SECRET}
    await telling.turn(other)
    assert receiver.told == ["sold"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (b"  unknown \n lead ", "unknown lead"),
        (b"", None),
        (b"no lead of Ann is known", None),
        (b'{"phone": "5125550142"}', None),
        (b"write to somebody@else.example", None),
        (b"\x1b[31mred", None),
        (b"x" * 5_000, "x" * 200),
    ],
)
async def test_of_an_answer_a_short_part_is_kept_that_names_nobody(
    open_telling: OpenTelling, receiver: Receiver, said: bytes, kept: str | None
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET})
    receiver.answer = lambda _: (400, said)
    await telling.sell()
    await telling.turn()
    (one,) = await telling.stored()
    assert (one.status, one.answer) == (400, kept)


async def test_private_addresses_are_refused_where_buyers_are(
    open_telling: OpenTelling, receiver: Receiver
) -> None:
    telling = await open_telling({"url": receiver.url, "secret": SECRET})
    await telling.sell()
    await telling.turn(telling.another("w2", allow_private=False))
    (one,) = await telling.stored()
    assert (one.state, one.error, receiver.heard) == ("waiting", "forbidden_address", [])


async def test_what_waits_for_a_failing_endpoint_is_given_up_in_the_end(
    open_telling: OpenTelling, receiver: Receiver
) -> None:
    """Ten leads, and time for few tries: nothing waits for ever."""
    telling = await open_telling({"url": receiver.url, "secret": SECRET})
    receiver.answer = lambda _: (500, b"")
    for number in range(10):
        await telling.sell(sub_id=str(number))
    await telling.turn()
    await telling.turn()
    telling.sender._count_at_s = 0.0
    await telling.turn()
    assert telling.sender.waiting == 10
    telling.house.clock.move(4 * DAY_MS + 1)
    await telling.turn()
    assert {one.state for one in await telling.stored()} == {"given_up"}
    assert telling.sender.given_up == 10
    await telling.turn()
    assert telling.sender.waiting == 0
