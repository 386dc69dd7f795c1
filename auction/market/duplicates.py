"""Which leads of one campaign equal each other, by its own rule for duplicates and by those of its orders. Pure.

What is compared is normalised: a phone, an email or a text counts in the one spelling under which it is hashed for
buyers (`hashing`), so a ping that tells only the hash of a phone is known again as well as its post. All rules over the
same fields share what they compare (a `Sameness`), and one look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from auction.market.hashing import HASHABLE, digest_of
from auction.market.model import Campaign, DuplicateRules, FieldSpec, FieldValue
from auction.market.orders import TradedOrder

DAY_MS = 86_400_000


class Sameness(msgspec.Struct, frozen=True):
    """Some fields, by which leads are the same. `at_ping`: a ping can tell them all. `keep_ms` is the longest window
    of the rules that go by them."""

    fields: tuple[str, ...]
    at_ping: bool
    keep_ms: int

    @property
    def name(self) -> str:
        """Its name among those of its campaign."""
        return ",".join(self.fields)


class Rule(msgspec.Struct, frozen=True):
    """One rule: by which of the samenesses (its place among them), and for how long."""

    at: int
    days: int

    @property
    def window_ms(self) -> int:
        """The same in milliseconds."""
        return self.days * DAY_MS


class Duplicates:
    """The rules of one campaign. `samenesses` are those of all rules, each once; `orders` the orders' rules by id, and
    `bits` the orders' bits."""

    __slots__ = ("_specs", "bits", "campaign", "campaign_id", "orders", "samenesses")

    def __init__(self, campaign: Campaign, orders: Iterable[TradedOrder]) -> None:
        self._specs = {spec.name: spec for spec in campaign.fields}
        self.campaign_id = campaign.id
        ruled = [order for order in orders if order.order.duplicates is not None]
        longest: dict[tuple[str, ...], int] = {}
        for said in (campaign.duplicates, *(each.order.duplicates for each in ruled)):
            if said is not None:
                longest[_fields(said)] = max(longest.get(_fields(said), 0), said.days)
        self.samenesses: tuple[Sameness, ...] = tuple(
            Sameness(fields, all(_known_at_ping(self._specs[name]) for name in fields), days * DAY_MS)
            for fields, days in longest.items()
        )
        places = {sameness.fields: at for at, sameness in enumerate(self.samenesses)}
        self.campaign = _rule(campaign.duplicates, places)
        self.orders = {each.id: rule for each in ruled if (rule := _rule(each.order.duplicates, places))}
        self.bits = {each.id: each.bit for each in ruled}

    @property
    def at_ping(self) -> bool:
        """Whether some rule can be looked at when a lead is pinged."""
        return any(sameness.at_ping for sameness in self.samenesses)

    def told(
        self,
        values: Mapping[str, FieldValue],
        digests: Mapping[str, str] | None = None,
        *,
        at_ping: bool = False,
    ) -> list[bytes | None]:
        """For each sameness what makes two leads the same, to be hashed with a key; None where a field is missing.

        `digests` stand for values that the ping did not tell. `at_ping`: only what a ping can tell is worked out.
        """
        return [
            None if at_ping and not sameness.at_ping else self._told(sameness, values, digests or {})
            for sameness in self.samenesses
        ]

    def _told(
        self, sameness: Sameness, values: Mapping[str, FieldValue], digests: Mapping[str, str]
    ) -> bytes | None:
        parts: list[Any] = []
        for name in sameness.fields:
            value = values.get(name)
            if value is None:
                part: Any = digests.get(name)
            else:
                kind = self._specs[name].type
                part = digest_of(kind, value) if kind in HASHABLE else value
            if part is None:
                return None
            parts.append(part)
        return msgspec.json.encode((sameness.fields, parts))


def duplicates_of(campaign: Campaign, orders: Sequence[TradedOrder]) -> Duplicates | None:
    """The rules of a campaign; None where it has none, nor have its orders."""
    ruled = campaign.duplicates is not None or any(order.order.duplicates is not None for order in orders)
    return Duplicates(campaign, orders) if ruled else None


def _rule(rule: DuplicateRules | None, places: Mapping[tuple[str, ...], int]) -> Rule | None:
    return None if rule is None else Rule(places[_fields(rule)], rule.days)


def _fields(rule: DuplicateRules) -> tuple[str, ...]:
    return tuple(sorted(set(rule.fields)))


def _known_at_ping(spec: FieldSpec) -> bool:
    return spec.in_ping or spec.hashed_in_ping
