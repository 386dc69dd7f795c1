"""The doors of operators (`/admin/…`), as OpenAPI tells them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from auction.api.admin.audit import AUDIT, AuditList
from auction.api.admin.fields import fields_of
from auction.api.admin.keys import HOLDERS, Keys, MadeKey, Version
from auction.api.admin.leads import Leads, Money, SettledLead
from auction.api.admin.suppression import ListEntries
from auction.api.document import entries
from auction.api.document.admin_leads import leads, money
from auction.api.document.entries import entry_name
from auction.api.document.fields import Schema
from auction.api.document.operating import (
    LIST,
    OPERATORS,
    READ,
    WRITE,
    in_path,
    in_query,
    listing,
    operation,
    page,
    table,
)
from auction.api.document.parts import KEY_HEADER, TEXT, answer, body, json_of, problems, ref
from auction.api.listing import MOST_SKIP
from auction.catalogue.documents import SECTIONS, Kind
from auction.market.model import Campaign
from auction.views.operators import LeadFile

STRUCTS: Final = (AuditList, Keys, MadeKey, Version, Leads, LeadFile, Money, SettledLead, ListEntries)
_CHANGE: Final = (*WRITE, 412, 428)
_ID: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"}
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
    return told | leads() | money() | {"/admin/audit": {"get": _audit()}}


def schemas() -> dict[str, Schema]:
    """The entries of the catalogue."""
    return entries.schemas()


def _section(section: str, kind: Kind) -> Schema:
    name, word = entry_name(kind), section.replace("_", " ")
    listed_page = page({"type": "array", "items": ref(name)})
    listed = {
        "200": {"description": "A page of them, by id.", "headers": _VERSION, "content": json_of(listed_page)}
    }
    made = {"201": {"description": f"The new `{name}`.", "headers": _VERSION, "content": json_of(ref(name))}}
    return {
        "get": operation(
            f"list_{section}",
            "catalogue:read",
            f"The {word} of the catalogue",
            listed | problems(LIST),
            description=f"What is at its default is left out.{OPERATORS}",
            parameters=listing(fields_of(kind), MOST_SKIP),
        ),
        "post": operation(
            f"create_{kind}",
            "catalogue:write",
            f"A new {kind.replace('_', ' ')}",
            made | problems(WRITE),
            description="Held to the rules of `auction apply`, and live within a second.",
            parameters=[KEY_HEADER],
            requestBody=body(ref(name)),
        ),
    }


def _one(kind: Kind) -> Schema:
    name, word = entry_name(kind), kind.replace("_", " ")
    told = {"200": {**answer(name), "headers": _VERSION}}
    made = {"201": {"description": "It was not there, and is made.", "content": json_of(ref(name))}}
    path_id = [] if kind == "exchange" else [in_path("id", _ID)]
    patch = {
        "required": True,
        "content": {"application/merge-patch+json": {"schema": _PATCH}} | json_of(_PATCH),
    }
    whole = {name: schema for name, schema in entries.schemas()[name].items() if name != "title"}
    required = [key for key in whole.pop("required", []) if key != "id"]
    put = whole | ({"required": required} if required else {})
    methods = {
        "get": operation(
            f"get_{kind}", "catalogue:read", f"One {word}", told | problems(READ), parameters=path_id
        ),
        "put": operation(
            f"replace_{kind}",
            "catalogue:write",
            f"A {word}, whole",
            told | ({} if kind == "exchange" else made) | problems(_CHANGE),
            parameters=[*path_id, {**_IF_MATCH, "required": False}, _IF_NONE_MATCH, KEY_HEADER],
            requestBody=body(put),
        ),
        "patch": operation(
            f"change_{kind}",
            "catalogue:write",
            f"Some keys of a {word}",
            told | problems(_CHANGE),
            parameters=[*path_id, {**_IF_MATCH, "required": True}, KEY_HEADER],
            requestBody=patch,
        ),
    }
    if kind != "exchange":
        methods["delete"] = operation(
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
        "get": operation(
            f"list_{kind}_keys",
            "catalogue:read",
            f"The API keys of one of the {section}, as hashes",
            {"200": answer("Keys")} | problems(READ),
            parameters=[in_path("id", _ID)],
        ),
        "post": operation(
            f"create_{kind}_key",
            "catalogue:write",
            f"A new API key for one of the {section}",
            {"201": {"description": "The key, shown once.", "content": json_of(ref("MadeKey"))}}
            | problems(WRITE),
            parameters=[in_path("id", _ID), KEY_HEADER],
        ),
    }


def _key(section: str) -> Schema:
    return {
        "delete": operation(
            f"revoke_{HOLDERS[section]}_key",
            "catalogue:write",
            "An API key is taken back for good",
            {"200": answer("Version")} | problems(WRITE),
            parameters=[
                in_path("id", _ID),
                in_path("hash", {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}),
                KEY_HEADER,
            ],
        )
    }


def _entries() -> Schema:
    list_id = in_path("id", _ID)
    how = [
        in_query("hashed", {"enum": ["sha256", "md5"]}, "The lines are hashes of normalised values, in hex."),
        in_query("column", TEXT, "The column of a CSV: its name in the first row, or its number from 1."),
    ]
    lines: Schema = {"schema": {}}  # whatever it is, it is lines
    upload = {"required": True, "content": {"text/plain": lines, "text/csv": lines}}
    told = {"200": answer("ListEntries")}

    def load(name: str, summary: str, *more: Schema, **changes: Any) -> Schema:
        return operation(
            f"{name}_list_entries",
            "catalogue:write",
            summary,
            told | problems(WRITE),
            description="One value a line. The body is taken as it comes, up to 512 MiB and ten million lines; what is "
            "cut off changes nothing. The same again has the same effect.",
            parameters=[list_id, *how, *more],
            **{"requestBody": upload, **changes},
        )

    whole = in_query("all", {"enum": ["true", "false"]}, "`true`: all of them, whatever is sent.")
    return {
        "get": operation(
            "get_list_entries",
            "catalogue:read",
            "How many entries a suppression list has",
            told | problems(READ),
            parameters=[list_id],
        ),
        "put": load("replace", "These are the entries of the list, and no others"),
        "post": load("add", "More entries for the list"),
        "delete": load(
            "remove", "These are taken out of the list", whole, requestBody={**upload, "required": False}
        ),
    }


def _audit() -> Schema:
    return operation(
        "list_audit",
        "catalogue:read",
        "Who changed what of the catalogue, the latest first",
        {"200": answer("AuditList")} | problems(LIST),
        description=OPERATORS.strip(),
        parameters=table(AUDIT),
    )


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
