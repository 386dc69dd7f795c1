"""`/postback`, as OpenAPI tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from auction.api.document.fields import Schema
from auction.api.document.parts import TEXT, answer, problems, ref, security
from auction.api.postbacks import MOST_REASON, PostbackAnswer
from auction.market.model import Campaign
from auction.market.money import MICROS, Budget
from auction.reports.report import Status

STRUCTS: Final = (PostbackAnswer,)
_STATUSES: Final = (400, 401, 404, 409, 422, 429, 431, 500, 503)
_OWN: Final = {
    401: "No key, or none of a buyer (`unknown_key`); or not signed by this buyer, now (`bad_signature`).",
    404: "You were not offered it: `unknown_lead`, `unknown_order`.",
    409: "It cannot be so, and nothing was changed. Out of order, or against what is known: `impossible_status`, "
    "`told_otherwise`. A return that the order's terms do not allow: `not_returnable`, `return_window_over`, "
    "`return_share_full`. More than one is meant: `which_lead`, `which_order`. The lead is being offered just now, "
    "tell it again: `being_offered`.",
    422: "Something is missing (`missing_field`) or wrong (`bad_fields`); each is named in `errors`.",
    429: "Too many postbacks at once: `rate_limited`; `Retry-After` says when again.",
}
_NAMES: Final[dict[str, Schema]] = {
    "status": {
        "type": "string",
        "enum": list(Status),
        "description": "`accepted` and `rejected` are for an offer whose answer was lost.",
    },
    "lead_id": {**TEXT, "description": "Our id of the lead."},
    "buyer_lead_id": {
        **TEXT,
        "description": "Your id of it, as you told it when you accepted; instead of ours.",
    },
    "order": {**TEXT, "description": "The order that the lead was offered to. It may be left out."},
    "reason": {
        "type": "string",
        "maxLength": MOST_REASON,
        "description": "Needed with `returned`: why, in a word such as `wrong_number`.",
    },
    "value": {
        "type": "number",
        "minimum": 0,
        "maximum": Budget.most_micros // MICROS,
        "description": "With `converted`: what the lead was worth to you; at most four decimals.",
    },
    "currency": {"type": "string", "description": "Of the value; it has to be the exchange's."},
}
_SIGNED: Final = [*security(), {"token": []}, {"webhookSignature": []}]
SECURITY: Final[Schema] = {
    "token": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "A buyer's key in the URL, for tools that can send no header.",
    },
    "webhookSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks, with `webhook-id` and `webhook-timestamp`, by the buyer's secret over the "
        "body of a `POST`; `buyer` in the query says whose. Names in the query are then passed over.",
    },
}
_SAID: Final = (
    "What became of a lead that you were offered. The same again changes nothing (`changed: false`); what "
    "contradicts what is known is refused, and kept for the operator."
)


def paths(campaigns: Sequence[Campaign]) -> Schema:
    """The path; it is the same for all campaigns."""
    fields: Schema = {
        "type": "object",
        "required": ["status"],
        "anyOf": [{"required": ["lead_id"]}, {"required": ["buyer_lead_id"]}],
        "properties": _NAMES,
    }
    content = {kind: {"schema": fields} for kind in ("application/json", "application/x-www-form-urlencoded")}
    buyer = {"name": "buyer", "in": "query", "required": False, "schema": TEXT}
    buyer["description"] = "Who signed."
    return {
        "/postback": {
            "get": {
                **_told("get_postback", "Tell what became of a lead, by a URL"),
                "parameters": [
                    {
                        "name": name,
                        "in": "query",
                        "required": name == "status",
                        "description": schema.get("description", ""),
                        "schema": {key: value for key, value in schema.items() if key != "description"},
                    }
                    for name, schema in _NAMES.items()
                ],
            },
            "post": {
                **_told("postback", "Tell what became of a lead", 408, 413, 415),
                "parameters": [buyer],
                "requestBody": {"required": True, "content": content},
            },
        }
    }


def _told(operation: str, summary: str, *more: int) -> dict[str, Any]:
    return {
        "operationId": operation,
        "tags": ["Buying"],
        "summary": summary,
        "description": _SAID,
        "security": _SIGNED if more else _SIGNED[:-1],
        "responses": {"200": answer("PostbackAnswer"), **_problems((*_STATUSES, *more))},
    }


def _problems(statuses: Sequence[int]) -> Schema:
    content = {"application/problem+json": {"schema": ref("Problem")}}
    own = {str(status): {"description": told, "content": content} for status, told in _OWN.items()}
    return problems(statuses) | own
