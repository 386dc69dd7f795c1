"""The compiled market: bits, masks and reasons; caps, keys and rates."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.market.eligibility import bits
from auction.market.entry import KeyKind
from auction.market.market import CampaignMarket, Eligibility, Market, Rate, compile_market
from auction.market.model import Catalogue
from auction.market.money import MICROS, MOST_MICROS, Margin
from auction.market.reasons import Reason

FIELDS = [
    {"name": "state", "type": "us_state", "required": "ping"},
    {"name": "bill", "type": "integer", "ping": True},
    {"name": "phone", "type": "phone", "required": "post", "pii": True},
]
NOON = round(datetime(2026, 3, 4, 12, tzinfo=ZoneInfo("America/Chicago")).timestamp() * 1000)  # a Wednesday
HOUR_MS = 3_600_000


def order(order_id: str, **more: Any) -> dict[str, Any]:
    return {"id": order_id, "buyer": "sunrise", "campaign": "solar", "price": {"live": True}} | more


def catalogue(*orders: dict[str, Any], **more: Any) -> Catalogue:
    """The price of an order is written in micros here: reading amounts is the catalogue's business."""
    book: dict[str, Any] = {
        "exchange": {"timezone": "America/Chicago"},
        "campaigns": [{"id": "solar", "fields": FIELDS}],
        "buyers": [{"id": "sunrise"}, {"id": "dusk", "paused": True}],
        "sellers": [{"id": "acme", "keys": ["sha256:" + sha256(b"key-1").hexdigest()]}],
        "orders": list(orders),
    }
    return msgspec.convert(book | more, Catalogue, dec_hook=lambda of, value: of(value))


def solar(*orders: dict[str, Any], **more: Any) -> CampaignMarket:
    return compile_market(catalogue(*orders, **more), 1).campaigns["solar"]


def ask(market: CampaignMarket, seller: str = "acme", **more: Any) -> Eligibility:
    given = {"full": 0, "unhealthy": 0, "lowest_price_micros": 0} | more
    return market.eligible({"state": "TX", "bill": 100}, NOON, seller, **given)


def why(market: CampaignMarket, found: Eligibility) -> dict[str, Reason | None]:
    return {each.id: found.why_not(each.bit) for each in market.orders}


def test_orders_are_bits_in_the_order_of_their_ids() -> None:
    market = solar(order("c"), order("a", tier=2), order("b", tier=2))
    assert [(each.bit, each.id) for each in market.orders] == [(0, "a"), (1, "b"), (2, "c")]
    assert market.tiers == (1, 2)
    assert market.tier_masks == {1: 0b100, 2: 0b011}
    assert market.ping_fields == ("state", "bill")


def test_every_step_names_its_reason() -> None:
    market = solar(
        order("a-fits"),
        order("b-other-seller", sellers=["zenith"]),
        order("c-not-acme", not_sellers=["acme"]),
        order("d-paused", paused=True),
        order("e-paused-buyer", buyer="dusk"),
        order("f-closed", hours=["Mon-Fri 13:00-20:00"]),
        order("g-filtered", filter={"field": "state", "in": ["CA"]}),
        order("h-full"),
        order("i-unhealthy"),
        order("j-cheap", price={"live": True, "max": 4 * MICROS}),
        order("k-cheap-fixed", price={"fixed": 4 * MICROS}),
        order("l-exclusive", exclusive=True),
        order("m-maybe", filter={"field": "phone", "starts_with": "+1512"}),
        order("n-for-acme", sellers=["acme"], price={"fixed": 5 * MICROS}),
        campaigns=[{"id": "solar", "fields": FIELDS, "auction": {"mode": "shared", "max_buyers": 3}}],
    )
    place = {each.id[0]: 1 << each.bit for each in market.orders}
    found = ask(market, full=place["h"] | place["d"], unhealthy=place["i"], lowest_price_micros=5 * MICROS)
    assert why(market, found) == {
        "a-fits": None,
        "b-other-seller": Reason.SELLER,
        "c-not-acme": Reason.SELLER,
        "d-paused": Reason.PAUSED,
        "e-paused-buyer": Reason.PAUSED,
        "f-closed": Reason.CLOSED,
        "g-filtered": Reason.FILTERED,
        "h-full": Reason.CAP_FULL,
        "i-unhealthy": Reason.UNHEALTHY,
        "j-cheap": Reason.MAX_BELOW_FLOOR,
        "k-cheap-fixed": Reason.MAX_BELOW_FLOOR,
        "l-exclusive": Reason.WANTS_EXCLUSIVE,
        "m-maybe": None,
        "n-for-acme": None,
    }
    assert {market.orders[bit].id[0] for bit in bits(found.eligible)} == {"a", "m", "n"}
    assert Eligibility.from_bytes(found.to_bytes()) == found


def test_sellers_are_taken_or_refused_by_name() -> None:
    market = solar(
        order("a"),
        order("b", sellers=["acme"]),
        order("c", not_sellers=["acme"]),
        order("d", sellers=["acme", "zenith"], not_sellers=["zenith"]),
    )
    taken = {seller: ask(market, seller).eligible for seller in ("acme", "zenith", "nobody")}
    assert taken == {"acme": 0b1011, "zenith": 0b0101, "nobody": 0b0101}


def test_an_exclusive_order_takes_part_unless_leads_are_shared() -> None:
    for mode, reason in (("exclusive", None), ("hybrid", None), ("shared", Reason.WANTS_EXCLUSIVE)):
        market = solar(
            order("a", exclusive=True),
            campaigns=[{"id": "solar", "fields": FIELDS, "auction": {"mode": mode}}],
        )
        assert ask(market).why_not(0) is reason


MASKS = st.integers(0, 2**40 - 1)


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(0, 40),
    full=MASKS,
    unhealthy=MASKS,
    lowest=st.integers(0, 50),
    picks=st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 50)), min_size=40, max_size=40),
)
def test_every_order_is_in_exactly_one_place(
    count: int, full: int, unhealthy: int, lowest: int, picks: list[tuple[bool, bool, int]]
) -> None:
    orders = [
        order(
            f"o{n:02}",
            paused=paused,
            hours=["Sun 08:00-20:00"] if closed else [],
            price={"live": True, "max": most * MICROS},
        )
        for n, (paused, closed, most) in enumerate(picks[:count])
    ]
    market = solar(*orders)
    found = ask(market, full=full, unhealthy=unhealthy, lowest_price_micros=lowest * MICROS)
    for n, (paused, closed, most) in enumerate(picks[:count]):
        reasons = [
            (paused, Reason.PAUSED),
            (closed, Reason.CLOSED),
            (full >> n & 1, Reason.CAP_FULL),
            (unhealthy >> n & 1, Reason.UNHEALTHY),
            (most < lowest, Reason.MAX_BELOW_FLOOR),
        ]
        assert found.why_not(n) is next((reason for applies, reason in reasons if applies), None)
        assert bool(found.eligible >> n & 1) is (found.why_not(n) is None)
    assert found.all == (1 << count) - 1
    assert Eligibility.from_bytes(found.to_bytes()) == found


def test_a_row_from_before_there_were_routes_is_read() -> None:
    market = solar(order("a"), order("b", paused=True))
    found = ask(market)
    count, masks = msgspec.msgpack.decode(found.to_bytes())
    assert (count, len(masks)) == (2, 8), "who has no routes writes what was written before"
    routed = ask(market, allowed=0b10)
    assert len(msgspec.msgpack.decode(routed.to_bytes())[1]) == 9
    assert Eligibility.from_bytes(routed.to_bytes()) == routed
    assert (routed.routed, routed.paused, routed.eligible) == (0b01, 0b10, 0)


def test_an_eligibility_that_nobody_wrote_is_refused() -> None:
    for data in (b"", b"\x00", msgspec.msgpack.encode((3, [[0]]))):
        with pytest.raises((msgspec.MsgspecError, ValueError)):
            Eligibility.from_bytes(data)


def test_the_open_mask_follows_the_clock_in_both_directions() -> None:
    market = solar(
        order("a", hours=["daily 12:00-13:00"]),
        order("b", hours=["daily 12:30-14:00"]),
        order("c", hours=["daily 12:00-13:00"], timezone="America/New_York"),
        order("d"),
    )
    expected = {
        0: 0b1001,
        30: 0b1011,
        60: 0b1010,
        59: 0b1011,
        120: 0b1000,
        -60: 0b1100,
        -30: 0b1100,
        0.001: 0b1001,
    }
    for minutes, mask in expected.items():
        assert market.open_mask(NOON + round(minutes * 60_000)) == mask
    for minutes in range(-90, 2880, 7):
        now_ms = NOON + minutes * 60_000
        asked = sum(1 << each.bit for each in market.orders if each.hours.is_open(now_ms))
        assert market.open_mask(now_ms) == asked


def test_caps_are_the_orders_and_its_buyers() -> None:
    market = solar(
        order(
            "a",
            caps=[
                {"per": "day", "leads": 5, "spend": 100},
                {"per": "day", "leads": 3},
                {"per": "day", "leads": 4},
                {"per": "hour", "pings": 9},
            ],
        ),
        order("b", timezone="America/Denver", caps=[{"per": "week", "leads": 1}]),
        buyers=[
            {
                "id": "sunrise",
                "timezone": "America/New_York",
                "caps": [{"per": "month", "spend": 7}, {"per": "total", "pings": 8}],
            }
        ],
    )
    a, b = market.orders
    assert [(rule.key, rule.kind, rule.per, rule.limit, rule.zone.key) for rule in a.caps] == [
        ("o:a:leads:day", "leads", "day", 3, "America/New_York"),
        ("o:a:spend:day", "spend", "day", 100, "America/New_York"),
        ("b:spend:month", "spend", "month", 7, "America/New_York"),
    ]
    assert [(rule.key, rule.limit) for rule in a.ping_caps] == [("o:a:pings:hour", 9), ("b:pings:total", 8)]
    assert [(rule.key, rule.zone.key) for rule in b.caps] == [
        ("o:b:leads:week", "America/Denver"),
        ("b:spend:month", "America/New_York"),
    ]
    assert a.caps[2] is b.caps[1]


def test_what_an_order_can_bid_at_most() -> None:
    live, fixed, capped = solar(
        order("a"), order("b", price={"fixed": 25}), order("c", price={"live": True, "max": 80})
    ).orders
    assert (live.live, live.fixed_micros, live.max_micros) == (True, None, MOST_MICROS)
    assert (fixed.live, fixed.fixed_micros, fixed.max_micros) == (False, 25, 25)
    assert (capped.live, capped.fixed_micros, capped.max_micros) == (True, None, 80)


def test_keys_open_the_door_unless_their_seller_is_paused() -> None:
    def hashed(key: str) -> str:
        return "sha256:" + sha256(key.encode()).hexdigest()

    book = catalogue(
        sellers=[
            {"id": "acme", "keys": [hashed("key-1")], "margin": "20%", "rate_limit": "60/minute"},
            {"id": "zenith", "keys": [hashed("key-2")], "paused": True, "campaigns": ["solar"], "margin": 5},
        ]
    )
    extra: dict[tuple[KeyKind, str], list[str]] = {
        ("seller", "acme"): [hashed("made")],
        ("seller", "zenith"): [hashed("other")],
        ("seller", "gone"): [hashed("ghost")],
        ("buyer", "acme"): [hashed("a buyer's")],
    }
    market: Market = compile_market(book, 7, extra)
    acme = market.seller_of_key("key-1")
    assert acme is not None
    assert acme is market.seller_of_key("made")
    assert (acme.id, acme.margin, acme.rate) == ("acme", Margin(share_ppm=200_000), Rate(60, 60_000))
    assert acme.campaigns == {"solar"}
    for key in ("key-2", "other", "ghost", "", hashed("key-1"), "a buyer's"):
        assert market.seller_of_key(key) is None
    zenith = market.sellers["zenith"]
    assert zenith.margin == Margin(amount_micros=5 * MICROS)
    assert zenith.rate is None
    assert zenith.campaigns == {"solar"}
    assert market.version == 7
    assert market.house.timezone == "America/Chicago"


@pytest.mark.parametrize(
    ("text", "rate"),
    [("1/second", Rate(1, 1_000)), ("5/hour", Rate(5, HOUR_MS)), ("90/day", Rate(90, 24 * HOUR_MS))],
)
def test_rates(text: str, rate: Rate) -> None:
    assert Rate.from_text(text) == rate


@pytest.mark.parametrize(
    "text", ["", "60", "60/fortnight", "0/second", "-1/second", "\u0661/second", "/second"]
)
def test_rates_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a rate such as 60/minute"):
        Rate.from_text(text)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (order("a", price={}), "order a: expected a fixed price or a live one"),
        (order("a", price={"live": True, "fixed": 5}), "order a: expected a fixed price or a live one"),
        (order("a", buyer="nobody"), "order a: unknown buyer nobody"),
        (order("a", campaign="wind"), "unknown campaigns: wind"),
        (order("a", filter={"field": "zap", "equals": 1}), "order a: field: 'zap' is not a field"),
        (order("a", hours=["whenever"]), "order a: 'whenever': expected hours"),
        (order("a", timezone="Mars/Base"), "order a: unknown time zone 'Mars/Base'"),
        (order("b"), "two entries have the id b"),
    ],
)
def test_what_a_check_refuses_is_not_compiled(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        compile_market(catalogue(order("b"), wrong), 1)
