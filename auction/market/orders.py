"""Orders as the market knows them: an order with its buyer, everything resolved that can be."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

import msgspec

from auction.market.filters import Filter, parse
from auction.market.hours import Hours, parse_hours
from auction.market.model import Buyer, Cap, FieldSpec, House, Order
from auction.market.money import MOST_MICROS
from auction.market.windows import CapKind, CapRule


class TradedOrder(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One order in its campaign's market; `bit` is its place in every mask of that market.

    `caps` are the limits on leads and spend that a hold must keep, the order's and its buyer's; `ping_caps`
    those on being asked. `max_micros` is the most that it can bid: its fixed price, its declared maximum, or
    any price.
    """

    bit: int
    id: str
    order: Order
    buyer: Buyer
    buyer_id: str
    campaign_id: str
    filter: Filter | None
    hours: Hours
    caps: tuple[CapRule, ...]
    ping_caps: tuple[CapRule, ...]
    fixed_micros: int | None
    live: bool
    max_micros: int
    exclusive: bool
    priority: int
    weight: int
    tier: int

    @property
    def paused(self) -> bool:
        """Whether the order, or its buyer with all of its orders, is paused."""
        return self.order.paused or self.buyer.paused


class OrderCompiler:
    """Compiles orders for one market, sharing what they have in common (opening hours, mostly)."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._hours: dict[tuple[tuple[str, ...], str], Hours] = {}
        self._buyer_caps: dict[str, tuple[CapRule, ...]] = {}

    def compile(self, bit: int, order: Order, buyer: Buyer, fields: Mapping[str, FieldSpec]) -> TradedOrder:
        """One order, in its place. Raises `ValueError` for what a check refuses: no price or two, a filter or
        hours that cannot be read, an unknown time zone.
        """
        try:
            return self._compiled(bit, order, buyer, fields)
        except ValueError as error:
            raise ValueError(f"order {order.id}: {error}") from error

    def _compiled(self, bit: int, order: Order, buyer: Buyer, fields: Mapping[str, FieldSpec]) -> TradedOrder:
        price = order.price
        if price.live == (price.fixed_micros is not None):
            raise ValueError("expected a fixed price or a live one")
        zone = order.timezone or buyer.timezone or self._house.timezone
        caps = cap_rules(f"o:{order.id}", order.caps, _zone(zone)) + self._caps_of(buyer)
        declared = price.max_micros if price.fixed_micros is None else price.fixed_micros
        return TradedOrder(
            bit=bit,
            id=order.id,
            order=order,
            buyer=buyer,
            buyer_id=buyer.id,
            campaign_id=order.campaign,
            filter=None if order.filter is None else parse(order.filter, fields),
            hours=self._hours_of(order.hours, zone),
            caps=tuple(rule for rule in caps if rule.kind != "pings"),
            ping_caps=tuple(rule for rule in caps if rule.kind == "pings"),
            fixed_micros=None if price.fixed_micros is None else int(price.fixed_micros),
            live=price.live,
            max_micros=MOST_MICROS if declared is None else int(declared),
            exclusive=order.exclusive,
            priority=order.priority,
            weight=order.weight,
            tier=order.tier,
        )

    def _caps_of(self, buyer: Buyer) -> tuple[CapRule, ...]:
        rules = self._buyer_caps.get(buyer.id)
        if rules is None:
            rules = cap_rules("b", buyer.caps, _zone(buyer.timezone or self._house.timezone))
            self._buyer_caps[buyer.id] = rules
        return rules

    def _hours_of(self, lines: tuple[str, ...], zone: str) -> Hours:
        hours = self._hours.get((lines, zone))
        if hours is None:
            hours = self._hours[lines, zone] = parse_hours(lines, zone)
        return hours


def cap_rules(owner: str, caps: tuple[Cap, ...], zone: ZoneInfo) -> tuple[CapRule, ...]:
    """The rules of one owner's caps; of two of the same kind and period the lower one holds."""
    rules: dict[str, CapRule] = {}
    for cap in caps:
        limits: tuple[tuple[CapKind, int | None], ...] = (
            ("leads", cap.leads),
            ("spend", cap.spend_micros),
            ("pings", cap.pings),
        )
        for kind, limit in limits:
            if limit is None:
                continue
            key = f"{owner}:{kind}:{cap.per}"
            if key not in rules or limit < rules[key].limit:
                rules[key] = CapRule(key, kind, cap.per, int(limit), zone)
    return tuple(rules.values())


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
        raise ValueError(f"unknown time zone {name!r}") from error
