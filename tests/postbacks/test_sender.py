"""Sellers are told: by GET and by signed JSON, in order, through failures, once where there are two workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.house import KEY_HASH, House
from tests.postbacks.receiver import Receiver, receiving

Open = Callable[..., Awaitable[House]]
ORDERS: list[dict[str, Any]] = [{"id": "a", "buyer": "a-co"}]
TAKES: dict[str, Any] = {"a-co": {"bid": {"price": 30}}}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def seller(*postbacks: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"id": "acme", "keys": [KEY_HASH], "postbacks": list(postbacks), **more}]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def test_a_sale_is_told_by_get(open_test_house: Open, receiver: Receiver) -> None:
    url = (
        receiver.url + "/p?l={lead_id}&s={status}&p={payout}&sub={sub_id}&c={currency}&t={test}&e={event_id}"
    )
    house = await open_test_house(ORDERS, TAKES, sellers=seller({"url": url}))
    ping = await house.ping(sub_id="fb/7 ü&x")
    sale = await house.sell(ping["ping_id"])
    await receiver.until(1)
    (told,) = receiver.heard
    lead_id = sale["lead_id"]
    assert told.method == "GET"
    assert told.path == (f"/p?l={lead_id}&s=sold&p=30.00&sub=fb%2F7%20%C3%BC%26x&c=USD&t=false&e={lead_id}-3")
    await until(lambda: house.exchange.postbacks.delivered == 1)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
