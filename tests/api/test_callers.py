"""Whose a request is by its head: a seller, whichever of its keys it sends, or one of the unknown, by their network."""

from __future__ import annotations

from hashlib import sha256

import pytest

from auction.api.callers import UNKNOWN, caller_of, network_of
from auction.market.market import Market, compile_market
from auction.market.model import Catalogue, Seller

HERE = ("192.0.2.7", 4711)


def hashed(key: str) -> str:
    return "sha256:" + sha256(key.encode()).hexdigest()


@pytest.fixture(scope="module")
def market() -> Market:
    sellers = (
        Seller(id="acme", keys=(hashed("one"), hashed("two"))),
        Seller(id="idle", keys=(hashed("idle"),), paused=True),
    )
    return compile_market(Catalogue(sellers=sellers), 1, {("seller", "acme"): [hashed("given")]})


@pytest.mark.parametrize(
    "header",
    [
        *((b"authorization", b"Bearer one"), (b"authorization", b"bearer  two "), (b"x-api-key", b"one")),
        (b"x-api-key", b"given"),
    ],
)
def test_all_keys_of_a_seller_are_one_caller(market: Market, header: tuple[bytes, bytes]) -> None:
    scope = {"headers": [(b"host", b"x"), header], "client": HERE}
    assert caller_of(scope, market) == ("acme",)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"x-api-key", b"")],
        [(b"x-api-key", b"three")],
        [(b"authorization", b"Basic one")],
        [(b"x-api-key", b"idle")],
        [(b"authorization", b"Bearer \xff\x00")],
    ],
    ids=["no key", "an empty one", "a wrong one", "none of ours", "of a seller that is paused", "bytes"],
)
def test_all_others_are_one_group(market: Market, headers: list[tuple[bytes, bytes]]) -> None:
    assert caller_of({"headers": headers, "client": HERE}, market) == (UNKNOWN, HERE[0])


@pytest.mark.parametrize(
    ("client", "network"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1, 0, 0), "20010db800010002"),
        (("2001:db8:1:2::9", 1, 0, 0), "20010db800010002"),
        (("2001:db8:1:3::9", 1, 0, 0), "20010db800010003"),
        (("fe80::1%eth0", 1, 0, 2), "fe80000000000000"),
        (("::ffff:192.0.2.7", 1, 0, 0), "::ffff:192.0.2.7"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_client_is_called_by_its_network(client: object, network: str) -> None:
    assert network_of(client) == network
