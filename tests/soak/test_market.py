"""The soak's market is one that the house takes, and the checker's terms are those of its catalogue."""

from __future__ import annotations

import pytest

from auction.catalogue.reading import Source, read_catalogue
from buyers_mock.script import read_script
from tests.soak.market import make_market


@pytest.mark.parametrize("leads", [1, 40, 599, 7_200])
def test_the_terms_that_are_checked_are_those_that_are_traded_on(leads: int) -> None:
    market = make_market(leads)
    catalogue = read_catalogue(
        [Source("soak.yaml", market.catalogue({"first": "http://a", "second": "http://b"}))]
    )
    terms = market.terms()
    limits = {
        (owner, one.id, cap.per, cap.leads or cap.spend_micros or cap.pings, zone)
        for owner, entries in (("order", catalogue.orders), ("buyer", catalogue.buyers))
        for one in entries
        for cap in one.caps
        for zone in [one.timezone or catalogue.exchange.timezone]
    }
    assert {(cap.owner, cap.id, cap.per, cap.limit, cap.zone) for cap in terms.caps} == limits
    assert len(terms.caps) == len(limits) >= 10
    assert terms.places == {one.id: one.auction.max_buyers for one in catalogue.campaigns}
    assert terms.idempotent == {buyer.id for buyer in catalogue.buyers if buyer.idempotent}
    assert terms.alone == {order.id for order in catalogue.orders if order.exclusive}


def test_every_buyer_is_played_and_every_campaign_has_one_who_takes_what_is_left() -> None:
    market = make_market(1_000)
    played = [name for script in market.scripts().values() for name in read_script(script).buyers]
    assert sorted(played) == sorted(market.actors)
    assert {order["buyer"] for order in market.orders} <= set(played)
    uncapped = {
        order["campaign"] for order in market.orders if not order["caps"] and "fixed" in order["price"]
    }
    assert uncapped == {"solo", "trio", "duo"}
