from __future__ import annotations

from typing import Any

from auction.catalogue.reading import Source, read_catalogue
from auction.market.market import Market, compile_market
from auction.post.waits import MINUTE_MS, Openings, wait_ms
from tests.house import NOON_MS, catalogue

HOUR_MS = 60 * MINUTE_MS
WAITS = {"pending_hours": 5}


def market(*orders: dict[str, Any], version: int = 1, **changes: Any) -> Market:
    text = catalogue(list(orders), **{"campaign": WAITS, **changes})
    return compile_market(read_catalogue([Source("c.yaml", text)]), version)


def order(**more: Any) -> dict[str, Any]:
    return {"id": "a", "buyer": "ann", "price": {"fixed": 9}, **more}


def test_waits_grow_to_half_an_hour() -> None:
    assert [wait_ms(tries) // MINUTE_MS for tries in range(8)] == [1, 2, 5, 10, 15, 30, 30, 30]


def test_nothing_opens_by_itself() -> None:
    openings, of_now = Openings(), market(order())
    assert [openings.look(of_now, NOON_MS + at * HOUR_MS) for at in range(30)] == [set()] * 30


def test_hours_that_open() -> None:
    openings, of_now = Openings(), market(order(hours=["Mon-Sun 13:00-14:00"]))
    looks = [openings.look(of_now, NOON_MS + at * HOUR_MS) for at in range(4)]
    assert looks == [set(), {"solar"}, set(), set()]
    assert openings.look(of_now, NOON_MS + 25 * HOUR_MS) == {"solar"}


def test_a_cap_that_begins_anew() -> None:
    openings, of_now = Openings(), market(order(caps=[{"leads": 1, "per": "hour"}]))
    looks = [openings.look(of_now, NOON_MS + at * HOUR_MS // 2) for at in range(5)]
    assert looks == [set(), set(), {"solar"}, set(), {"solar"}]


def test_terms_that_change() -> None:
    openings = Openings()
    assert openings.look(market(order()), NOON_MS) == set()
    assert openings.look(market(order(), version=2), NOON_MS) == set()  # elsewhere
    assert openings.look(market(order(price={"fixed": 10}), version=3), NOON_MS) == {"solar"}
    paused = market(order(price={"fixed": 10}), version=4, buyers={"ann": {"paused": True}})
    assert openings.look(paused, NOON_MS) == {"solar"}


def test_a_change_does_not_hide_a_cap_that_begins_anew() -> None:
    openings, caps = Openings(), [{"leads": 1, "per": "hour"}]
    openings.look(market(order(caps=caps)), NOON_MS)
    assert openings.look(market(order(caps=caps), version=2), NOON_MS + HOUR_MS) == {"solar"}


def test_campaigns_that_let_nothing_wait_are_not_looked_at() -> None:
    openings = Openings()
    plain: dict[str, Any] = {"campaign": {"pending_hours": None}}
    openings.look(market(order(), **plain), NOON_MS)
    assert openings.look(market(order(price={"fixed": 10}), version=2, **plain), NOON_MS) == set()
    assert openings._seen == {}


def test_a_campaign_that_is_gone_is_forgotten() -> None:
    openings = Openings()
    openings.look(market(order()), NOON_MS)
    other: dict[str, Any] = {"campaign": {**WAITS, "id": "roof"}}
    assert openings.look(market(order(), version=2, **other), NOON_MS) == set()
    assert set(openings._seen) == {"roof"}
