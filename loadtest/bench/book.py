"""The order book that the benchmark trades on: a campaign of many orders, of which exactly so many take its leads.

Everything in it is what an operator would write: filters over several fields with lists, bounds and alternatives,
opening hours, caps, priorities. An order that must not take the benchmark's leads is kept from them by one thing among
several that would fit, so that no part of the index has an easy day. The same seed makes the same book.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from random import Random
from typing import Any

import msgspec

from auction.catalogue.documents import plain_keys
from auction.market.model import (
    AuctionRules,
    Buyer,
    Campaign,
    Cap,
    Catalogue,
    DuplicateRules,
    FieldSpec,
    Order,
    Price,
    Seller,
)
from auction.market.money import MICROS, Micros
from loadtest.bench.requests import HOLE

KEY = "bench-key"
OTHER_KEY = "bench-other-key"
"""Of a second seller, on the same terms."""
LEAD_POOL = 997
TMAX_MS = 400
SHORT_TMAX_MS = 200

_PREFIXES = ("750", "752", "760", "761", "770", "773", "782", "787")
_OTHER_PREFIXES = ("755", "763", "774", "781", "786", "790", "794", "799", "885")
_STATES = (
    "AZ",
    "CA",
    "CO",
    "FL",
    "GA",
    "IL",
    "LA",
    "MO",
    "NC",
    "NM",
    "NV",
    "NY",
    "OH",
    "OK",
    "PA",
    "UT",
    "VA",
    "WA",
)
_CREDIT = ("excellent", "good", "fair")
_ROOFS = ("asphalt", "tile", "metal", "flat")
_HOURS = (("Mon-Sun 00:00-24:00",), ("Mon-Fri 08:00-20:00",), ("Mon-Sat 07:00-22:00", "Sun 10:00-18:00"), ())
_ZONES = ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles")


class Ports(msgspec.Struct, frozen=True):
    """Where the buyers listen: those who answer at once, those who never do, those who speak TLS."""

    plain: tuple[int, ...]
    silent: tuple[int, ...]
    tls: tuple[int, ...]


class Line(msgspec.Struct, frozen=True):
    """One campaign of the benchmark: its id, how many orders it has, and the buyers whose orders take its leads."""

    id: str
    orders: int
    plain: int = 0
    silent: int = 0
    tls: int = 0


def catalogue(lines: Sequence[Line], ports: Ports, ca_file: str | None, seed: int = 7) -> Catalogue:
    """A campaign for each line: one order of each of its buyers, the others of orders that do not match."""
    rng = Random(seed)
    buyers = _buyers(ports, ca_file)
    sellers = tuple(
        Seller(
            id=name,
            keys=("sha256:" + sha256(key.encode()).hexdigest(),),
            margin="20%",
            rate_limit="900000000/hour",
        )
        for name, key in (("bench", KEY), ("bench-other", OTHER_KEY))
    )
    orders: list[Order] = []
    for line in lines:
        matching = [
            *buyers["plain"][: line.plain],
            *buyers["silent"][: line.silent],
            *buyers["tls"][: line.tls],
        ]
        orders += [_matching(rng, line.id, buyer) for buyer in matching]
        others = line.orders - len(matching)
        orders += [_other(rng, line.id, buyers["elsewhere"], number) for number in range(others)]
    return Catalogue(
        campaigns=tuple(_campaign(line.id) for line in lines),
        sellers=sellers,
        buyers=tuple(buyer for group in buyers.values() for buyer in group),
        orders=tuple(orders),
    )


def as_json(catalogue: Catalogue) -> bytes:
    """A catalogue file. JSON is YAML, and written in a hundredth of the time."""
    keys = plain_keys(catalogue, lambda micros: Decimal(micros) / MICROS)
    return msgspec.json.Encoder(decimal_format="number").encode(keys)


def pings(campaign: str, tmax_ms: int = TMAX_MS, seed: int = 7) -> list[dict[str, Any]]:
    """Bodies of pings, some 200 bytes each; every one has a place for its number."""
    rng = Random(seed)
    return [
        {"campaign": campaign, "lead": lead(rng), "tmax": tmax_ms, "sub_id": f"feed-{HOLE}"}
        for _ in range(LEAD_POOL)
    ]


def lead(rng: Random) -> dict[str, Any]:
    """The ping fields of one lead."""
    return {
        "state": "TX",
        "zip": f"{rng.choice(_PREFIXES)}{rng.randrange(1, 100):02d}",
        "electric_bill": rng.randrange(150, 600),
        "homeowner": True,
        "credit": rng.choice(_CREDIT),
        "roof": rng.choice(_ROOFS),
    }


def person() -> dict[str, Any]:
    """What a post adds. Nobody has a phone of country 999."""
    return {
        "first_name": "Ann",
        "last_name": "Baker",
        "phone": f"+999{HOLE}",
        "email": "ann.baker@example.com",
        "address": "12 Elm Street",
    }


def _campaign(name: str) -> Campaign:
    text = [
        FieldSpec(name=name, type="text", max_length=60, required="post", pii=True)
        for name in ("first_name", "last_name")
    ]
    return Campaign(
        id=name,
        fields=(
            FieldSpec(name="state", type="us_state", required="ping"),
            FieldSpec(name="zip", type="us_zip", required="ping"),
            FieldSpec(name="electric_bill", type="integer", min=0, max=5000, required="ping"),
            FieldSpec(name="homeowner", type="boolean", required="ping"),
            FieldSpec(name="credit", type="choice", choices=(*_CREDIT, "poor"), ping=True),
            FieldSpec(name="roof", type="choice", choices=_ROOFS, ping=True),
            *text,
            FieldSpec(name="phone", type="phone", required="post", pii=True),
            FieldSpec(name="email", type="email", required="post", pii=True),
            FieldSpec(name="address", type="text", max_length=200, pii=True),
        ),
        auction=AuctionRules(mode="exclusive", tmax_ms=500, floor_micros=_money(5), hold_s=60),
        duplicates=DuplicateRules(fields=("phone",), days=30),
    )


def _buyers(ports: Ports, ca_file: str | None) -> dict[str, list[Buyer]]:
    def buyer(name: str, scheme: str, port: int, trust: str | None = None) -> Buyer:
        return Buyer(
            id=name,
            ping_url=f"{scheme}://127.0.0.1:{port}/ping",
            post_url=f"{scheme}://127.0.0.1:{port}/post",
            headers={"authorization": f"Bearer {name}-0123456789abcdef"},
            ca_file=trust,
            timeout_ms=1_000,
            idempotent=True,
            timezone="America/Chicago",
            caps=(Cap(per="month", leads=900_000_000),),
        )

    return {
        "plain": [buyer(f"plain-{at:02d}", "http", port) for at, port in enumerate(ports.plain)],
        "silent": [buyer(f"silent-{at:02d}", "http", port) for at, port in enumerate(ports.silent)],
        "tls": [buyer(f"tls-{at:02d}", "https", port, ca_file) for at, port in enumerate(ports.tls)],
        "elsewhere": [buyer(f"elsewhere-{at:02d}", "http", port) for at, port in enumerate(ports.plain)],
    }


def _matching(rng: Random, campaign: str, buyer: Buyer) -> Order:
    """Takes every lead of the benchmark, by terms that have to be looked at."""
    wanted: list[dict[str, Any]] = [
        {"field": "state", "in": sorted(["TX", *rng.sample(_STATES, 2)])},
        {"field": "electric_bill", "at_least": rng.randrange(60, 150)},
        {"field": "homeowner", "equals": True},
    ]
    if rng.random() < 0.5:
        wanted.append({"field": "zip", "starts_with": [*_PREFIXES, *rng.sample(_OTHER_PREFIXES, 2)]})
    if rng.random() < 0.5:
        wanted.append({"field": "credit", "in": list(_CREDIT)})
    return Order(
        id=f"{campaign}-{buyer.id}",
        buyer=buyer.id,
        campaign=campaign,
        filter={"all": wanted},
        hours=("Mon-Sun 00:00-24:00",),
        price=Price(live=True, max_micros=_money(80)),
        caps=(Cap(per="hour", leads=100_000_000), Cap(per="day", leads=500_000_000)),
        exclusive=True,
        priority=rng.randrange(3),
    )


def _other(rng: Random, campaign: str, buyers: Sequence[Buyer], number: int) -> Order:
    """Takes other leads: of other states, mostly; or of ours, but for one of its terms."""
    terms: list[dict[str, Any]] = [
        {"field": "electric_bill", "at_least": rng.randrange(60, 200)},
        {"field": "homeowner", "equals": True},
    ]
    states = ["TX", *rng.sample(_STATES, rng.randrange(0, 4))]
    chance = rng.random()
    if chance < 0.6:
        states = rng.sample(_STATES, rng.randrange(1, 6))
    elif chance < 0.75:
        terms.append({"field": "zip", "starts_with": rng.sample(_OTHER_PREFIXES, rng.randrange(1, 5))})
    elif chance < 0.85:
        terms[0] = {"field": "electric_bill", "at_least": rng.randrange(600, 1500)}
    elif chance < 0.95:
        terms.append({"field": "credit", "equals": "poor"})
    else:
        terms[1] = {
            "any": [{"field": "homeowner", "equals": False}, {"field": "electric_bill", "at_most": 50}]
        }
    terms.append({"field": "state", "in": sorted(states)})
    if rng.random() < 0.3:
        terms.append({"field": "roof", "not_in": rng.sample(_ROOFS, 1)})
    return Order(
        id=f"{campaign}-{number:05d}",
        buyer=rng.choice(buyers).id,
        campaign=campaign,
        filter={"all": terms},
        hours=rng.choice(_HOURS),
        timezone=rng.choice(_ZONES),
        price=Price(live=True, max_micros=_money(rng.randrange(20, 90))),
        caps=(Cap(per="day", leads=rng.randrange(10, 500)),),
        exclusive=rng.random() < 0.5,
        priority=rng.randrange(3),
    )


def _money(whole: int) -> Micros:
    return Micros(whole * 1_000_000)
