"""Which caps are new, and what a house makes of them: what was sold before counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auction import log
from auction.catalogue.reading import Source, read_catalogue
from auction.counters.link import Link
from auction.market.market import Market, compile_market
from auction.reconcile import reconciling
from auction.reconcile.seeding import new_caps
from tests.faults.breaking import CountersAwayAt, apply_to
from tests.house import House, catalogue, open_house

DAILY = {"leads": 2, "per": "day"}
BASE = {"id": "a", "buyer": "ann", "caps": [DAILY]}


def market(*orders: dict[str, Any], caps: list[dict[str, Any]] | None = None, zone: str = "UTC") -> Market:
    """These orders; `caps` and `zone` are the buyer ann's."""
    text = catalogue(list(orders), buyers={"ann": {"caps": caps or [], "timezone": zone}})
    return compile_market(read_catalogue([Source("test.yaml", text)]), 1)


def names(old: Market | None, new: Market) -> list[tuple[str, str, str]]:
    return sorted((cap.buyer_id, cap.owner_id, cap.rule.key) for cap in new_caps(old, new))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (market(BASE), market(BASE), []),
        (None, market(BASE), [("ann", "a", "o:a:leads:day")]),
        (market(BASE), market({**BASE, "caps": [{"leads": 9, "per": "day"}]}), []),
        (
            market(BASE),
            market({**BASE, "caps": [DAILY, {"leads": 2, "per": "week"}, {"spend": 60, "per": "week"}]}),
            [("ann", "a", "o:a:leads:week"), ("ann", "a", "o:a:spend:week")],
        ),
        (
            market(BASE),
            market({**BASE, "timezone": "America/Chicago"}),
            [("ann", "a", "o:a:leads:day")],
        ),
        (market(BASE), market(BASE, zone="America/Chicago"), [("ann", "a", "o:a:leads:day")]),
        (market(BASE), market({**BASE, "buyer": "ben"}), [("ben", "a", "o:a:leads:day")]),
        (market(BASE), market({**BASE, "caps": [DAILY, {"pings": 5, "per": "day"}]}), []),
        (market(BASE), market({"id": "a", "buyer": "ann"}), []),
        (
            market(BASE),
            market(BASE, {**BASE, "id": "b"}, caps=[DAILY]),
            [("ann", "ann", "b:leads:day"), ("ann", "b", "o:b:leads:day")],
        ),
    ],
)
def test_the_caps_that_are_new(old: Market | None, new: Market, expected: list[tuple[str, str, str]]) -> None:
    assert names(old, new) == expected


async def sell(house: House, number: int) -> str:
    """One more lead, of another person: the status of its ping or post."""
    offer = await house.ping(sub_id=str(number))
    if offer["status"] == "no_bid":
        return "no_bid"
    return str((await house.sell(offer["ping_id"], phone=f"512-555-{number:04d}"))["status"])


@pytest.mark.parametrize("batch", [1, 100])
async def test_a_house_on_an_emptied_valkey_knows_what_was_sold_today(
    tmp_path: Path, emptied_valkey: str, ledger_url: str, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Orders' caps, on leads and on spend, and a buyer's over its two orders. Small batches find the same."""
    for limit in ("MOST_OWNERS", "MOST_CAPS", "MOST_STEPS"):
        monkeypatch.setattr(reconciling, limit, batch)
    orders: list[dict[str, Any]] = [
        {"id": "a", "buyer": "ann", "caps": [{"leads": 1, "per": "day"}]},
        {"id": "b", "buyer": "ann", "price": {"fixed": 20}},
        {"id": "c", "buyer": "cid", "price": {"fixed": 10}, "caps": [{"spend": 15, "per": "total"}]},
    ]
    terms = {"ann": {"caps": [{"leads": 3, "per": "month"}]}}
    bids = {"ann": {"bid": {"price": 30}}}
    async with open_house(tmp_path, emptied_valkey, ledger_url, orders, bids, buyers=terms) as house:
        assert [await sell(house, number) for number in range(2)] == ["sold", "sold"]  # to a, to b
    link = Link(emptied_valkey, bound_ms=5_000)
    await link.open()
    await link.call("FLUSHALL")
    await link.close()
    async with open_house(tmp_path, emptied_valkey, ledger_url, orders, bids, buyers=terms) as house:
        payouts = []
        for number in range(2, 5):
            offer = await house.ping(sub_id=str(number))
            payouts.append(offer.get("payout"))
            if offer["status"] == "offer":
                await house.sell(offer["ping_id"], phone=f"512-555-{number:04d}")
        assert payouts == [20, 10, None]


async def test_counters_that_are_away_put_off_the_new_market_and_not_more(
    open_sqlite_house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(log, "warning", lambda name, **facts: told.append(f"{name}: {facts.get('code')}"))
    house: House = await open_sqlite_house([{"id": "a", "buyer": "ann"}], {"ann": {"bid": {"price": 30}}})
    assert [await sell(house, number) for number in range(2)] == ["sold", "sold"]
    swapping = house.exchange.swapping
    swapping._counters = CountersAwayAt(swapping._counters, "mend", times=2)  # type: ignore[assignment]
    await apply_to(house, [BASE])
    assert told == ["market_stays: counters_unavailable"] * 2
    assert await sell(house, 3) == "no_bid"
