"""Lead routes, teams and sources as the lead routes' document writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from auction.changes.lead_routes import RouteView
from auction.market.model import Campaign
from auction.market.routes import Source, Team

Target = Literal["Myself", "Team Rollout", "None"]
Method = Literal["Specific Team", "Zipcode"]
TARGETS: Mapping[Target, str] = {"Myself": "myself", "Team Rollout": "team", "None": "none"}
METHODS: Mapping[Method, str] = {"Specific Team": "team", "Zipcode": "zip"}
_TARGET_OF: Mapping[str, Any] = {ours: theirs for theirs, ours in TARGETS.items()}
_METHOD_OF: Mapping[str | None, Any] = {ours: theirs for theirs, ours in METHODS.items()}


class RouteTeam(msgspec.Struct, frozen=True):
    """A team, as lead routes show it; its zip codes are those that it covers."""

    id: int
    name: str
    is_sharing_contacts: int
    order_method: int
    mins_until_next_alert: int
    distribution_zipcodes: list[str] | None


class RouteName(msgspec.Struct, frozen=True):
    """A campaign or a source, as lead routes show it."""

    id: int
    name: str


class LeadRouteView(msgspec.Struct, frozen=True):
    """One lead route, with what it names."""

    id: int
    team: RouteTeam | None
    campaign: RouteName | None
    lead_source: RouteName | None
    contact_source: RouteName | None
    distribution_target: Target
    team_selection_method: Method | None
    filter: str | None


class LeadRoutePage(msgspec.Struct, frozen=True):
    """Lead routes, from `skip` on, at most `limit`; `total` counts all that were asked for."""

    total: int
    limit: int
    skip: int
    data: list[LeadRouteView]


class RouteTeamPage(msgspec.Struct, frozen=True):
    """Teams, from `skip` on, at most `limit`; `total` counts all that were asked for."""

    total: int
    limit: int
    skip: int
    data: list[RouteTeam]


class RouteNamePage(msgspec.Struct, frozen=True):
    """Campaigns or sources, from `skip` on, at most `limit`; `total` counts all that were asked for."""

    total: int
    limit: int
    skip: int
    data: list[RouteName]


def show_route(view: RouteView) -> LeadRouteView:
    """A route as the document writes it."""
    book, route = view.book, view.route

    def name(entry: Campaign | Source | None) -> RouteName | None:
        return None if entry is None else show_name(book.number_of(entry), entry)

    return LeadRouteView(
        id=view.number,
        team=None if view.team is None else show_team(book.number_of(view.team), view.team),
        campaign=name(view.campaign),
        lead_source=name(view.source),
        contact_source=name(view.contact_source),
        distribution_target=_TARGET_OF[route.target],
        team_selection_method=_METHOD_OF.get(route.select),
        filter=route.filter,
    )


def show_team(number: int, team: Team) -> RouteTeam:
    """A team as the document writes it."""
    return RouteTeam(
        number,
        team.name,
        int(team.is_sharing_contacts),
        team.order_method,
        team.mins_until_next_alert,
        list(team.zips) or None,
    )


def show_name(number: int, entry: Campaign | Source) -> RouteName:
    """A campaign or a source as the document writes it."""
    return RouteName(number, entry.name or entry.id)
