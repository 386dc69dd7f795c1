"""The lead routes that buyers make for themselves: listed, made, changed and taken out, by number.

A route is an entry of the catalogue as any other: what is made here is held to the same rules as a file, is a version
of its own, and is traded on within a second, by every worker. What a buyer reads is what is stored, so it sees its own
change at once, whichever worker it asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import msgspec
import uuid_utils
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection

from auction.catalogue.one_entry import EntryMistakes
from auction.catalogue.owned_routes import nameable_by, settled
from auction.catalogue.route_rules import numbered_as
from auction.changes.applying import TRIES, EntryChange, stored_catalogue
from auction.changes.changing import Changing
from auction.errors import FieldMistake, SellerError
from auction.ledger import catalogue_store
from auction.ledger.faults import CatalogueConflict
from auction.ledger.numbers import Numbered, give_numbers
from auction.ledger.reader import Reader
from auction.ledger.writer import Writer
from auction.market.model import Buyer, Campaign, Catalogue
from auction.market.routes import LeadRoute, Source, Team
from auction.ping.floor import Floor

Beside = Callable[[Connection, "RouteView"], None]
"""What is written in the same transaction as a change of a route: it is given the route as it is then."""
MOST_ROUTES = 1_000
"""Of one buyer."""

Numberable = Campaign | Team | Source | LeadRoute
UNNUMBERED = -1
"""Stands for the number of a route that is not stored yet."""


class RouteTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a buyer says of a route; entries by number. UNSET is not said, None is said to be nothing."""

    target: Literal["team", "myself", "none"] | UnsetType = UNSET
    select: Literal["team", "zip"] | UnsetType | None = UNSET
    team: int | UnsetType | None = UNSET
    source: int | UnsetType | None = UNSET
    contact_source: int | UnsetType | None = UNSET
    campaign: int | UnsetType | None = UNSET
    filter: str | UnsetType | None = UNSET


class RouteView(msgspec.Struct, frozen=True):
    """A route with its number, and the entries that it names, as they stand in `book`."""

    book: RouteBook
    number: int
    route: LeadRoute
    team: Team | None
    campaign: Campaign | None
    source: Source | None
    contact_source: Source | None


class RouteBook:
    """One version of the catalogue with the numbers of all that routes speak of."""

    def __init__(self, version: int, catalogue: Catalogue, given: Numbered) -> None:
        self.version = version
        self.catalogue = catalogue
        self._numbers: Numbered = {}
        self._entries: dict[tuple[str, int], Numberable] = {}
        self._by_id: dict[tuple[str, str], Numberable] = {}
        for one in _numberable(catalogue):
            kind = numbered_as(one)
            number = one.number or given[kind, one.id]
            self._numbers[kind, one.id] = number
            self._entries[kind, number] = self._by_id[kind, one.id] = one

    def number_of(self, entry: Numberable) -> int:
        """Its number among its kind."""
        return self._numbers[numbered_as(entry), entry.id]

    def find(self, kind: str, number: int) -> Numberable | None:
        """The entry of this number; `kind` as in `numbered_as`."""
        return self._entries.get((kind, number))

    def routes_of(self, buyer: str) -> list[LeadRoute]:
        """Those that it owns, by number."""
        own = [route for route in self.catalogue.lead_routes if route.owner == buyer]
        return sorted(own, key=self.number_of)

    def view(self, route: LeadRoute, number: int | None = None) -> RouteView:
        """The route with what it names; its `number` where it does not stand in the book."""

        def named(kind: str, id_: str | None) -> Any:
            return self._by_id.get((kind, id_)) if id_ is not None else None

        return RouteView(
            self,
            number or self.number_of(route),
            route,
            named("team", route.team),
            named("campaign", route.campaign),
            named("lead_source", route.source),
            named("contact_source", route.contact_source),
        )


class LeadRoutes:
    """What the lead routes' door asks for. Raises `SellerError` for what a buyer may not or cannot do."""

    def __init__(
        self, floor: Callable[[], Floor], reader: Reader, writer: Writer, changing: Changing
    ) -> None:
        self._floor = floor
        self._reader = reader
        self._writer = writer
        self._changing = changing
        self._book: RouteBook | None = None
        self._given: Numbered = {}

    async def book(self) -> RouteBook:
        """What is stored now. Raises `HouseError` where the ledger is away."""
        version = await self._reader.read(catalogue_store.current_version)
        if self._book is not None and self._book.version == version:
            return self._book
        market = self._floor().market
        catalogue = market.catalogue
        if market.version != version:  # a worker trades on it within a second, and is read before
            version, catalogue, _ = await self._reader.read(stored_catalogue)
        said = _said(catalogue)
        wanted = [(numbered_as(one), one.id) for one in _numberable(catalogue) if one.number is None]
        if any(name not in self._given or (name[0], self._given[name]) in said for name in wanted):
            self._given |= await self._writer.write(partial(give_numbers, wanted=wanted, said=said))
        self._book = book = RouteBook(version, catalogue, self._given)
        return book

    async def make(self, buyer: Buyer, terms: RouteTerms, beside: Beside | None = None) -> RouteView:
        """A new route of this buyer's."""
        blank = LeadRoute(
            id=f"route-{uuid_utils.uuid7().hex}", owner=buyer.id, target="none", made_by="owner"
        )

        def made(book: RouteBook) -> RouteView:
            if len(book.routes_of(buyer.id)) >= MOST_ROUTES:
                raise SellerError(409, "too_many_routes", f"You have {MOST_ROUTES} lead routes already.")
            return book.view(_with_terms(book, blank, terms), number=UNNUMBERED)

        return await self._stored(buyer, made, beside)

    async def change(
        self, buyer: Buyer, number: int, terms: RouteTerms, beside: Beside | None = None
    ) -> RouteView:
        """One of its own routes, with these terms."""

        def changed(book: RouteBook) -> RouteView:
            route = own_route(book, buyer, number, to_change=True)
            return book.view(_with_terms(book, route, terms), number=number)

        return await self._stored(buyer, changed, beside)

    async def remove(self, buyer: Buyer, number: int, beside: Beside | None = None) -> RouteView:
        """Takes one of its own routes out, and gives what it was."""

        def found(book: RouteBook) -> RouteView:
            return book.view(own_route(book, buyer, number, to_change=True))

        return await self._stored(buyer, found, beside, removed=True)

    async def _stored(
        self,
        buyer: Buyer,
        decide: Callable[[RouteBook], RouteView],
        beside: Beside | None,
        *,
        removed: bool = False,
    ) -> RouteView:
        """What is decided of a book is stored only if that book still holds; else it is decided again."""
        async with self._changing.turn():
            for tries_left in reversed(range(TRIES)):
                book = await self.book()
                view = decide(book)
                try:
                    number = await self._store(buyer, book, view, beside, removed)
                except CatalogueConflict:  # another process was first
                    if not tries_left:
                        raise _busy() from None
                except EntryMistakes as error:
                    raise _of_the_route(view.route.id, error.mistakes) from None
                else:
                    return msgspec.structs.replace(view, number=number)
        raise AssertionError("the last try returns or raises")

    async def _store(
        self, buyer: Buyer, book: RouteBook, view: RouteView, beside: Beside | None, removed: bool
    ) -> int:
        """The route's number, which is given with the first time that it is stored."""
        id_, number = view.route.id, view.number

        def also(conn: Connection, _: EntryChange) -> None:
            nonlocal number
            if view.number == UNNUMBERED:
                (number,) = give_numbers(conn, [("lead_route", id_)], _said(book.catalogue)).values()
            if beside is not None:
                beside(conn, msgspec.structs.replace(view, number=number))

        await self._changing.now(
            "lead_route",
            id_,
            lambda _: None if removed else view.route,
            f"lead route {id_} by buyer {buyer.id}",
            who=f"buyer:{buyer.id}",
            expected_version=book.version,
            beside=also,
        )
        return number


def own_route(book: RouteBook, buyer: Buyer, number: int, *, to_change: bool = False) -> LeadRoute:
    """The buyer's route of this number. Raises `SellerError` 404 where there is none, or it is another's; 403 where it
    is to be changed and was made by the operator.
    """
    route = book.find("lead_route", number)
    if not isinstance(route, LeadRoute) or route.owner != buyer.id:
        raise SellerError(404, "unknown_route", f"You have no lead route {number}.")
    if to_change and route.made_by != "owner":
        raise SellerError(403, "not_your_route", f"Lead route {number} was made by the operator.")
    return route


def _with_terms(book: RouteBook, route: LeadRoute, terms: RouteTerms) -> LeadRoute:
    """The route as the terms say, its parts settled. Raises `SellerError` for what it may not name."""
    said = {name: value for name, value in msgspec.structs.asdict(terms).items() if value is not UNSET}
    mistakes = []
    for key, kind in _KINDS.items():
        if said.get(key) is not None:
            found = book.find(kind, said[key])
            if found is None:
                mistakes.append(FieldMistake(key, f"there is no {kind.replace('_', ' ')} {said[key]}"))
            said[key] = found.id if found is not None else None
    if mistakes:
        raise _bad_fields(mistakes)
    changed = settled(msgspec.structs.replace(route, **said))
    if changed.source is None and changed.contact_source is None:
        raise _bad_fields([FieldMistake("source", "name a lead source or a contact source")])
    open_to = nameable_by(route.owner, book.catalogue)
    for known, named, code, what in (
        (open_to.sources, (changed.source, changed.contact_source), "not_your_source", "source"),
        (open_to.teams, (changed.team,), "not_your_team", "team"),
        (open_to.campaigns, (changed.campaign,), "not_your_campaign", "campaign"),
    ):
        if any(name is not None and name not in known for name in named):
            raise SellerError(403, code, f"This {what} is not open to you.")
    return changed


_KINDS = {
    "team": "team",
    "source": "lead_source",
    "contact_source": "contact_source",
    "campaign": "campaign",
}
"""What a route names, and among which entries that is numbered."""


def _numberable(catalogue: Catalogue) -> Iterable[Numberable]:
    yield from catalogue.campaigns
    yield from catalogue.teams
    yield from catalogue.sources
    yield from catalogue.lead_routes


def _said(catalogue: Catalogue) -> set[tuple[str, int]]:
    return {(numbered_as(one), one.number) for one in _numberable(catalogue) if one.number is not None}


def _bad_fields(mistakes: Iterable[FieldMistake]) -> SellerError:
    return SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=list(mistakes))


def _of_the_route(id_: str, mistakes: Iterable[FieldMistake]) -> SellerError:
    """Broken rules of the catalogue, by the keys of this route."""
    return _bad_fields(
        FieldMistake(each.field.removeprefix(f"lead_routes[{id_}]."), each.error) for each in mistakes
    )


def _busy() -> SellerError:
    """Other changes came between every time."""
    return SellerError(
        409,
        "catalogue_changing",
        "Others changed the catalogue meanwhile; try again.",
        headers=[("retry-after", "1")],
    )
