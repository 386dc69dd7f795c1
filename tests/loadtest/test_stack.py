from __future__ import annotations

from auction.catalogue.reading import read_catalogue
from auction.catalogue.writing import write_catalogue
from auction.catalogue.yaml_source import Source
from auction.changes.applying import read_files
from auction.market.model import Cap, Catalogue
from loadtest.stack import DEMO_MARKET, moved, widened

DEMO = read_files([DEMO_MARKET])
LIMITS = ("leads", "spend_micros", "pings")


def caps_of(catalogue: Catalogue) -> list[Cap]:
    buyers = [cap for buyer in catalogue.buyers for cap in buyer.caps]
    return buyers + [cap for order in catalogue.orders for cap in order.caps]


def test_buyers_of_this_machine_are_moved_to_the_mock() -> None:
    buyers = moved(DEMO, "http://127.0.0.1:4711").buyers
    assert {url for buyer in buyers for url in (buyer.ping_url, buyer.post_url) if url} >= {
        "http://127.0.0.1:4711/sunrise/ping"
    }
    assert not [buyer for buyer in buyers if ":8090" in f"{buyer.ping_url}{buyer.post_url}"]


def test_wide_caps_are_still_caps_of_a_catalogue() -> None:
    wide = widened(DEMO, 10_000)
    assert read_catalogue([Source("wide.yaml", write_catalogue(wide))]) == wide
    caps = caps_of(DEMO)
    assert {kind for cap in caps for kind in LIMITS if getattr(cap, kind)} == set(LIMITS)
    for cap, wider in zip(caps, caps_of(wide), strict=True):
        assert wider.per == cap.per
        for kind in LIMITS:
            limit = getattr(cap, kind)
            assert getattr(wider, kind) == (limit and 10_000 * limit)


def test_once_as_wide_is_as_it_was() -> None:
    assert widened(DEMO, 1) == DEMO
