"""The lead routes API's door, as OpenAPI tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from auction.api.document.fields import Schema
from auction.api.document.parts import (
    KEY_HEADER,
    RATE,
    SEVERAL,
    answer,
    body,
    headers_told,
    json_of,
    listing,
    problems,
    ref,
    security,
)
from auction.api.listing import Reading
from auction.api.route_views import (
    METHODS,
    TARGETS,
    LeadRoutePage,
    LeadRouteView,
    RouteNamePage,
    RouteTeamPage,
)
from auction.api.routes import MOST_FILTER, NAMED_FIELDS, ROUTE_FIELDS, TEAM_FIELDS
from auction.market.model import Campaign

STRUCTS: Final[tuple[Any, ...]] = (LeadRouteView, LeadRoutePage, RouteTeamPage, RouteNamePage)
_TAG: Final = "Lead routes"
_READ: Final = (400, 401, 431, 500, 503)
_LIST: Final = (*_READ, 422)
_WRITE: Final = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 431, 500, 503)
_ONCE: Final = (
    "A change takes an `Idempotency-Key`, and a key makes 120 a minute, if the house sets nothing else."
)
_NUMBER: Final[Schema] = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
        {"type": "string", "pattern": r"^[0-9]{1,10}$"},
        {"type": "null"},
    ]
}
_NAMES: Final[Mapping[str, str]] = {
    "team_id": "A team that you are in; null where the target is none, and by zip code.",
    "campaign_id": "Only leads of this campaign.",
    "lead_source_id": "Only leads of this source. A route names one, or a contact source.",
    "contact_source_id": "Only leads whose people came this way.",
}
_FIELDS: Final[Schema] = {
    **{name: {**_NUMBER, "description": sentence} for name, sentence in _NAMES.items()},
    "distribution_target": {
        "enum": list(TARGETS),
        "description": "`Team Rollout`: first to a team, then to the open market. `Myself`: to you and nobody else. "
        "`None`: to nobody.",
    },
    "team_selection_method": {
        "enum": [*METHODS, None],
        "description": "Of `Team Rollout`: the team of `team_id`, or the one whose zip codes cover the lead.",
    },
    "filter": {
        "type": ["string", "null"],
        "maxLength": MOST_FILTER,
        "description": "A word that the lead has to say, in the field that its campaign names for it.",
    },
}
_AFTER: Final = {
    name: {"operationId": operation, "parameters": {"number": "$response.body#/id"}}
    for name, operation in (
        ("get", "get_lead_route"),
        ("change", "change_lead_route"),
        ("remove", "remove_lead_route"),
    )
}


def paths(campaigns: Sequence[Campaign]) -> Schema:
    """The paths; they are for buyers, so no campaign is written out."""
    return {
        "/lead-routes": {
            "get": _list("lead_routes", "LeadRoutePage", "Your lead routes", ROUTE_FIELDS),
            "post": _submit(),
        },
        "/lead-routes/{number}": {
            "get": _one("get_lead_route", "One of your lead routes", _READ),
            "patch": _one("change_lead_route", "Change some fields of a lead route", _WRITE, _fields(())),
            "delete": _one("remove_lead_route", "Take a lead route out; the answer is what it was", _WRITE),
        },
        "/teams": {"get": _list("teams", "RouteTeamPage", "The teams that you are in", TEAM_FIELDS)},
        "/campaigns": {
            "get": _list(
                "campaigns", "RouteNamePage", "The campaigns that you or your teams buy in", NAMED_FIELDS
            )
        },
        "/lead-sources": {
            "get": _list("lead_sources", "RouteNamePage", "The lead sources that you may route", NAMED_FIELDS)
        },
        "/contact-sources": {
            "get": _list(
                "contact_sources", "RouteNamePage", "The contact sources that you may route", NAMED_FIELDS
            )
        },
    }


def _submit() -> Schema:
    return {
        "operationId": "submit_lead_route",
        "tags": [_TAG],
        "summary": "A new lead route",
        "description": "It is stored when it is answered, and acts within a second. The same fields may come as a "
        f"form. Send a buyer's key. {_ONCE}",
        "security": security(),
        "parameters": [KEY_HEADER],
        "requestBody": body(_fields(("distribution_target",))),
        "responses": {
            "201": {
                "description": "A `LeadRouteView`.",
                "headers": headers_told(RATE),
                "content": json_of(ref("LeadRouteView")),
                "links": _AFTER,
            }
        }
        | problems(_WRITE),
    }


def _one(operation: str, summary: str, statuses: Sequence[int], fields: Schema | None = None) -> Schema:
    number = {
        "name": "number",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
    }
    changes = statuses is _WRITE
    seen = "Another's route is as if it were not there. One that the operator made for you is seen and not changed."
    told: Schema = {
        "operationId": operation,
        "tags": [_TAG],
        "summary": summary,
        "description": f"{seen} {_ONCE}" if changes else seen,
        "security": security(),
        "parameters": [number, KEY_HEADER] if changes else [number],
        "responses": {"200": answer("LeadRouteView", RATE if changes else None)}
        | problems(sorted({*statuses, 404})),
    }
    return told if fields is None else told | {"requestBody": body(fields)}


def _list(operation: str, page: str, summary: str, fields: Mapping[str, Reading]) -> Schema:
    return {
        "operationId": operation,
        "tags": [_TAG],
        "summary": summary,
        "description": f"All conditions have to hold. {SEVERAL}",
        "security": security(),
        "parameters": listing(fields),
        "responses": {"200": answer(page)} | problems(_LIST),
    }


def _fields(required: Sequence[str]) -> Schema:
    told: Schema = {"type": "object", "additionalProperties": False, "properties": _FIELDS}
    return told | {"required": list(required)} if required else told
