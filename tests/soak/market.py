"""The soak's market: buyers of every manner, with caps small enough to be met again and again.

Three campaigns (exclusive, shared, and a mix of both), windows of an hour and a day in two time zones, caps on leads
and on spend, of orders and of a buyer over all its orders; caps on pings of two buyers, in all. The mock buyers live in
two processes, so that one can be killed or frozen while the other goes on.
"""

from __future__ import annotations

from typing import Any, Literal

import yaml
from msgspec import Struct

from tests.faults.history import CapTerm, Terms
from tests.house import KEY_HASH

MICROS = 1_000_000
HOLD_S = 8
POST_TIMEOUT_MS = 1_500
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "solo": {"mode": "exclusive"},
    "trio": {"mode": "shared", "max_buyers": 3},
    "duo": {"mode": "hybrid", "max_buyers": 2},
}
AUCTION: dict[str, Any] = {"tmax_ms": 400, "hold_s": HOLD_S}
FIELDS = [
    {"name": "state", "type": "us_state", "required": "ping"},
    {"name": "bill", "type": "integer", "min": 0, "ping": True},
    {"name": "first_name", "type": "text", "required": "post", "pii": True},
    {"name": "phone", "type": "phone", "required": "post", "pii": True},
    {"name": "email", "type": "email", "required": "post", "pii": True},
]
LOSSY = {"reset": 0.04, "close": 0.03, "half_answer": 0.03, "hang": 0.02, "error_500": 0.03, "garbage": 0.03}


class Actor(Struct, frozen=True):
    """One buyer: which of the mock's processes plays it, in what manner, and whether it keeps keys."""

    house: str
    manner: dict[str, Any]
    idempotent: bool = False
    caps: tuple[dict[str, Any], ...] = ()


class Market(Struct, frozen=True):
    """What is traded in one run."""

    actors: dict[str, Actor]
    orders: list[dict[str, Any]]
    zones: dict[str, str]

    def scripts(self) -> dict[str, str]:
        """Process → the script that its mock buyers play."""
        houses: dict[str, dict[str, Any]] = {}
        for name, actor in self.actors.items():
            houses.setdefault(actor.house, {})[name] = actor.manner
        return {house: yaml.safe_dump({"buyers": manners}) for house, manners in houses.items()}

    def catalogue(self, urls: dict[str, str]) -> str:
        """The catalogue file, given where each process is reached."""
        buyers = [
            {
                "id": name,
                "ping_url": f"{urls[actor.house]}/{name}/ping",
                "post_url": f"{urls[actor.house]}/{name}/post",
                "timeout_ms": 250,
                "post_timeout_ms": POST_TIMEOUT_MS,
                "idempotent": actor.idempotent,
                "caps": list(actor.caps),
            }
            for name, actor in self.actors.items()
        ]
        campaigns = [
            {"id": name, "fields": FIELDS, "auction": AUCTION | auction}
            for name, auction in CAMPAIGNS.items()
        ]
        return yaml.safe_dump(
            {
                "exchange": {"name": "Soak", "timezone": "UTC"},
                "campaigns": campaigns,
                "sellers": [{"id": "acme", "keys": [KEY_HASH], "margin": "20%"}],
                "buyers": buyers,
                "orders": self.orders,
            },
            sort_keys=False,
        )

    def terms(self) -> Terms:
        """What the checker holds the run against."""
        caps = [
            term(cap, "order", order["id"], self.zones.get(order["id"], "UTC"))
            for order in self.orders
            for cap in order.get("caps", ())
        ]
        caps += [term(cap, "buyer", name, "UTC") for name, actor in self.actors.items() for cap in actor.caps]
        return Terms(
            places={name: auction.get("max_buyers", 1) for name, auction in CAMPAIGNS.items()},
            caps=tuple(caps),
            idempotent=frozenset(name for name, actor in self.actors.items() if actor.idempotent),
            alone=frozenset(order["id"] for order in self.orders if order.get("exclusive")),
        )


def term(cap: dict[str, Any], owner: Any, name: str, zone: str) -> CapTerm:
    """A cap as it stands in the catalogue, as the checker reads it."""
    if "spend" in cap:
        return CapTerm(owner, name, "spend", cap["per"], round(cap["spend"] * MICROS), zone)
    kind: Literal["leads", "pings"] = "leads" if "leads" in cap else "pings"
    return CapTerm(owner, name, kind, cap["per"], cap[kind], zone)


def make_market(leads: int) -> Market:
    """The market for a run of about so many leads: each cap is a share of them, to be met in each window."""

    def part(share: float) -> int:
        return max(2, round(leads * share))

    def bid(low: float, high: float, **more: Any) -> dict[str, Any]:
        return {"bid": {"price": {"uniform": [low, high]}}, "latency_ms": {"uniform": [1, 60]}, **more}

    def order(name: str, campaign: str, *caps: dict[str, Any], **more: Any) -> dict[str, Any]:
        buyer = name.partition("-")[0]
        plain = {"id": name, "buyer": buyer, "campaign": campaign, "price": {"live": True, "max": 80.0}}
        return {**plain, "caps": list(caps), **more}

    actors = {
        "ada": Actor("first", bid(30, 50), idempotent=True),
        "bob": Actor("first", bid(25, 55, post={"latency_ms": {"uniform": [20, 400]}})),
        "cleo": Actor("first", bid(28, 60, post={"accept": 0.6})),
        "dora": Actor(
            "first",
            bid(20, 58, post={"faults": LOSSY}),
            idempotent=True,
            caps=({"leads": part(0.12), "per": "day"},),
        ),
        "eve": Actor("first", {}),
        "fay": Actor("second", bid(20, 40, post={"faults": LOSSY})),
        "gus": Actor("second", bid(15, 40, post={"faults": {"slow_drip": 0.05, "hang": 0.03}}), True),
        "hal": Actor("second", bid(22, 44)),
        "ivy": Actor("second", {"post": {"faults": LOSSY}}),
        "jon": Actor("second", bid(40, 70, post={"accept": 0.8}), idempotent=True),
        "kim": Actor("second", bid(15, 40)),
        "liz": Actor("first", bid(10, 20), caps=({"pings": part(0.1), "per": "total"},)),
        "max": Actor("second", bid(10, 30), caps=({"pings": part(0.4), "per": "total"},)),
    }
    orders = [
        order("ada-solo", "solo", {"leads": part(0.03), "per": "hour"}, {"leads": part(0.05), "per": "day"}),
        order("bob-solo", "solo", {"spend": round(part(0.03) * 45.5, 2), "per": "hour"}),
        order("cleo-solo", "solo", {"leads": part(0.04), "per": "hour"}),
        order("dora-solo", "solo", {"leads": part(0.06), "per": "hour"}),
        order("eve-solo", "solo", price={"fixed": 8.0}),
        order("dora-trio", "trio"),
        order("fay-trio", "trio", {"leads": part(0.05), "per": "hour"}),
        order("gus-trio", "trio", {"leads": part(0.04), "per": "day"}, timezone="Asia/Kolkata"),
        order("hal-trio", "trio", {"spend": round(part(0.05) * 33.3, 2), "per": "day"}),
        order("ivy-trio", "trio", price={"fixed": 5.0}),
        order("jon-duo", "duo", {"leads": part(0.04), "per": "hour"}, exclusive=True),
        order("kim-duo", "duo", {"leads": part(0.06), "per": "hour"}),
        order("liz-duo", "duo"),
        order("max-trio", "trio"),
        order("max-duo", "duo", price={"live": True}),
        order("ivy-duo", "duo", price={"fixed": 6.0}),
        order("eve-duo", "duo", price={"fixed": 7.0}),
    ]
    zones = {one["id"]: one["timezone"] for one in orders if "timezone" in one}
    return Market(actors, orders, zones)
