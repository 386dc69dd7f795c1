"""What the descriptions of all doors are put together from: bodies, answers, headers, problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from auction.api.document.fields import Schema
from auction.api.listing import MOST_LIMIT, MOST_SKIP, MOST_VALUES, OneOf, Reading, read_flag, read_whole
from auction.api.said import MOST_TEXT

MOST_WHOLE = 10**15 - 1
TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MOST_TEXT}

PROBLEMS: Final = {
    400: "Not JSON (`bad_json`, `not_an_object`, `too_deep`), not a form (`bad_form`), not HTTP (`bad_http`), cut "
    "off (`cut_off`), or a list asked for wrongly (`bad_query`).",
    401: "No key, or none of ours: `unknown_key`.",
    403: "Another's: `not_your_campaign`, `not_your_ping`, `not_your_lead`, `not_your_supplier`, `not_your_route`, "
    "`not_your_team`, `not_your_source`. Or an operator's key without the scope: `not_in_your_scope`.",
    404: "Not there: `unknown_campaign`, `unknown_ping`, `unknown_lead`, `unknown_route`, `unknown_entry`, "
    "`no_such_key`, `no_such_path`. Another method gets 405, `wrong_method`.",
    408: "The request took too long to come: `too_slow`.",
    409: "Under way, or said otherwise before: `ping_in_progress`, `post_in_progress`, `used_ping`, "
    "`request_in_progress`, `idempotency_conflict`, `too_many_routes`, `catalogue_changing`, "
    "`already_there`, `still_named`, `catalogue_conflict`, `key_in_catalogue`, `other_form`, "
    "`list_changed`, `nothing_unknown`, `which_order`, `settled_so`, `settled_otherwise`, `being_offered`, "
    "`impossible_move`.",
    410: "The offer is over: `offer_expired`, `no_offer`.",
    412: "Not as you have seen it: `changed_meanwhile`.",
    413: "The body is too large: `too_large`, `too_many_entries`.",
    415: "Not `application/json`: `not_json`; not lines of text: `not_text`.",
    422: "Bad fields, each named in `errors`: `bad_fields` (also of a query), `repeated_key`, `ping_fields_changed`, "
    "`no_such_bid`. Of a list: `nothing_to_load`, `unknown_column`, `bad_csv`.",
    428: "A change must say what it was made from: `no_precondition`.",
    429: "Above your rate limit (`rate_limited`), or your keys of a day (`too_many_keys`); `Retry-After` "
    "says when again.",
    431: "The head of the request, its URL with it, is above 16 KB or 100 headers: `head_too_large`. Many values of "
    "`$in` are asked for in several requests.",
    500: "A bug of ours; it was logged: `internal_error`.",
    503: "A store is away or the house is full or overloaded, `Retry-After` says when again: `counters_unavailable`, "
    "`counters_rebuilding`, `ledger_unavailable`, `ledger_full`, `house_full`, `overloaded`, `stopping`, `not_ready`, "
    "`upload_ended`.",
}
SEVERAL: Final = (
    f"`$in` and `$nin` take up to {MOST_VALUES:,} values, repeated; the URL and the headers may have 16 KB together, "
    "so long lists are asked for in several requests."
)
RATE: Final = {
    "X-RateLimit-Limit": "Requests in your window.",
    "X-RateLimit-Remaining": "Requests that are left in it.",
    "X-RateLimit-Reset": "When it ends, in seconds since the epoch.",
}
KEY_HEADER: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and body again within 24 hours get the same answer, with "
    "`Idempotent-Replayed: true`, and have one effect. A key is one request's, at whichever door.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MOST_TEXT},
}


def body(schema: Schema) -> Schema:
    """A request body as JSON."""
    return {"required": True, "content": json_of(schema)}


def answer(name: str, headers: dict[str, str] | None = None) -> Schema:
    """A 200 with this schema, and headers."""
    answer = {"description": f"A `{name}`.", "content": json_of(ref(name))}
    return answer if headers is None else {**answer, "headers": headers_told(headers)}


def headers_told(told: dict[str, str]) -> Schema:
    """Headers of an answer, each with its sentence."""
    return {
        name: {
            "description": sentence,
            "required": False,
            "schema": {"type": "string"} if name == "Server-Timing" else {"type": "integer"},
        }
        for name, sentence in told.items()
    }


def problems(statuses: Sequence[int]) -> Schema:
    """The errors that a door may answer with, as problem+json."""
    return {
        str(status): {
            "description": PROBLEMS[status],
            "content": {"application/problem+json": {"schema": ref("Problem")}},
        }
        for status in sorted(statuses)
    }


_FLAG: Final[Schema] = {"type": "boolean"}
_WORD: Final[Schema] = {"type": "string"}


def listing(fields: Mapping[str, Reading]) -> list[Schema]:
    """The parameters of a list: `$limit`, `$skip`, and for each field equality, `$ne`, `$in` and `$nin`."""
    whole: Schema = {
        "anyOf": [
            {"type": "integer", "minimum": -MOST_WHOLE, "maximum": MOST_WHOLE},
            {"const": "null"},
        ]
    }
    told = [
        _parameter("$limit", {"type": "integer", "minimum": 0, "maximum": MOST_LIMIT}, "How many are shown."),
        _parameter(
            "$skip", {"type": "integer", "minimum": 0, "maximum": MOST_SKIP}, "How many are left out."
        ),
    ]
    for name, reading in fields.items():
        of = whole if reading is read_whole else _FLAG if reading is read_flag else _WORD
        if isinstance(reading, OneOf):
            of = {"enum": [*reading.words, "null"]}
        several = {"type": "array", "minItems": 1, "items": of}
        told += [
            _parameter(name, of, "Is this."),
            _parameter(f"{name}[$ne]", of, "Is not this."),
            _parameter(f"{name}[$in]", several, "Is one of these."),
            _parameter(f"{name}[$nin]", several, "Is none of these."),
        ]
    return told


def _parameter(name: str, schema: Schema, description: str) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
    }


def json_of(schema: Schema) -> dict[str, Any]:
    """Content that is JSON."""
    return {"application/json": {"schema": schema}}


def ref(name: str) -> Schema:
    """One of the named schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def security() -> list[dict[str, list[str]]]:
    """A key, in either of its headers."""
    return [{"bearer": []}, {"apiKey": []}]
