"""The leads API's door, as OpenAPI tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from auction.api.document.fields import Schema
from auction.api.document.parts import KEY_HEADER, RATE, TEXT, headers_told, json_of, security
from auction.api.document.router import form_of, shaped_problems
from auction.market.model import Campaign

STRUCTS: Final[tuple[Any, ...]] = ()
_PROBLEMS: Final = (400, 401, 408, 409, 413, 415, 422, 429, 431, 500, 503)
_LEAD: Final[Schema] = {
    "type": "object",
    "description": "`seller` and `category`, and the lead's fields in camelCase or by the campaign's names (`GET "
    "/openapi.json` with your key tells them). All of it may stand in the query of the URL instead; the body wins.",
    "required": ["seller", "category"],
    "properties": {
        "seller": {**TEXT, "description": "Your own seller code, or your slug."},
        "category": {**TEXT, "description": "What the campaign is called at this door, or its id."},
    },
    "examples": [
        {
            "seller": "ACME1234",
            "category": "Auto Insurance",
            "firstName": "John",
            "lastName": "Doe",
            "email": "john.doe@email.com",
            "phone": "555-123-4567",
            "state": "TX",
            "zip": "75001",
            "city": "Dallas",
        }
    ],
}


def _outcome(success: bool, status: str, more: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["success", "lead_id", "status", *more],
        "additionalProperties": False,
        "properties": {
            "success": {"const": success},
            "lead_id": {"type": "string"},
            "status": {"const": status},
            **more,
        },
    }


_ANSWER: Final[Schema] = {
    "oneOf": [
        _outcome(
            True,
            "sold",
            {
                "price": {"type": "number", "description": "What you get for it."},
                "buyer_ids": {"type": "array", "items": {"type": "string"}},
            },
        ),
        _outcome(True, "pending", {}),
        _outcome(False, "rejected", {"reason": {"type": "string"}}),
    ]
}
_REFUSED: Final[Schema] = {
    "type": "object",
    "required": ["success", "error", "code", "details"],
    "additionalProperties": False,
    "properties": {
        "success": {"const": False},
        "error": {"type": "string"},
        "code": {"type": "string", "description": "A code that never changes its meaning."},
        "details": {"type": "string"},
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "A sentence for each field that is missing or bad.",
        },
    },
}
_OWN_WORDS: Final = {
    400: "`Missing required field` (`missing_fields`), `No matching campaign` (`unknown_campaign`), `No matching "
    "seller` (`unknown_seller`); or not JSON, not a form.",
    401: "`Invalid API Key`.",
    422: "`Invalid field`: each with its sentence in `fields`.",
    429: "`Rate limit exceeded`; `Retry-After` says when again.",
    500: "`Internal error`: a bug of ours; it was logged.",
}


def paths(campaigns: Sequence[Campaign]) -> Schema:
    """The path. Its lead is told in general: `category` says by which campaign it is read."""
    answers = {
        "200": {"description": "What became of the lead.", "content": json_of(_ANSWER)},
        **shaped_problems(_PROBLEMS, _REFUSED, _OWN_WORDS),
    }
    for status, told in answers.items():
        if status not in ("401", "408", "431"):  # by then it is known whose key it is
            told["headers"] = headers_told(RATE)
    return {
        "/api/leads": {
            "post": {
                "operationId": "submit_lead",
                "tags": ["Other doors"],
                "summary": "The leads API: one lead, sold or pending",
                "description": "`pending`: nobody buys it yet, and it is tried again as caps and hours open, until its "
                "campaign's limit of age; ask `GET /leads/{lead_id}`. 60 requests a minute for each key, if the house "
                "sets nothing else.",
                "security": security(),
                "parameters": [KEY_HEADER],
                "requestBody": {"required": False, "content": {**json_of(_LEAD), **form_of(_LEAD)}},
                "responses": answers,
            }
        }
    }
