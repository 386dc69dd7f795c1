"""The benchmark's market: what an operator could have written, and just so many orders that match."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from auction.changes.applying import read_files
from auction.market.market import Market, compile_market
from loadtest.bench import book
from loadtest.bench.book import Line, Ports

ORDERS = 300
PORTS = Ports(plain=tuple(range(9001, 9051)), silent=(9101, 9102, 9103), tls=tuple(range(9201, 9211)))
LINES = [
    Line("ten", ORDERS, plain=10),
    Line("quiet", ORDERS, plain=7, silent=3),
    Line("secret", ORDERS, tls=10),
    Line("one", 100, plain=1),
]
NOON_MS = 1_760_000_000_000
WEEK_MS = 7 * 86_400_000


def compiled() -> Market:
    return compile_market(book.catalogue(LINES, PORTS, None), 1)


MARKET = compiled()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), at_ms=st.integers(NOON_MS, NOON_MS + WEEK_MS), line=st.sampled_from(LINES))
def test_exactly_the_orders_of_its_buyers_take_a_lead(seed: int, at_ms: int, line: Line) -> None:
    campaign = MARKET.campaigns[line.id]
    values, mistakes = campaign.decoder.ping(book.lead(Random(seed)))
    assert not mistakes
    found = campaign.eligible(values, at_ms, "bench", full=0, unhealthy=0, lowest_price_micros=6_250_000)
    buyers = {order.buyer_id for order in campaign.orders if found.eligible >> order.bit & 1}
    assert found.eligible.bit_count() == line.plain + line.silent + line.tls
    assert len(buyers) == found.eligible.bit_count()
    assert all(buyer.startswith(("plain-", "silent-", "tls-")) for buyer in buyers)


def test_every_campaign_has_so_many_orders() -> None:
    assert {name: len(campaign.orders) for name, campaign in MARKET.campaigns.items()} == {
        line.id: line.orders for line in LINES
    }


def test_nobody_can_close_an_auction_early() -> None:
    """The highest bid of the buyers is below what any other may bid: all ten are waited for, as the references do."""
    for order in MARKET.campaigns["ten"].orders:
        if order.buyer_id.startswith("plain-"):
            assert order.max_micros > 40_000_000


def test_it_is_a_catalogue_that_the_exchange_reads(tmp_path: Path) -> None:
    catalogue = book.catalogue(LINES, PORTS, None)
    file = tmp_path / "bench.yaml"
    file.write_bytes(book.as_json(catalogue))
    assert read_files([file]) == catalogue


def test_the_same_seed_makes_the_same_book() -> None:
    assert book.catalogue(LINES, PORTS, None) == book.catalogue(LINES, PORTS, None)
