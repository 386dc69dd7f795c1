"""The rules between entries: what types alone cannot say of a catalogue.

Each rule says what is wrong and what to write instead; all broken ones are told at once. The rules read the
catalogue's entries, not a file, so that a change that comes by the admin API is held to the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from auction.catalogue.campaign_rules import campaign_problems, inbound_problems
from auction.catalogue.cap_rules import cap_problems
from auction.catalogue.distro_rules import distro_problems
from auction.catalogue.documents import SECTIONS
from auction.catalogue.door_rules import door_problems
from auction.catalogue.duplicate_rules import duplicate_problems
from auction.catalogue.endpoint_rules import endpoint_problems
from auction.catalogue.mistakes import Names, Path, Problem
from auction.catalogue.postback_rules import postback_problems
from auction.catalogue.price_rules import price_problems
from auction.catalogue.references import NAMED, NOTHING_UNREAD, References, Unread
from auction.catalogue.route_rules import (
    Routed,
    number_problems,
    route_problems,
    routed_by_problems,
    source_problems,
    team_problems,
)
from auction.catalogue.suppression_rules import suppression_problems
from auction.market.filters import FilterMistakes
from auction.market.filters import parse as parse_filter
from auction.market.hours import HoursError, parse_hours
from auction.market.model import Buyer, Campaign, Catalogue, Entity, FieldSpec, Order, Seller, SuppressionList
from auction.market.money import margin_from_text


def check(catalogue: Catalogue, unread: Unread = NOTHING_UNREAD) -> list[Problem]:
    """All broken rules of `catalogue`; none means that it can be compiled.

    `unread` holds entries that have mistakes already, by section (`buyers`), each as what could be read of it: to name
    one of those is no mistake of its own, and whom they name must be there, too. In a path they stand behind the whole
    entries of their section.
    """
    return list(_Check(catalogue, unread).problems())


_Entity = TypeVar("_Entity", bound=Entity)


class _Check:
    def __init__(self, catalogue: Catalogue, unread: Unread) -> None:
        self._catalogue = catalogue
        self._campaigns = _by_id(catalogue.campaigns)
        self._buyers = _by_id(catalogue.buyers)
        self._references = References(catalogue, unread)
        self._unread = unread
        self._doubtful_fields: set[str] = set()
        self._buyers_with_orders = {order.buyer for order in catalogue.orders}
        self._first_uses: dict[tuple[str, str], Path] = {}
        self._specs: dict[str, dict[str, FieldSpec]] = {}
        self._hours_errors: dict[tuple[str, ...], list[tuple[Path, str]]] = {}

    def problems(self) -> Iterator[Problem]:
        catalogue = self._catalogue
        yield from self._zone(catalogue.exchange.timezone, ("exchange", "timezone"))
        for at, campaign in enumerate(catalogue.campaigns):
            yield from self._campaign(campaign, ("campaigns", at))
        yield from door_problems(catalogue.campaigns, _by_id(catalogue.sellers), self._references)
        for at, seller in enumerate(catalogue.sellers):
            yield from self._seller(seller, ("sellers", at))
        for at, buyer in enumerate(catalogue.buyers):
            yield from self._buyer(buyer, ("buyers", at))
        for at, order in enumerate(catalogue.orders):
            yield from self._order(order, ("orders", at))
        for at, one in enumerate(catalogue.suppression_lists):
            yield from self._suppression_list(one, ("suppression_lists", at))
        yield from self._routes()
        for at, admin in enumerate(catalogue.admins):
            yield from self._keys(admin.keys, ("admins", at))
        yield from distro_problems(catalogue.campaigns)
        yield from self._of_unread()
        for section, kind in SECTIONS.items():
            yield from _twice(kind.replace("_", " "), section, getattr(catalogue, section))

    def _campaign(self, campaign: Campaign, path: Path) -> Iterator[Problem]:
        problems = list(campaign_problems(campaign, path))
        if any(problem.path[2:3] == ("fields",) for problem in problems):
            self._doubtful_fields.add(campaign.id)
        else:
            problems += routed_by_problems(campaign, path)
            problems += inbound_problems(campaign, (*path, "filter"))
        yield from problems

    def _seller(self, seller: Seller, path: Path) -> Iterator[Problem]:
        yield from self._references.problems("sellers", seller, path)
        try:
            margin_from_text(seller.margin)
        except ValueError as error:
            yield Problem((*path, "margin"), str(error))
        slug_path = (*path, "id" if seller.slug is None else "slug")
        yield from self._used_once("slug", seller.slug or seller.id, slug_path, "seller")
        if seller.code is not None:
            yield from self._used_once("code", seller.code, (*path, "code"), "seller")
        yield from self._keys(seller.keys, path)
        yield from postback_problems(seller, path)

    def _keys(self, keys: tuple[str, ...], path: Path) -> Iterator[Problem]:
        """A key must lead to one caller: it is how a request is told whose it is."""
        for at, key in enumerate(keys):
            yield from self._used_once("key", key, (*path, "keys", at), "caller")

    def _used_once(self, what: str, value: str, here: Path, whose: str) -> Iterator[Problem]:
        first = self._first_uses.setdefault((what, value), here)
        # ids are looked at by themselves
        if first != here and not (what == "slug" and here[-1] == "id" == first[-1]):
            yield Problem(here, f"this {what} stands twice; each {whose} needs its own", first)

    def _buyer(self, buyer: Buyer, path: Path) -> Iterator[Problem]:
        yield from endpoint_problems(buyer, path)
        yield from self._keys(buyer.keys, path)
        yield from cap_problems(buyer.caps, (*path, "caps"))
        if buyer.timezone is not None:
            yield from self._zone(buyer.timezone, (*path, "timezone"))
        if buyer.post_url is None and buyer.id in self._buyers_with_orders:
            yield Problem((*path, "post_url"), "a buyer with orders needs one: leads are sent there")

    def _order(self, order: Order, path: Path) -> Iterator[Problem]:
        campaign, buyer = self._campaigns.get(order.campaign), self._buyers.get(order.buyer)
        yield from self._references.problems("orders", order, path)
        for at, seller in enumerate(order.not_sellers):
            if seller in order.sellers:
                yield Problem((*path, "not_sellers", at), f"`{seller}` is also in `sellers`; take one out")
        if order.exclusive and campaign is not None and campaign.auction.mode == "shared":
            error = f"`{campaign.id}` sells shared leads only, so it can never win; take it out"
            yield Problem((*path, "exclusive"), error)
        if order.timezone is not None:
            yield from self._zone(order.timezone, (*path, "timezone"))
        if order.hours:
            yield from self._hours(order.hours, (*path, "hours"))
        yield from price_problems(order, path, campaign, buyer)
        yield from cap_problems(order.caps, (*path, "caps"))
        if order.filter is not None and campaign is not None and campaign.id not in self._doubtful_fields:
            yield from self._filter(order.filter, campaign, (*path, "filter"))
        if campaign is not None and campaign.id not in self._doubtful_fields:
            yield from duplicate_problems(order.duplicates, campaign, (*path, "duplicates"))

    def _suppression_list(self, one: SuppressionList, path: Path) -> Iterator[Problem]:
        yield from self._references.problems("suppression_lists", one, path)
        all_read = bool(one.campaigns) or not self._unread.get("campaigns")
        if all_read and not self._doubtful_fields and all(name in self._campaigns for name in one.campaigns):
            yield from suppression_problems(one, self._catalogue.campaigns, path)

    def _routes(self) -> Iterator[Problem]:
        """Teams, sources, and the lead routes that name them."""
        catalogue = self._catalogue
        for at, team in enumerate(catalogue.teams):
            yield from team_problems(team, ("teams", at), self._references)
        yield from source_problems(catalogue.sources, self._references)
        known = Routed(self._references, _by_id(catalogue.sources), self._campaigns)
        for at, route in enumerate(catalogue.lead_routes):
            yield from route_problems(route, ("lead_routes", at), known)
        yield from number_problems(catalogue)

    def _of_unread(self) -> Iterator[Problem]:
        """What entries with mistakes say of others, as far as it could be read: names, and filters on fields."""
        for section, entries in self._unread.items():
            whole = len(getattr(self._catalogue, section))
            for at, parts in enumerate(entries, whole):
                if section in NAMED:
                    yield from self._references.problems(section, parts, (section, at))
                campaign = self._campaigns.get(parts.get("campaign", "")) if section == "orders" else None
                if campaign is not None and campaign.id not in self._doubtful_fields and "filter" in parts:
                    yield from self._filter(parts["filter"], campaign, (section, at, "filter"))

    def _zone(self, name: str, path: Path) -> Iterator[Problem]:
        if not _is_zone(name):
            hint = self._zone_names.hint(name) or "; write one such as America/Chicago"
            yield Problem(path, f"there is no time zone `{name}`{hint}")

    @cached_property
    def _zone_names(self) -> Names:
        return Names(available_timezones())

    def _filter(self, raw: dict[str, Any], campaign: Campaign, path: Path) -> Iterator[Problem]:
        specs = self._specs.get(campaign.id)
        if specs is None:
            specs = self._specs[campaign.id] = {spec.name: spec for spec in campaign.fields}
        try:
            parse_filter(raw, specs)
        except FilterMistakes as error:
            for inside, sentence in error.mistakes:
                yield Problem((*path, *inside), sentence)

    def _hours(self, lines: tuple[str, ...], path: Path) -> Iterator[Problem]:
        errors = self._hours_errors.get(lines)
        if errors is None:
            errors = self._hours_errors[lines] = _hours_errors(lines)
        for inside, sentence in errors:
            yield Problem((*path, *inside), sentence)


def _hours_errors(lines: tuple[str, ...]) -> list[tuple[Path, str]]:
    """What is wrong with the lines one by one, or else with all of them together."""
    if _hours_error(lines) is None:
        return []
    singly = [((at,), _hours_error((line,))) for at, line in enumerate(lines)]
    found: list[tuple[Path, str]] = [(path, error) for path, error in singly if error is not None]
    return found or [((), _hours_error(lines) or "")]


def _hours_error(lines: tuple[str, ...]) -> str | None:
    try:
        parse_hours(lines, "UTC")  # the zone is checked where it is named
    except HoursError as error:
        return str(error)
    return None


def _twice(what: str, section: str, entries: Iterable[Entity]) -> Iterator[Problem]:
    firsts: dict[str, int] = {}
    for at, entry in enumerate(entries):
        first = firsts.setdefault(entry.id, at)
        if first != at:
            error = f"the {what} `{entry.id}` stands twice; give one another id"
            yield Problem((section, at, "id"), error, (section, first, "id"))


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, a folder of zones, not even a path
        return False
    return True


def _by_id(entries: Iterable[_Entity]) -> dict[str, _Entity]:
    return {entry.id: entry for entry in reversed(tuple(entries))}
