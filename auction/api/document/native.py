"""The native door and the quiet ones (DESIGN 7), as OpenAPI tells them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from auction.api.document.fields import Schema, direct_lead, ping_lead, post_lead
from auction.market.model import Campaign
from auction.market.money import MICROS, MOST_MICROS

MOST_TEXT = 128
_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MOST_TEXT}
_ANY_LEAD: Final[Schema] = {"type": "object", "description": "The fields of the campaign, by name."}

_PROBLEMS: Final = {
    400: "Not JSON (`bad_json`, `not_an_object`, `too_deep`), not HTTP (`bad_http`), cut off (`cut_off`), or a list "
    "asked for wrongly (`bad_query`).",
    401: "No key, or none of ours: `unknown_key`.",
    403: "Another's: `not_your_campaign`, `not_your_ping`, `not_your_lead`.",
    404: "Not there: `unknown_campaign`, `unknown_ping`, `unknown_lead`, `no_such_path`. Another "
    "method gets 405, `wrong_method`.",
    408: "The request took too long to come: `too_slow`.",
    409: "Under way, or said otherwise before: `ping_in_progress`, `post_in_progress`, `used_ping`, "
    "`request_in_progress`, `idempotency_conflict`.",
    410: "The offer is over: `offer_expired`, `no_offer`.",
    413: "The body is too large: `too_large`.",
    415: "Not `application/json`: `not_json`.",
    422: "Bad fields, each named in `errors`: `bad_fields`, `repeated_key`, `ping_fields_changed`.",
    429: "Above your rate limit (`rate_limited`), or your keys of a day (`too_many_keys`); `Retry-After` "
    "says when again.",
    431: "The head of the request is too large: `head_too_large`.",
    500: "A bug of ours; it was logged: `internal_error`.",
    503: "A store is away or the house is full, `Retry-After` says when again: `counters_unavailable`, "
    "`counters_rebuilding`, `ledger_unavailable`, `ledger_full`, `house_full`, `stopping`, `not_ready`.",
}
_BODY_PROBLEMS: Final = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 431, 500, 503)
_OWN_PROBLEMS: Final = (400, 401, 403, 404, 431, 500, 503)
_RATE: Final = {
    "X-RateLimit-Limit": "Requests in your window.",
    "X-RateLimit-Remaining": "Requests that are left in it.",
    "X-RateLimit-Reset": "When it ends, in seconds since the epoch.",
}
_KEY_HEADER: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and body again within 24 hours get the same answer, with "
    "`Idempotent-Replayed: true`, and have one effect. A key is one request's, at whichever door.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MOST_TEXT},
}

_AFTER_POST: Final = {
    "lead": {"operationId": "get_lead", "parameters": {"lead_id": "$response.body#/lead_id"}},
}
_AFTER_PING: Final = {
    "post": {"operationId": "post", "requestBody": {"ping_id": "$response.body#/ping_id"}},
    "ping": {"operationId": "get_ping", "parameters": {"ping_id": "$response.body#/ping_id"}},
}
"""What an answer leads to (OpenAPI's links)."""

Lead = Callable[[Campaign], Schema]


def native_paths(campaigns: Sequence[Campaign]) -> Schema:
    """The paths; with the leads of these campaigns written out, or any lead where there is none."""
    return {
        "/ping": {"post": _ping(campaigns)},
        "/post": {"post": _post(campaigns)},
        "/direct": {"post": _direct(campaigns)},
        "/leads/{lead_id}": {"get": _own("lead", "LeadView", "What became of a lead, with its history.")},
        "/pings/{ping_id}": {"get": _own("ping", "PingView", "What was offered on a ping.")},
        "/healthz": {"get": _health("Whether this process answers at all.", (200,))},
        "/readyz": {"get": _health("Whether pings can be served.", (200, 503))},
        "/metrics": {"get": _metrics()},
    }


def _ping(campaigns: Sequence[Campaign]) -> Schema:
    return {
        "operationId": "ping",
        "tags": ["Selling"],
        "summary": "One auction for a lead that is not named yet",
        "description": "Asks every eligible buyer and answers with the best offer, or that nobody bid. The same "
        "ping again, while its offer lives, gets the same offer.",
        "security": _security(),
        "parameters": [_KEY_HEADER],
        "requestBody": _body(_envelopes(campaigns, "campaign", ping_lead, _asking())),
        "responses": {"200": {**_answer("PingAnswer", _RATE | _TIMING), "links": _AFTER_PING}}
        | _problems(_BODY_PROBLEMS),
    }


def _post(campaigns: Sequence[Campaign]) -> Schema:
    leads = [post_lead(campaign) for campaign in campaigns]
    body = {
        "type": "object",
        "required": ["ping_id", "lead"],
        "additionalProperties": False,
        "properties": {"ping_id": _TEXT, "lead": {"anyOf": leads} if leads else _ANY_LEAD},
    }
    return {
        "operationId": "post",
        "tags": ["Selling"],
        "summary": "The full lead, against the offer of its ping",
        "description": "Commits the lead to the winners. A post is idempotent by its `ping_id`: the same again "
        "gets the same answer, and the lead is sold once.",
        "security": _security(),
        "parameters": [_KEY_HEADER],
        "requestBody": _body(body),
        "responses": {"200": {**_answer("PostAnswer", _RATE), "links": _AFTER_POST}}
        | _problems((*_BODY_PROBLEMS, 410)),
    }


def _direct(campaigns: Sequence[Campaign]) -> Schema:
    return {
        "operationId": "direct",
        "tags": ["Selling"],
        "summary": "Ping and post in one",
        "description": "The ping fields go to auction, all fields to the winners. The answer is the post's, or the "
        "ping's where nobody bid.",
        "security": _security(),
        "parameters": [_KEY_HEADER],
        "requestBody": _body(_envelopes(campaigns, "campaign", direct_lead, _asking())),
        "responses": {
            "200": {
                "description": "What became of the lead.",
                "headers": _headers(_RATE | _TIMING),
                "content": _json({"anyOf": [_ref("PostAnswer"), _ref("PingAnswer")]}),
            }
        }
        | _problems((*_BODY_PROBLEMS, 410)),
    }


_TIMING: Final = {"Server-Timing": "`own`: our own time; `buyers`: how long buyers were waited for, in ms."}


def _asking() -> Schema:
    """What stands in a ping's envelope beside the campaign and the lead. A null is a key left out."""
    return {
        "tmax": {
            "type": ["integer", "null"],
            "minimum": 10,
            "maximum": 60_000,
            "description": "How long you will wait, in ms; the campaign's time bounds it.",
        },
        "floor": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": MOST_MICROS // MICROS,
            "description": "The least payout that you take; at most four decimals.",
        },
        "sub_id": {**_TEXT, "type": ["string", "null"], "description": "Your own word for where it is from."},
        "test": {
            "type": ["boolean", "null"],
            "description": "A real auction that touches no cap and no money.",
        },
    }


def _envelopes(campaigns: Sequence[Campaign], name: str, lead: Lead, more: Schema) -> Schema:
    def envelope(of: Schema, fields: Schema) -> Schema:
        return {
            "type": "object",
            "required": [name, "lead"],
            "additionalProperties": False,
            "properties": {name: of, "lead": fields, **more},
        }

    if not campaigns:
        return envelope({**_TEXT, "description": "The campaign's id."}, _ANY_LEAD)
    written = [envelope({"const": campaign.id}, lead(campaign)) for campaign in campaigns]
    return written[0] if len(written) == 1 else {"oneOf": written}


def _own(kind: str, view: str, summary: str) -> Schema:
    return {
        "operationId": f"get_{kind}",
        "tags": ["Looking up"],
        "summary": summary,
        "security": _security(),
        "parameters": [
            {
                "name": f"{kind}_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1},
            }
        ],
        "responses": {"200": _answer(view)} | _problems(_OWN_PROBLEMS),
    }


def _health(summary: str, statuses: Sequence[int]) -> Schema:
    told = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    good = {"200": {"description": "It does.", "content": _json(told)}}
    return {
        "operationId": "ready" if 503 in statuses else "healthy",
        "tags": ["Running"],
        "summary": summary,
        "responses": good | _problems((431, 500, *statuses[1:])),
    }


def _metrics() -> Schema:
    return {
        "operationId": "metrics",
        "tags": ["Running"],
        "summary": "What all workers counted, for Prometheus",
        "responses": {
            "200": {
                "description": "Prometheus' text format.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        }
        | _problems((431, 500)),
    }


def _body(schema: Schema) -> Schema:
    return {"required": True, "content": _json(schema)}


def _answer(name: str, headers: dict[str, str] | None = None) -> Schema:
    answer = {"description": f"A `{name}`.", "content": _json(_ref(name))}
    return answer if headers is None else {**answer, "headers": _headers(headers)}


def _headers(told: dict[str, str]) -> Schema:
    return {
        name: {
            "description": sentence,
            "required": False,
            "schema": {"type": "string"} if name == "Server-Timing" else {"type": "integer"},
        }
        for name, sentence in told.items()
    }


def _problems(statuses: Sequence[int]) -> Schema:
    return {
        str(status): {
            "description": _PROBLEMS[status],
            "content": {"application/problem+json": {"schema": _ref("Problem")}},
        }
        for status in sorted(statuses)
    }


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _security() -> list[dict[str, list[str]]]:
    return [{"bearer": []}, {"apiKey": []}]
