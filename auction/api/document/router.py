"""The lead routing API's door, as OpenAPI tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from auction.api.document.fields import Schema
from auction.api.document.parts import KEY_HEADER, json_of, problems, security
from auction.market.model import Campaign

STRUCTS: Final[tuple[Any, ...]] = ()
_PROBLEMS: Final = (400, 401, 408, 409, 413, 415, 422, 429, 431, 500, 503)
_LEAD: Final[Schema] = {
    "type": "object",
    "description": "The lead's fields by the campaign's names (`GET /openapi.json` with your key tells them), or as "
    "the guides write them: `name`, `phone`, `email`, `geo`, `source`.",
    "properties": {
        "campaign": {
            "type": ["string", "null"],
            "description": "Which campaign it is for, by name or id; not needed where there is only one for you.",
        },
        "api_key": {
            "type": ["string", "null"],
            "description": "Your key, where it cannot be sent in a header.",
        },
    },
    "examples": [
        {
            "name": "John",
            "phone": "512-555-0142",
            "email": "john@example.com",
            "geo": "US",
            "source": "Facebook",
        }
    ],
}
_ANSWER: Final[Schema] = {
    "oneOf": [
        {
            "type": "object",
            "required": ["status", "lead_id"],
            "additionalProperties": False,
            "properties": {
                "status": {"const": "accepted"},
                "state": {
                    "const": "pending",
                    "description": "It is saved, and nobody has bought it for certain yet.",
                },
                "lead_id": {"type": "string"},
                "redirect_url": {"type": "string"},
            },
        },
        {
            "type": "object",
            "required": ["status", "reason", "lead_id"],
            "additionalProperties": False,
            "properties": {
                "status": {"const": "rejected"},
                "reason": {"type": "string"},
                "lead_id": {"type": "string"},
            },
        },
    ]
}
_REFUSED: Final[Schema] = {
    "type": "object",
    "required": ["status", "reason", "detail"],
    "additionalProperties": False,
    "properties": {
        "status": {"const": "rejected"},
        "reason": {"type": "string", "description": "A code that never changes its meaning."},
        "detail": {"type": "string"},
        "errors": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "A sentence for each bad field.",
        },
    },
}
_OWN_WORDS: Final = {
    422: "Bad fields, each with its sentence in `errors`: `missing_fields`, `bad_fields`, `repeated_key`; or it is "
    "not clear which campaign the lead is for: `which_campaign`."
}


def paths(campaigns: Sequence[Campaign]) -> Schema:
    """The path. Its lead is told in general: which campaign it is for may go without saying."""
    return {
        "/api.php": {
            "post": {
                "operationId": "route_lead",
                "tags": ["Other doors"],
                "summary": "The lead routing API: one lead, accepted or rejected",
                "description": "`accepted` means that the lead is saved and ours to settle: sold by now, or `pending`. "
                "`rejected` is final. Ask `GET /leads/{lead_id}` for what became of it. Without a key the lead is "
                "that seller's whom the campaign names for those.",
                "security": [*security(), {}],
                "parameters": [KEY_HEADER],
                "requestBody": {"required": True, "content": {**json_of(_LEAD), **form_of(_LEAD)}},
                "responses": {
                    "200": {"description": "What became of the lead.", "content": json_of(_ANSWER)},
                    **shaped_problems(_PROBLEMS, _REFUSED, _OWN_WORDS),
                },
            }
        }
    }


def form_of(schema: Schema) -> dict[str, Any]:
    """The same as a form, of either kind."""
    return {
        "application/x-www-form-urlencoded": {"schema": schema},
        "multipart/form-data": {"schema": schema},
    }


def shaped_problems(statuses: Sequence[int], shape: Schema, own_words: dict[int, str]) -> Schema:
    """The errors of a door that has a shape of its own for them; before a door is reached they are problem+json."""
    told = problems(statuses)
    for status, sentence in own_words.items():
        told[str(status)]["description"] = sentence
    for problem in told.values():
        problem["content"] = {**json_of(shape), **problem["content"]}
    return told
