"""Which lead route acts on a lead: compiled with the market, so that a ping pays a look-up, and only where there are
routes.

One route acts: the one with the most conditions, and of equals the one whose id comes first (ids of routes made at the
door grow with time). A route by zip code acts only where a team covers the lead's; else the next one does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from auction.market.masks import mask_of
from auction.market.model import Campaign, Catalogue
from auction.market.orders import TradedOrder
from auction.market.routes import LeadRoute, RoutedBy, Source, Team, folded

EVERYONE = -1
"""The mask of all orders, however many."""
_Key = tuple[str | None, str | None]
"""What a route says of contact source and filter; None where it says nothing."""


class Routed(msgspec.Struct, frozen=True, gc=False):
    """What a route says of one lead: the orders that are asked `first`, and those that may be asked at all."""

    route: str
    target: Literal["team", "myself", "none"]
    team: str | None
    first: int
    allowed: int


class _Route(msgspec.Struct, frozen=True, gc=False):
    """A route in its place among all; `says` is None where the zip code has yet to say which team."""

    rank: int
    id: str
    says: Routed | None


_Table = dict[_Key, list[_Route]]


class Routing:
    """The lead routes of one campaign. Immutable."""

    __slots__ = ("_any_source", "_by", "_by_source", "_by_zip", "_zip_lengths", "team_masks")

    def __init__(
        self,
        by: RoutedBy,
        routes: Iterable[LeadRoute],
        teams: Sequence[Team],
        sources: Mapping[str, Source],
        buyer_masks: Mapping[str, int],
    ) -> None:
        """`routes` are those that may act on this campaign's leads; `buyer_masks` are the orders of each buyer."""
        self._by = by
        self.team_masks = {team.id: _all_of(team.buyers, buyer_masks) for team in teams}
        self._by_zip: dict[str, str] = {}
        for team in sorted(teams, key=lambda team: team.id):
            for prefix in team.zips:
                self._by_zip.setdefault(prefix, team.id)
        self._zip_lengths = sorted({len(prefix) for prefix in self._by_zip}, reverse=True)
        self._by_source: dict[str, _Table] = {}
        self._any_source: _Table = {}
        for rank, route in enumerate(sorted(routes, key=_most_conditions_first)):
            placed = _Route(rank, route.id, self._said(route, buyer_masks))
            for table in self._tables_of(route, sources):
                for key in _keys_of(route, sources):
                    same = table.setdefault(key, [])
                    if not same or same[-1].says is None:  # behind one that always acts, none ever does
                        same.append(placed)

    def of(self, values: Mapping[str, Any]) -> Routed | None:
        """What is said of a lead with these ping values; None where no route acts on it."""
        source = values.get(self._by.source)
        table = self._by_source.get(folded(source)) if source is not None else None
        if table is None and not self._any_source:
            return None
        contact, filter_ = self._word(values, self._by.contact_source), self._word(values, self._by.filter)
        keys: set[_Key] = {(contact, filter_), (contact, None), (None, filter_), (None, None)}
        found = [
            route for each in (table, self._any_source) if each for key in keys for route in each.get(key, ())
        ]
        for route in sorted(found, key=_rank):
            says = route.says or self._by_zip_code(route, values)
            if says is not None:
                return says
        return None

    def _said(self, route: LeadRoute, buyer_masks: Mapping[str, int]) -> Routed | None:
        if route.target == "none":
            return Routed(route.id, "none", None, 0, 0)
        if route.target == "myself":
            own = buyer_masks.get(route.owner, 0)
            return Routed(route.id, "myself", None, 0, own)
        return None if route.select == "zip" else self._to_team(route.id, route.team or "")

    def _to_team(self, route: str, team: str) -> Routed:
        return Routed(route, "team", team, self.team_masks.get(team, 0), EVERYONE)

    def _by_zip_code(self, route: _Route, values: Mapping[str, Any]) -> Routed | None:
        """The team with the longest zip code that covers the lead's; of equals, the first by id."""
        zip_code = values.get(self._by.zip or "")
        if zip_code is not None:
            for length in self._zip_lengths:
                team = self._by_zip.get(zip_code[:length])
                if team is not None:
                    return self._to_team(route.id, team)
        return None

    def _tables_of(self, route: LeadRoute, sources: Mapping[str, Source]) -> list[_Table]:
        if route.source is None:
            return [self._any_source]
        return [self._by_source.setdefault(word, {}) for word in sorted(sources[route.source].words)]

    @staticmethod
    def _word(values: Mapping[str, Any], field: str | None) -> str | None:
        value = values.get(field) if field is not None else None
        return None if value is None else folded(value)


def compile_routing(
    campaign: Campaign, orders: Sequence[TradedOrder], catalogue: Catalogue
) -> Routing | None:
    """The routes that may act on this campaign's leads; None where there are none."""
    by = campaign.routed_by
    if by is None:
        return None
    sources = {source.id: source for source in catalogue.sources}
    try:
        routes = [route for route in catalogue.lead_routes if _may_act(route, campaign, by, sources)]
    except KeyError as error:
        raise ValueError(f"a lead route names an unknown source {error}") from None
    if not routes:
        return None
    bits: defaultdict[str, list[int]] = defaultdict(list)
    for order in orders:
        bits[order.buyer_id].append(order.bit)
    masks = {buyer: mask_of(those, len(orders)) for buyer, those in bits.items()}
    return Routing(by, routes, catalogue.teams, sources, masks)


def _may_act(route: LeadRoute, campaign: Campaign, by: RoutedBy, sources: Mapping[str, Source]) -> bool:
    """Whether its conditions can be told of this campaign's leads, and its owner may still route its sources."""
    if route.campaign not in (None, campaign.id):
        return False
    if (route.contact_source is not None and by.contact_source is None) or (
        route.filter is not None and by.filter is None
    ):
        return False
    if route.select == "zip" and by.zip is None:
        return False
    named = [sources[name] for name in (route.source, route.contact_source) if name is not None]
    return route.made_by != "owner" or all(route.owner in source.buyers for source in named)


def _keys_of(route: LeadRoute, sources: Mapping[str, Source]) -> list[_Key]:
    filter_ = None if route.filter is None else folded(route.filter)
    if route.contact_source is None:
        return [(None, filter_)]
    return [(word, filter_) for word in sorted(sources[route.contact_source].words)]


def _most_conditions_first(route: LeadRoute) -> tuple[int, str]:
    conditions = (route.source, route.contact_source, route.campaign, route.filter)
    return (conditions.count(None), route.id)


def _rank(route: _Route) -> int:
    return route.rank


def _all_of(buyers: Iterable[str], masks: Mapping[str, int]) -> int:
    together = 0
    for buyer in buyers:
        together |= masks.get(buyer, 0)
    return together
