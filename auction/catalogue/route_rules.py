"""What is wrong with lead routes, and with the teams, sources and fields that they speak of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from auction.catalogue.mistakes import Names, Path, Problem
from auction.catalogue.references import References
from auction.market.model import Campaign, Catalogue, FieldType
from auction.market.routes import LeadRoute, RoutedBy, Source, Team, folded

_WORDS: Final[frozenset[FieldType]] = frozenset({"text", "choice"})
_ZIPS: Final[frozenset[FieldType]] = frozenset({"us_zip"})
_TYPES: Final[Mapping[str, frozenset[FieldType]]] = {
    "source": _WORDS,
    "contact_source": _WORDS,
    "filter": _WORDS,
    "zip": _ZIPS,
}


def routed_by_problems(campaign: Campaign, path: Path) -> Iterator[Problem]:
    """Each field that routes look at is one of the campaign's, known at ping, and of a type that can be compared."""
    if campaign.routed_by is None:
        return
    specs = {spec.name: spec for spec in campaign.fields}
    known = Names(specs)
    for key, types in _TYPES.items():
        name = getattr(campaign.routed_by, key)
        if name is None:
            continue
        spec, here = specs.get(name), (*path, "routed_by", key)
        if spec is None:
            yield Problem(here, f"`{campaign.id}` has no field `{name}`{known.hint(name)}")
        elif spec.type not in types:
            expected = " or ".join(sorted(types))
            yield Problem(here, f"`{name}` is of type {spec.type}; this one is {expected}")
        elif not spec.in_ping:
            yield Problem(here, f"`{name}` is not known at ping, where leads are routed; write `ping: true`")


def team_problems(team: Team, path: Path, references: References) -> Iterator[Problem]:
    """A team has buyers, and they are there."""
    if not team.buyers:
        yield Problem((*path, "buyers"), "name at least one buyer")
    yield from references.problems("teams", team, path)


def source_problems(sources: Sequence[Source], references: References) -> Iterator[Problem]:
    """Buyers that are there; and no word that a lead may say stands for two sources of one kind."""
    first_of: dict[tuple[str, str], tuple[int, Source]] = {}
    for at, source in enumerate(sources):
        path: Path = ("sources", at)
        yield from references.problems("sources", source, path)
        for word in sorted(source.words):
            first, other = first_of.setdefault((source.kind, word), (at, source))
            if other.id != source.id:
                error = f"`{word}` already says `{other.id}`; a lead's word names one source"
                yield Problem(path, error, ("sources", first))
                break


def number_problems(catalogue: Catalogue) -> Iterator[Problem]:
    """A number leads to one entry of its kind."""
    firsts: dict[tuple[str, int], Path] = {}
    for section in ("campaigns", "teams", "sources", "lead_routes"):
        for at, entry in enumerate(getattr(catalogue, section)):
            if entry.number is None:
                continue
            here = (section, at, "number")
            first = firsts.setdefault((numbered_as(entry), entry.number), here)
            if first != here:
                yield Problem(here, f"the number {entry.number} stands twice; give one another", first)


def numbered_as(entry: Campaign | Team | Source | LeadRoute) -> str:
    """Among which entries its number is its own: lead and contact sources are counted by themselves."""
    if isinstance(entry, Source):
        return f"{entry.kind}_source"
    names: dict[type, str] = {Campaign: "campaign", Team: "team", LeadRoute: "lead_route"}
    return names[type(entry)]


class Routed(msgspec.Struct, frozen=True):
    """What a route may name: who is there, and what could be read of it."""

    references: References
    sources: Mapping[str, Source]
    campaigns: Mapping[str, Campaign]


def route_problems(route: LeadRoute, path: Path, known: Routed) -> Iterator[Problem]:
    """Whom it names is there, what it says fits together, and the campaign that it names can be routed by it."""
    yield from known.references.problems("lead_routes", route, path)
    for key, kind in (("source", "lead"), ("contact_source", "contact")):
        source = known.sources.get(getattr(route, key) or "")
        if source is not None and source.kind != kind:
            yield Problem((*path, key), f"`{source.id}` is a {source.kind} source; name a {kind} source here")
    yield from _fit_problems(route, path)
    campaign = known.campaigns.get(route.campaign or "")
    if campaign is not None:
        yield from _campaign_problems(route, campaign, path)


def _fit_problems(route: LeadRoute, path: Path) -> Iterator[Problem]:
    """Target, selection and team: each says whether there is the next."""
    if route.target != "team":
        for key in ("select", "team"):
            if getattr(route, key) is not None:
                yield Problem((*path, key), "only where the target is a team; take it out")
    elif route.select is None:
        yield Problem((*path, "select"), "how is the team selected: by itself, or by zip code?")
    elif route.select == "team" and route.team is None:
        yield Problem((*path, "team"), "name the team that is selected")
    elif route.select == "zip" and route.team is not None:
        yield Problem((*path, "team"), "the zip code says which team; take it out")


def _campaign_problems(route: LeadRoute, campaign: Campaign, path: Path) -> Iterator[Problem]:
    """A route on a field that the campaign does not route by would never act."""
    looks_at: RoutedBy | None = campaign.routed_by
    if looks_at is None:
        yield Problem((*path, "campaign"), f"the leads of `{campaign.id}` are not routed: see `routed_by`")
        return
    for key, needed, field in (
        ("contact_source", route.contact_source is not None, looks_at.contact_source),
        ("filter", route.filter is not None, looks_at.filter),
        ("select", route.select == "zip", looks_at.zip),
    ):
        if needed and field is None:
            word = "zip" if key == "select" else key
            yield Problem((*path, key), f"the leads of `{campaign.id}` are not routed by their {word}")
    yield from _filter_problems(route, campaign, path)


def _filter_problems(route: LeadRoute, campaign: Campaign, path: Path) -> Iterator[Problem]:
    """A filter that no lead can say."""
    field = campaign.routed_by.filter if campaign.routed_by is not None else None
    choices = next((spec.choices for spec in campaign.fields if spec.name == field), ())
    if route.filter is None or not choices or folded(route.filter) in map(folded, choices):
        return
    listed = ", ".join(choices)
    yield Problem((*path, "filter"), f"the `{field}` of a lead of `{campaign.id}` is one of {listed}")
