"""The door of the lead routes API: `/lead-routes`, and the lists that its document points to.

A buyer's key opens it, and shows the buyer's own routes. Answers are as the document writes them; where it is silent
(errors), they are problems as everywhere else. What a route may be is said elsewhere: here are only the names.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auction.api.bodies import Bodies
from auction.api.changes import Changes
from auction.api.dialect import read_named
from auction.api.listing import Listing, OneOf, Page, Reading, read_listing, read_text, read_whole
from auction.api.route_views import (
    METHODS,
    TARGETS,
    LeadRouteView,
    RouteName,
    RouteTeam,
    show_name,
    show_route,
    show_team,
)
from auction.api.wire import JSON_TYPE, MOST_NAME, MOST_NAMED, encode_json, headers_of, key_of
from auction.catalogue.mistakes import Names
from auction.catalogue.owned_routes import nameable_by
from auction.changes.lead_routes import Beside, RouteTerms, RouteView, own_route
from auction.errors import FieldMistake, SellerError
from auction.exchange import Exchange
from auction.idempotency import Owned, Reply
from auction.market.model import Buyer, Campaign
from auction.market.routes import Source

MOST_FILTER = 128
MOST_PAIRS = 20_000
_WHOLE = re.compile(r"[0-9]{1,10}", re.ASCII)

OURS = {
    "team_id": "team",
    "campaign_id": "campaign",
    "lead_source_id": "source",
    "contact_source_id": "contact_source",
    "distribution_target": "target",
    "team_selection_method": "select",
    "filter": "filter",
}
"""The document's names, and ours."""
_THEIRS = {ours: theirs for theirs, ours in OURS.items()}
_NAMES = Names(OURS)

ROUTE_FIELDS: Mapping[str, Reading] = {
    "id": read_whole,
    **{name: read_whole if name.endswith("_id") else read_text for name in OURS},
    "distribution_target": OneOf(TARGETS),
    "team_selection_method": OneOf(METHODS),
}
TEAM_FIELDS: Mapping[str, Reading] = {
    "id": read_whole,
    "name": read_text,
    "is_sharing_contacts": read_whole,
    "order_method": read_whole,
    "mins_until_next_alert": read_whole,
}
NAMED_FIELDS: Mapping[str, Reading] = {"id": read_whole, "name": read_text}


class RoutesDoor:
    """Lead routes, teams, campaigns and sources, for buyers."""

    def __init__(self, exchange: Exchange, bodies: Bodies) -> None:
        self._exchange = exchange
        self._bodies = bodies
        self._changes = Changes(lambda: exchange.administration, exchange.routes_rate)

    def routes(self) -> list[Route]:
        """Where it is to be found."""
        return [
            Route("/lead-routes", self.all, methods=["GET", "POST"]),
            Route("/lead-routes/{number}", self.one, methods=["GET", "PATCH", "DELETE"]),
            Route("/teams", self.teams, methods=["GET"]),
            Route("/campaigns", self.campaigns, methods=["GET"]),
            Route("/lead-sources", self.lead_sources, methods=["GET"]),
            Route("/contact-sources", self.contact_sources, methods=["GET"]),
        ]

    async def all(self, request: Request) -> Response:
        """`GET /lead-routes` lists the buyer's own; `POST` makes one."""
        buyer, routes = self._buyer_of(request), self._exchange.lead_routes
        if request.method == "POST":
            named = await self._named(request)
            return await self._changed(
                request,
                buyer,
                named,
                lambda beside: routes.make(buyer, read_terms(named, whole=True), beside),
                status=201,
            )
        listing = read_listing(pairs_of(request), ROUTE_FIELDS)
        book = await routes.book()
        shown = {view.id: view for view in map(show_route, map(book.view, book.routes_of(buyer.id)))}
        page = listing.page(map(_flat, shown.values()))
        return _page(page, [shown[row["id"]] for row in page.data])

    async def one(self, request: Request) -> Response:
        """`GET`, `PATCH` and `DELETE` of one of the buyer's own."""
        buyer, routes, number = self._buyer_of(request), self._exchange.lead_routes, _number_in(request)
        if request.method == "PATCH":
            named = await self._named(request)
            return await self._changed(
                request,
                buyer,
                named,
                lambda beside: routes.change(buyer, number, read_terms(named, whole=False), beside),
            )
        if request.method == "DELETE":
            return await self._changed(
                request, buyer, {}, lambda beside: routes.remove(buyer, number, beside)
            )
        book = await routes.book()
        return _json(show_route(book.view(own_route(book, buyer, number))))

    async def teams(self, request: Request) -> Response:
        """The teams that the buyer is in."""
        buyer, listing = self._buyer_of(request), read_listing(pairs_of(request), TEAM_FIELDS)
        book = await self._exchange.lead_routes.book()
        named = nameable_by(buyer.id, book.catalogue).teams.values()
        return _listed(listing, [show_team(book.number_of(team), team) for team in named])

    async def campaigns(self, request: Request) -> Response:
        """The campaigns in which the buyer, or a buyer of its teams, has orders."""
        return await self._names(request, "campaign")

    async def lead_sources(self, request: Request) -> Response:
        """The lead sources that the buyer may route."""
        return await self._names(request, "lead")

    async def contact_sources(self, request: Request) -> Response:
        """The contact sources that the buyer may route."""
        return await self._names(request, "contact")

    async def _names(self, request: Request, what: str) -> Response:
        buyer, listing = self._buyer_of(request), read_listing(pairs_of(request), NAMED_FIELDS)
        book = await self._exchange.lead_routes.book()
        open_to = nameable_by(buyer.id, book.catalogue)
        entries: Sequence[Campaign | Source] = (
            list(open_to.campaigns.values())
            if what == "campaign"
            else [source for source in open_to.sources.values() if source.kind == what]
        )
        return _listed(listing, [show_name(book.number_of(entry), entry) for entry in entries])

    def _buyer_of(self, request: Request) -> Buyer:
        return self._exchange.buyer_of(key_of(headers_of(request.scope)))

    async def _named(self, request: Request) -> dict[str, Any]:
        return await read_named(self._bodies, request.scope, request.receive)

    async def _changed(
        self,
        request: Request,
        buyer: Buyer,
        named: dict[str, Any],
        change: Callable[[Beside | None], Awaitable[RouteView]],
        status: int = 200,
    ) -> Response:
        """The route as the change leaves it, or left it when it was sent before with this `Idempotency-Key`."""

        async def work(owned: Owned | None) -> Reply:
            def kept(conn: Connection, view: RouteView) -> None:
                if owned is not None:
                    owned.keep(conn, _reply(view, status))

            return _reply(await _told(change(kept)), status)

        return await self._changes.once(request, f"buyer:{buyer.id}", named, work)


def read_terms(named: Mapping[str, Any], *, whole: bool) -> RouteTerms:
    """What a body says of a route. `whole`: a target has to be there. Raises `SellerError` 422 with every mistake."""
    said: dict[str, Any] = {}
    mistakes: list[FieldMistake] = []
    for name, value in named.items():
        if name not in OURS:
            if len(mistakes) < MOST_NAMED:
                shown = name[:MOST_NAME]
                mistakes.append(FieldMistake(shown, f"there is no such field{_NAMES.hint(shown)}"))
            continue
        try:
            said[OURS[name]] = _read(name, value)
        except ValueError as error:
            mistakes.append(FieldMistake(name, str(error)))
    if whole and "distribution_target" not in named:
        mistakes.append(FieldMistake("distribution_target", f"expected one of {', '.join(TARGETS)}"))
    if mistakes:
        raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=mistakes)
    return RouteTerms(**said)


def pairs_of(request: Request) -> list[tuple[str, str]]:
    """The names and values of a query, in their order. Raises `SellerError` 400."""
    try:
        query = request.scope["query_string"].decode("ascii")
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PAIRS, errors="strict")
    except ValueError:
        raise SellerError(400, "bad_query", "The query is not URL-encoded, or too long.") from None


def _read(name: str, value: Any) -> Any:
    """One value of a body, as ours. Raises `ValueError` with what was expected."""
    if name == "distribution_target":
        return _one_of(value, TARGETS)
    if value is None:
        return None
    if name == "team_selection_method":
        return _one_of(value, METHODS)
    if name == "filter":
        return _filter(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("expected the number of one, or null")
    return value


def _one_of(value: Any, known: Mapping[Any, str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"expected one of {', '.join(known)}")
    return known[value]


def _filter(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > MOST_FILTER or not value.isprintable():
        raise ValueError(f"expected a line of text of at most {MOST_FILTER} characters, or null")
    return value.strip() or None


def _number_in(request: Request) -> int:
    written = request.path_params["number"]
    if not _WHOLE.fullmatch(written):
        raise SellerError(404, "unknown_route", "Lead routes have numbers.")
    return int(written)


async def _told(change: Awaitable[RouteView]) -> RouteView:
    """What the change gives; a mistake in it by the document's names."""
    try:
        return await change
    except SellerError as error:
        error.mistakes = tuple(
            FieldMistake(_THEIRS.get(each.field, each.field), each.error) for each in error.mistakes
        )
        raise


def _flat(route: LeadRouteView) -> dict[str, Any]:
    """The route by the names that a list is asked by."""
    named: Mapping[str, RouteTeam | RouteName | None] = {
        "team": route.team,
        "campaign": route.campaign,
        "lead_source": route.lead_source,
        "contact_source": route.contact_source,
    }
    return {
        "id": route.id,
        **{f"{name}_id": None if entry is None else entry.id for name, entry in named.items()},
        "distribution_target": route.distribution_target,
        "team_selection_method": route.team_selection_method,
        "filter": route.filter,
    }


def _listed(listing: Listing, entries: Sequence[RouteTeam | RouteName]) -> Response:
    ordered = sorted(entries, key=lambda entry: entry.id)
    page = listing.page(map(msgspec.structs.asdict, ordered))
    return _page(page, page.data)


def _page(page: Page, data: Sequence[object]) -> Response:
    return _json({"total": page.total, "limit": page.limit, "skip": page.skip, "data": data})


def _reply(view: RouteView, status: int) -> Reply:
    return Reply(status, encode_json(show_route(view)), (JSON_TYPE,))


def _json(answer: object) -> Response:
    return Response(encode_json(answer), media_type="application/json")
