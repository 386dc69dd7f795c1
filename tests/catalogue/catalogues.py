"""Whole catalogues for tests: made at random, by the rules or only by the types."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from auction.market.model import (
    AuctionRules,
    Buyer,
    Campaign,
    Cap,
    Catalogue,
    DuplicateRules,
    FieldSpec,
    House,
    Mode,
    Order,
    Price,
    Seller,
)
from auction.market.money import MOST_MICROS, TICK_MICROS, Micros

MISLEADING = (
    "NO no yes true null ~ 0123 1e3 8:00 2024-01-01 << = # ' {a} [a] *a !a &a %a @a `a | > ? .inf 0x1F ---"
)
BROKEN = '"# a#a #- a#a: b#a\nb#\n#a\n\n b\n#\t#\x07#\x85#\u2028#\ufeff#😀##'
NASTY = st.sampled_from([*MISLEADING.split(" "), *BROKEN.split("#"), "long " * 60, "a" * 300])
"""What YAML could take for something else than text."""
TEXT = NASTY | st.text(max_size=20)
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=12)
IDS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,12}", fullmatch=True)
ZONES = st.sampled_from(["UTC", "America/Chicago", "Europe/Berlin", "Australia/Lord_Howe"])


def amounts(least: int = 0, most: int = MOST_MICROS) -> st.SearchStrategy[Micros]:
    """Money that a file can hold: whole ticks."""
    return st.integers(least // TICK_MICROS, most // TICK_MICROS).map(
        lambda ticks: Micros(ticks * TICK_MICROS)
    )


def caps() -> st.SearchStrategy[tuple[Cap, ...]]:
    """Caps that can be kept together: one of each kind."""
    leads = st.builds(Cap, per=st.sampled_from(["hour", "day", "total"]), leads=st.integers(1, 10**9))
    spend = st.builds(Cap, per=st.sampled_from(["week", "month"]), spend_micros=amounts(50_000_000))
    return st.tuples(leads, spend) | st.tuples(leads) | st.tuples(spend) | st.just(())


FIELDS = (
    FieldSpec(name="state", type="us_state", required="ping"),
    FieldSpec(name="zip", type="us_zip", ping=True),
    FieldSpec(name="bill", type="number", min=0.5, max=10**6, ping=True),
    FieldSpec(name="born", type="date", min="1900-01-01"),
    FieldSpec(name="note", type="text", max_length=400, ping=True),
    FieldSpec(name="owner", type="boolean", ping=True),
    FieldSpec(name="shade", type="choice", choices=("NO", "some", "1.5", "null"), ping=True),
    FieldSpec(name="phone", type="phone", required="post", pii=True),
)
CLAUSES: st.SearchStrategy[Any] = (
    st.fixed_dictionaries({"field": st.just("note"), "equals": WORDS})
    | st.fixed_dictionaries(
        {"field": st.just("bill"), "at_least": st.floats(0, 10**6) | st.integers(0, 10**6)}
    )
    | st.sampled_from(
        [
            {"field": "state", "in": ["NE", "OK"]},
            {"field": "zip", "starts_with": ["0", "01234", "75"]},
            {"field": "shade", "in": ["NO", "1.5", "null"]},
            {"field": "born", "between": ["1950-01-01", "2000-12-31"]},
            {"field": "owner", "equals": True},
            {"field": "note", "exists": False},
        ]
    )
)
FILTERS: st.SearchStrategy[Any] = st.recursive(
    CLAUSES,
    lambda inner: (
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"not": inner})
    ),
    max_leaves=5,
)


@st.composite
def campaigns(draw: st.DrawFn, name: str) -> Campaign:
    """A campaign of all kinds of fields."""
    modes: st.SearchStrategy[Mode] = st.sampled_from(["exclusive", "hybrid"])
    mode = draw(modes)
    return Campaign(
        id=name,
        name=draw(TEXT),
        fields=FIELDS,
        auction=AuctionRules(
            mode=mode,
            max_buyers=1 if mode == "exclusive" else draw(st.integers(1, 20)),
            floor_micros=draw(amounts(most=5_000_000)),
            select=draw(st.sampled_from(["price", "weight", "turn"])),
            hold_s=draw(st.integers(1, 86_400)),
        ),
        duplicates=draw(st.none() | st.just(DuplicateRules(fields=("phone", "zip"), days=30))),
        unknown_fields=draw(st.sampled_from(["reject", "ignore"])),
    )


@st.composite
def buyers(draw: st.DrawFn, name: str) -> Buyer:
    """A buyer that can be asked."""
    value = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=20)
    return Buyer(
        id=name,
        name=draw(TEXT),
        ping_url="https://buyer.example/ping?x=1&y=",
        post_url="http://127.0.0.1:8090/post",
        headers=draw(
            st.dictionaries(st.sampled_from(["authorization", "X-Key", "null"]), value.filter(_no_env))
        ),
        signing_secret=draw(st.none() | st.just("env:SECRET")),
        idempotent=draw(st.booleans()),
        caps=draw(caps()),
        timezone=draw(st.none() | ZONES),
    )


def _no_env(text: str) -> bool:
    return not text.startswith("env:")


@st.composite
def orders(draw: st.DrawFn, name: str, buyer: str, campaign: str) -> Order:
    """An order that can win."""
    fixed = draw(st.none() | amounts(5_000_000, 50_000_000))
    most = draw(st.none() | amounts(50_000_000))
    return Order(
        id=name,
        buyer=buyer,
        campaign=campaign,
        name=draw(TEXT),
        filter=draw(st.none() | FILTERS),
        hours=draw(st.sampled_from([(), ("Mon-Fri 08:00-20:00", "Sun closed"), ("daily 22:00-06:00",)])),
        timezone=draw(st.none() | ZONES),
        price=Price(live=True, max_micros=most) if fixed is None else Price(fixed_micros=fixed),
        caps=draw(caps()),
        exclusive=draw(st.booleans()),
        priority=draw(st.integers(-1000, 1000)),
        paused=draw(st.booleans()),
    )


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    """A catalogue without a mistake."""
    campaign_ids = draw(st.lists(IDS, max_size=2, unique=True))
    seller_ids = draw(st.lists(IDS, max_size=2, unique=True))
    buyer_ids = draw(st.lists(IDS, max_size=2, unique=True))
    order_ids = draw(st.lists(IDS, max_size=3, unique=True)) if campaign_ids and buyer_ids else []
    margins: st.SearchStrategy[str | float] = st.sampled_from(["20%", "2.50", 2.5, 3, "0.5%"])
    return Catalogue(
        exchange=House(name=draw(TEXT), currency="EUR", timezone=draw(ZONES)),
        campaigns=tuple(draw(campaigns(name)) for name in campaign_ids),
        sellers=tuple(
            Seller(
                id=name,
                name=draw(TEXT),
                keys=(f"sha256:{at:064x}",),
                campaigns=tuple(campaign_ids[:1]),
                margin=draw(margins),
                rate_limit=draw(st.none() | st.just("60/minute")),
            )
            for at, name in enumerate(seller_ids)
        ),
        buyers=tuple(draw(buyers(name)) for name in buyer_ids),
        orders=tuple(
            draw(orders(name, draw(st.sampled_from(buyer_ids)), draw(st.sampled_from(campaign_ids))))
            for name in order_ids
        ),
    )
