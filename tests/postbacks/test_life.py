"""A lead's whole life as its seller hears it: every status, in order, signed, with the money of each moment."""

from __future__ import annotations

from typing import Any

from standardwebhooks import Webhook

from auction.reports.report import Report, Status
from tests.house import KEY_HASH, House
from tests.postbacks.conftest import SECRET, Telling
from tests.postbacks.receiver import Receiver
from tests.postbacks.test_sender import at_noon

__all__ = ["at_noon"]
SELLERS = [{"id": "acme", "keys": [KEY_HASH], "margin": "20%"}]


def order(name: str, price: float) -> dict[str, Any]:
    return {"id": name, "buyer": f"{name}-co", "price": {"fixed": price}, "returns": {"days": 5}}


async def tell(house: House, buyer: str, status: str, lead_id: str, **more: Any) -> None:
    report = Report(
        status=Status(status), by=f"buyer {buyer}-co", buyer_id=f"{buyer}-co", lead_id=lead_id, **more
    )
    await house.exchange.reporting.report(report)


async def test_a_lead_is_followed_to_its_end(open_test_house: Any, receiver: Receiver, at_noon: None) -> None:
    sellers = [{**SELLERS[0], "postbacks": [{"url": receiver.url, "secret": SECRET}]}]
    house = await open_test_house(
        [order("a", 50), order("b", 30)],
        {},
        sellers=sellers,
        auction={"mode": "shared", "max_buyers": 2},
    )
    telling = Telling(house)
    await telling.stop()
    lead_id = await telling.sell(sub_id="fb-7")
    await tell(house, "a", "delivered", lead_id)
    await tell(house, "a", "converted", lead_id, value_micros=1_250_500_000)
    await tell(house, "b", "returned", lead_id, reason="wrong_number")
    await tell(house, "a", "returned", lead_id, reason="cancelled")
    await telling.turn()
    said = [Webhook(SECRET).verify(one.body, one.headers)["data"] for one in receiver.heard]
    told = [
        (one["status"], one.get("told"), one["payout"], one.get("value"), one.get("reason")) for one in said
    ]
    assert told == [
        ("sold", None, 64.0, None, None),
        ("delivered", "delivered", 64.0, None, None),
        ("converted", "converted", 64.0, 1250.5, None),
        ("converted", "returned", 40.0, None, "wrong_number"),
        ("returned", "returned", 0.0, None, "cancelled"),
    ]
    assert {one["lead_id"] for one in said} == {lead_id}
    _, lead = await house.get(f"/leads/{lead_id}")
    assert lead["payout"] == said[-1]["payout"]
    assert {(one["url"], one["http_status"], one["error"]) for one in lead["postbacks"]} == {
        (receiver.url, 200, None)
    }


async def test_a_lead_that_is_refused_at_once_is_told(open_test_house: Any, receiver: Receiver) -> None:
    sellers = [{**SELLERS[0], "postbacks": [{"url": receiver.url + "/{status}/{reason}/{payout}"}]}]
    house = await open_test_house(
        [order("a", 50)],
        {},
        sellers=sellers,
        campaign={"duplicates": {"fields": ["phone"], "days": 30}},
    )
    telling = Telling(house)
    await telling.stop()
    await telling.sell(sub_id="1")
    ping = await house.ping(sub_id="2")
    answer = await house.sell(ping["ping_id"])
    assert (answer["status"], answer["reason"]) == ("rejected", "duplicate")
    await telling.turn()
    assert receiver.told == ["/sold//40.00", "/rejected/duplicate/0.00"]
