"""The doors of operators (`/admin/…`), as OpenAPI tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from auction.api.admin.audit import AUDIT, AuditList
from auction.api.admin.fields import fields_of
from auction.api.admin.keys import HOLDERS, Keys, MadeKey, Version
from auction.api.admin.leads import GROUPS, LEADS, MONEY, Leads, Money, SettledLead
from auction.api.admin.suppression import ListEntries
from auction.api.document import entries
from auction.api.document.entries import entry_name
from auction.api.document.fields import Schema
from auction.api.document.parts import (
    KEY_HEADER,
    RATE,
    SEVERAL,
    TEXT,
    answer,
    body,
    headers_told,
    json_of,
    problems,
    ref,
    security,
)
from auction.api.listing import MOST_LIMIT, MOST_SKIP, OneOf, Reading, read_flag, read_whole
from auction.catalogue.documents import SECTIONS, Kind
from auction.market.model import Campaign
from auction.views.operators import LeadFile

STRUCTS: Final = (AuditList, Keys, MadeKey, Version, Leads, LeadFile, Money, SettledLead, ListEntries)
_READ: Final = (400, 401, 403, 404, 431, 500, 503)
_LIST: Final = (*_READ, 422)
_WRITE: Final = (*_READ, 408, 409, 413, 415, 422, 429)
_CHANGE: Final = (*_WRITE, 412, 428)
_TAG: Final = "Operating"
_ID: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"}
_OPERATORS: Final = (
    " Every parameter also with an operator: `field[$ne]`, `field[$in]` and `field[$nin]`, all mixed as you like; "
    f"`null` is nothing. {SEVERAL}"
)
_IF_MATCH: Final[Schema] = {
    "name": "If-Match",
    "in": "header",
    "description": "What the change was made from: the `ETag` of the entry, or the version of the catalogue as "
    '`"v17"`. `*`: whatever is there.',
    "schema": {"type": "string", "pattern": '^("([0-9a-f]{32}|v[0-9]{1,9})"|\\*)$'},
}
_IF_NONE_MATCH: Final[Schema] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "`*`: make it, if it is not there yet.",
    "schema": {"const": "*"},
}
_PATCH: Final[Schema] = {
    "type": "object",
    "description": "A JSON merge patch (RFC 7396): what is sent replaces what is there, null takes it out, objects go "
    "key by key, lists are replaced whole.",
}


def paths(campaigns: Sequence[Campaign]) -> Schema:
    """The paths, the same for everybody."""
    return _paths()


@cache
def _paths() -> Schema:
    told: Schema = {"/admin/exchange": _one("exchange")}
    for section, kind in SECTIONS.items():
        told[f"/admin/{section}"] = _section(section, kind)
        told[f"/admin/{section}/{{id}}"] = _one(kind)
    for section in HOLDERS:
        told[f"/admin/{section}/{{id}}/keys"] = _keys(section)
        told[f"/admin/{section}/{{id}}/keys/{{hash}}"] = _key(section)
    told["/admin/suppression_lists/{id}/entries"] = _entries()
    return told | _leads() | {"/admin/audit": {"get": _audit()}}


def schemas() -> dict[str, Schema]:
    """The entries of the catalogue."""
    return entries.schemas()


def _operation(name: str, scope: str, summary: str, answers: Schema, **more: Any) -> Schema:
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


def _section(section: str, kind: Kind) -> Schema:
    name, word = entry_name(kind), section.replace("_", " ")
    page = _page({"type": "array", "items": ref(name)})
    listed = {"200": {"description": "A page of them, by id.", "headers": _VERSION, "content": json_of(page)}}
    made = {"201": {"description": f"The new `{name}`.", "headers": _VERSION, "content": json_of(ref(name))}}
    return {
        "get": _operation(
            f"list_{section}",
            "catalogue:read",
            f"The {word} of the catalogue",
            listed | problems(_LIST),
            description=f"What is at its default is left out.{_OPERATORS}",
            parameters=_listing(fields_of(kind), MOST_SKIP),
        ),
        "post": _operation(
            f"create_{kind}",
            "catalogue:write",
            f"A new {kind.replace('_', ' ')}",
            made | problems(_WRITE),
            description="Held to the rules of `auction apply`, and live within a second.",
            parameters=[KEY_HEADER],
            requestBody=body(ref(name)),
        ),
    }


def _one(kind: Kind) -> Schema:
    name, word = entry_name(kind), kind.replace("_", " ")
    told = {"200": {**answer(name), "headers": _VERSION}}
    made = {"201": {"description": "It was not there, and is made.", "content": json_of(ref(name))}}
    path_id = [] if kind == "exchange" else [_in_path("id", _ID)]
    patch = {
        "required": True,
        "content": {"application/merge-patch+json": {"schema": _PATCH}} | json_of(_PATCH),
    }
    whole = {name: schema for name, schema in entries.schemas()[name].items() if name != "title"}
    required = [key for key in whole.pop("required", []) if key != "id"]
    put = whole | ({"required": required} if required else {})
    methods = {
        "get": _operation(
            f"get_{kind}", "catalogue:read", f"One {word}", told | problems(_READ), parameters=path_id
        ),
        "put": _operation(
            f"replace_{kind}",
            "catalogue:write",
            f"A {word}, whole",
            told | ({} if kind == "exchange" else made) | problems(_CHANGE),
            parameters=[*path_id, {**_IF_MATCH, "required": False}, _IF_NONE_MATCH, KEY_HEADER],
            requestBody=body(put),
        ),
        "patch": _operation(
            f"change_{kind}",
            "catalogue:write",
            f"Some keys of a {word}",
            told | problems(_CHANGE),
            parameters=[*path_id, {**_IF_MATCH, "required": True}, KEY_HEADER],
            requestBody=patch,
        ),
    }
    if kind != "exchange":
        methods["delete"] = _operation(
            f"delete_{kind}",
            "catalogue:write",
            f"A {word} is taken out",
            {"200": answer("Version")} | problems(_CHANGE),
            description="Refused with 409 while others name it; `errors` names them.",
            parameters=[*path_id, {**_IF_MATCH, "required": True}, KEY_HEADER],
        )
    return methods


def _keys(section: str) -> Schema:
    kind = HOLDERS[section]
    return {
        "get": _operation(
            f"list_{kind}_keys",
            "catalogue:read",
            f"The API keys of one of the {section}, as hashes",
            {"200": answer("Keys")} | problems(_READ),
            parameters=[_in_path("id", _ID)],
        ),
        "post": _operation(
            f"create_{kind}_key",
            "catalogue:write",
            f"A new API key for one of the {section}",
            {"201": {"description": "The key, shown once.", "content": json_of(ref("MadeKey"))}}
            | problems(_WRITE),
            parameters=[_in_path("id", _ID), KEY_HEADER],
        ),
    }


def _key(section: str) -> Schema:
    return {
        "delete": _operation(
            f"revoke_{HOLDERS[section]}_key",
            "catalogue:write",
            "An API key is taken back for good",
            {"200": answer("Version")} | problems(_WRITE),
            parameters=[
                _in_path("id", _ID),
                _in_path("hash", {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}),
                KEY_HEADER,
            ],
        )
    }


def _entries() -> Schema:
    list_id = _in_path("id", _ID)
    how = [
        _in_query(
            "hashed", {"enum": ["sha256", "md5"]}, "The lines are hashes of normalised values, in hex."
        ),
        _in_query("column", TEXT, "The column of a CSV: its name in the first row, or its number from 1."),
    ]
    lines: Schema = {"schema": {}}  # whatever it is, it is lines
    upload = {"required": True, "content": {"text/plain": lines, "text/csv": lines}}
    told = {"200": answer("ListEntries")}

    def load(name: str, summary: str, *more: Schema, **changes: Any) -> Schema:
        return _operation(
            f"{name}_list_entries",
            "catalogue:write",
            summary,
            told | problems(_WRITE),
            description="One value a line. The body is taken as it comes, up to 512 MiB and ten million lines; what is "
            "cut off changes nothing. The same again has the same effect.",
            parameters=[list_id, *how, *more],
            **{"requestBody": upload, **changes},
        )

    whole = _in_query("all", {"enum": ["true", "false"]}, "`true`: all of them, whatever is sent.")
    return {
        "get": _operation(
            "get_list_entries",
            "catalogue:read",
            "How many entries a suppression list has",
            told | problems(_READ),
            parameters=[list_id],
        ),
        "put": load("replace", "These are the entries of the list, and no others"),
        "post": load("add", "More entries for the list"),
        "delete": load(
            "remove", "These are taken out of the list", whole, requestBody={**upload, "required": False}
        ),
    }


def _leads() -> Schema:
    lead_id = _in_path("lead_id", TEXT)
    by = {
        **_in_query("by", {"type": "array", "items": {"enum": list(GROUPS)}}, "What is summed by."),
        "explode": True,
    }
    settling = {
        "type": "object",
        "required": ["outcome"],
        "additionalProperties": False,
        "properties": {
            "outcome": {"enum": ["accepted", "rejected"]},
            "order": {"anyOf": [TEXT, {"type": "null"}]},
            "reason": {"anyOf": [TEXT, {"type": "null"}]},
            "buyer_lead_id": {"anyOf": [TEXT, {"type": "null"}]},
        },
    }
    return {
        "/admin/leads": {
            "get": _operation(
                "list_leads",
                "leads:read",
                "Leads of all sellers, the latest first",
                {"200": answer("Leads")} | problems(_LIST),
                description=f"Nothing that names a person. `payout` with the scope `money:read`.{_OPERATORS}",
                parameters=_table(LEADS),
            )
        },
        "/admin/leads/{lead_id}": {
            "get": _operation(
                "get_lead_file",
                "leads:read",
                "A lead with its offers, sales and history",
                {"200": answer("LeadFile")} | problems(_READ),
                parameters=[lead_id],
            )
        },
        "/admin/leads/{lead_id}/settle": {
            "post": _operation(
                "settle_lead",
                "leads:write",
                "What became of an offer of which nobody knows",
                {"200": answer("SettledLead")} | problems(_WRITE),
                description="`order` may be left out where the lead has one such offer. It cannot be taken back.",
                parameters=[lead_id, KEY_HEADER],
                requestBody=body(settling),
            )
        },
        "/admin/money": {
            "get": _operation(
                "sum_money",
                "money:read",
                "What was sold, in sums",
                {"200": answer("Money")} | problems(_LIST),
                description="Of the last 31 days, if nothing else is asked, and 400 at most; no tests, unless they are "
                "asked for. Of sales that stand; what was given back is told as `returned` and `credited`, at the "
                f"time of its sale.{_OPERATORS}",
                parameters=[by, *_table(MONEY)],
            )
        },
    }


def _audit() -> Schema:
    return _operation(
        "list_audit",
        "catalogue:read",
        "Who changed what of the catalogue, the latest first",
        {"200": answer("AuditList")} | problems(_LIST),
        description=_OPERATORS.strip(),
        parameters=_table(AUDIT),
    )


def _table(columns: Mapping[str, tuple[str, Reading]]) -> list[Schema]:
    """The parameters of a list out of the ledger."""
    time = {"type": "string", "examples": ["2026-01-31T08:00:00Z"]}
    return [
        *_listing({name: reading for name, (_, reading) in columns.items()}, 10_000, most_text=128),
        _in_query("since", time, "From this time on; without an offset, in the exchange's time zone."),
        _in_query("until", time, "Before this time."),
    ]


def _listing(fields: Mapping[str, Reading], most_skip: int, most_text: int | None = None) -> list[Schema]:
    text: Schema = {"type": "string"} if most_text is None else {"type": "string", "maxLength": most_text}
    kinds: dict[Any, Schema] = {
        read_flag: {"type": "string", "pattern": "^(true|false|1|0|null)$"},
        read_whole: {"type": "string", "pattern": "^(-?[0-9]{1,15}|null)$"},
    }
    return [
        _in_query("$limit", {"type": "integer", "minimum": 0, "maximum": MOST_LIMIT}, "How many; else 10."),
        _in_query("$skip", {"type": "integer", "minimum": 0, "maximum": most_skip}, "How many to pass over."),
        *(_in_query(name, _word_of(reading, kinds, text), "") for name, reading in fields.items()),
    ]


def _word_of(reading: Reading, kinds: Mapping[Any, Schema], text: Schema) -> Schema:
    if isinstance(reading, OneOf):
        return {"enum": [*reading.words, "null"]}
    return kinds.get(reading, text)


def _page(data: Schema) -> Schema:
    number = {"type": "integer"}
    return {
        "type": "object",
        "required": ["total", "limit", "skip", "data"],
        "properties": {"total": number, "limit": number, "skip": number, "data": data},
    }


def _in_path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(name: str, schema: Schema, told: str) -> Schema:
    described = {"description": told} if told else {}
    return {"name": name, "in": "query", "required": False, "schema": schema, **described}


_VERSION: Final[Schema] = {
    "ETag": {
        "description": "The state of what is shown, for `If-Match`.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Catalogue-Version": {
        "description": "The version of the catalogue; of a change, the one that it made.",
        "required": True,
        "schema": {"type": "integer"},
    },
}
