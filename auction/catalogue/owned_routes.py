"""Lead routes that buyers make for themselves: what one may name, and that files leave them alone.

A file says all that the operator wants in the catalogue, and `auction apply` takes out what it does not name. Routes
that their owners made stand in no file, so they stay: unless the file names one (then it says what it is), or what
they speak of is gone.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from auction.catalogue.references import References
from auction.catalogue.route_rules import Routed, route_problems
from auction.market.model import Campaign, Catalogue
from auction.market.routes import LeadRoute, Source, Team


class Nameable(msgspec.Struct, frozen=True):
    """What a buyer may name in its routes, by id."""

    teams: Mapping[str, Team]
    sources: Mapping[str, Source]
    campaigns: Mapping[str, Campaign]


def nameable_by(buyer: str, catalogue: Catalogue) -> Nameable:
    """The teams that the buyer is in, the sources that are open to it, the campaigns in which one of those that it
    is in a team with (or itself) has orders.
    """
    teams = {team.id: team for team in catalogue.teams if buyer in team.buyers}
    mates = {buyer, *(mate for team in teams.values() for mate in team.buyers)}
    with_orders = {order.campaign for order in catalogue.orders if order.buyer in mates}
    return Nameable(
        teams,
        {source.id: source for source in catalogue.sources if buyer in source.buyers},
        {campaign.id: campaign for campaign in catalogue.campaigns if campaign.id in with_orders},
    )


def settled(route: LeadRoute) -> LeadRoute:
    """The route without what its other parts rule out: no team and no selection where the target is none, no team
    where the zip code selects it.
    """
    if route.target != "team":
        return replace(route, select=None, team=None)
    return replace(route, team=None) if route.select == "zip" else route


def with_owners_routes(files: Catalogue, stored: Catalogue) -> Catalogue:
    """`files` with the routes that owners made and that are stored, where they still can be."""
    named = {route.id for route in files.lead_routes}
    sources = {source.id: source for source in files.sources}
    campaigns = {campaign.id: campaign for campaign in files.campaigns}
    known = Routed(References(files), sources, campaigns)
    said = {route.number for route in files.lead_routes}
    kept = [
        replace(route, number=None) if route.number in said else route
        for route in stored.lead_routes
        if route.made_by == "owner" and route.id not in named and not any(route_problems(route, (), known))
    ]
    return replace(files, lead_routes=(*files.lead_routes, *kept)) if kept else files
