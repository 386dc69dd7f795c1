"""How a call of operators is told: its scope, what it may answer, and how lists are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from auction.api.document.fields import Schema
from auction.api.document.parts import RATE, SEVERAL, headers_told, security
from auction.api.listing import MOST_LIMIT, OneOf, Reading, read_flag, read_whole

READ: Final = (400, 401, 403, 404, 431, 500, 503)
LIST: Final = (*READ, 422)
WRITE: Final = (*READ, 408, 409, 413, 415, 422, 429)
_TAG: Final = "Operating"
OPERATORS: Final = (
    " Every parameter also with an operator: `field[$ne]`, `field[$in]` and `field[$nin]`, all mixed as you like; "
    f"`null` is nothing. {SEVERAL}"
)


def operation(name: str, scope: str, summary: str, answers: Schema, **more: Any) -> Schema:
    """One call: what it may answer, and the scope that it needs. Of `more`, whatever else OpenAPI tells of it."""
    parameters = [one for one in more.pop("parameters", []) if one]
    description = f"{more.pop('description', '')} Scope: `{scope}`.".strip()
    if scope.endswith(":write"):
        answers = {status: _with_rate(told) if status < "300" else told for status, told in answers.items()}
    return {
        "operationId": f"admin_{name}",
        "tags": [_TAG],
        "summary": summary,
        "description": description,
        "security": security(),
        **({"parameters": parameters} if parameters else {}),
        **more,
        "responses": answers,
    }


def _with_rate(told: Schema) -> Schema:
    """A change says how many more its key may make in this minute."""
    return {**told, "headers": {**told.get("headers", {}), **headers_told(RATE)}}


def table(columns: Mapping[str, tuple[str, Reading]]) -> list[Schema]:
    """The parameters of a list out of the ledger."""
    time = {"type": "string", "examples": ["2026-01-31T08:00:00Z"]}
    return [
        *listing({name: reading for name, (_, reading) in columns.items()}, 10_000, most_text=128),
        in_query("since", time, "From this time on; without an offset, in the exchange's time zone."),
        in_query("until", time, "Before this time."),
    ]


def listing(fields: Mapping[str, Reading], most_skip: int, most_text: int | None = None) -> list[Schema]:
    """The parameters of a list: pages, and equality with each field."""
    text: Schema = {"type": "string"} if most_text is None else {"type": "string", "maxLength": most_text}
    kinds: dict[Any, Schema] = {
        read_flag: {"type": "string", "pattern": "^(true|false|1|0|null)$"},
        read_whole: {"type": "string", "pattern": "^(-?[0-9]{1,15}|null)$"},
    }
    return [
        in_query("$limit", {"type": "integer", "minimum": 0, "maximum": MOST_LIMIT}, "How many; else 10."),
        in_query("$skip", {"type": "integer", "minimum": 0, "maximum": most_skip}, "How many to pass over."),
        *(in_query(name, _word_of(reading, kinds, text), "") for name, reading in fields.items()),
    ]


def _word_of(reading: Reading, kinds: Mapping[Any, Schema], text: Schema) -> Schema:
    if isinstance(reading, OneOf):
        return {"enum": [*reading.words, "null"]}
    return kinds.get(reading, text)


def page(data: Schema) -> Schema:
    """What a list answers."""
    number = {"type": "integer"}
    return {
        "type": "object",
        "required": ["total", "limit", "skip", "data"],
        "properties": {"total": number, "limit": number, "skip": number, "data": data},
    }


def in_path(name: str, schema: Schema) -> Schema:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def in_query(name: str, schema: Schema, told: str) -> Schema:
    """A parameter in the query, that may be left out."""
    described = {"description": told} if told else {}
    return {"name": name, "in": "query", "required": False, "schema": schema, **described}
