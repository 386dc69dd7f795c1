"""A campaign's lead as JSON Schema: what its decoder takes, and nothing that it refuses.

The schema may be wider than the decoder (a phone number is text here, and the decoder tells which text), never
narrower: what a schema refuses, the decoder refuses too. So a client made from the document can send all that is
good, and a test that sends what the document forbids must get an error for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from auction.counted import counted
from auction.market.fields import DEFAULT_MAX_LENGTH, MOST_KEYS
from auction.market.model import Campaign, FieldSpec, FieldType
from auction.market.values import MOST_INTEGER, MOST_NUMBER, MOST_PHONE, STATE_CODES

Schema = dict[str, Any]


def _matching(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^{_SPACE}{pattern}{_SPACE}$"}


_SPACE = r"[\s\u001c-\u001f\u0085]*"
"""What Python strips."""
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_TEXT: Final[Schema] = _matching(rf"[^\s{_CONTROL}]([^{_CONTROL}]*[^\s{_CONTROL}])?")
_KINDS: Final[dict[FieldType, tuple[str, list[Schema], Any]]] = {
    "text": ("Text, trimmed; no control characters.", [_TEXT], "as told"),
    "integer": (
        "A whole number; digits as text will do.",
        [
            {"type": "integer", "minimum": -MOST_INTEGER, "maximum": MOST_INTEGER},
            _matching(r"[+-]?[0-9]{1,15}"),
        ],
        200,
    ),
    "number": (
        "A number; decimals as text will do.",
        [
            {"type": "number", "minimum": -MOST_NUMBER, "maximum": MOST_NUMBER},
            _matching(r"[+-]?([0-9]{1,16}(\.[0-9]{0,20})?|\.[0-9]{1,20})"),
        ],
        12.5,
    ),
    "boolean": (
        "true or false; as text also yes, no, 1, 0.",
        [
            {"type": "boolean"},
            _matching(r"([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo]|[01])"),
        ],
        True,
    ),
    "choice": ("One of the choices, in any case.", [_TEXT], None),
    "date": (
        "A date: 2026-01-31 or 01/31/2026.",
        [_matching(r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4})")],
        "2026-01-31",
    ),
    "us_state": (
        "A US state, DC or a territory: its code or its name.",
        [{"enum": sorted(STATE_CODES)}, _matching(r"[A-Za-z][A-Za-z\s]*[A-Za-z]")],
        "TX",
    ),
    "us_zip": (
        "A US zip code of five digits, ZIP+4 (cut to five), or a number that lost its leading zeros.",
        [
            _matching(r"[0-9]{5}(-[0-9]{4})?"),
            {"type": "integer", "minimum": 501, "maximum": 99_950},
        ],
        "75001",
    ),
    "phone": (
        "A phone number: ten US digits, or +, country and number.",
        [
            _matching(r"[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}"),
            {**_matching(r"[-+0-9 \t.()/\u00a0\u2010\u2011\u2013]+"), "maxLength": MOST_PHONE},
        ],
        "512-555-0142",
    ),
    "email": (
        "An email address.",
        [{"type": "string", "format": "email"}, _matching(r"[!-~]+@[!-~]+")],
        "ann@example.com",
    ),
    "url": (
        "A web address.",
        [{"type": "string", "format": "uri"}, _matching(r"[Hh][Tt][Tt][Pp][Ss]?:\S+")],
        "https://example.com/page",
    ),
}
"""For each type a sentence, its forms (the usual one first), and an example."""


def ping_lead(campaign: Campaign) -> Schema:
    """The lead of a ping: the fields that name nobody, and those that buyers are sent as hashes."""
    fields = [spec for spec in campaign.fields if spec.in_ping or spec.hashed_in_ping]
    lead = _lead(campaign, fields, [spec.name for spec in fields if spec.required == "ping"])
    for spec in fields:
        if spec.hashed_in_ping:
            lead["properties"][spec.name] = _or_its_digest(lead["properties"][spec.name])
    return lead


def post_lead(campaign: Campaign) -> Schema:
    """The lead of a post: ping fields may be left out, as the ping has told them."""
    needed = [spec.name for spec in campaign.fields if spec.required == "post" and not spec.in_ping]
    return _lead(campaign, campaign.fields, needed)


def direct_lead(campaign: Campaign) -> Schema:
    """The whole lead at once."""
    needed = [spec.name for spec in campaign.fields if spec.required != "no"]
    return _lead(campaign, campaign.fields, needed)


def field_schema(spec: FieldSpec, *, optional: bool) -> Schema:
    """One field. Where it is optional a null will do: it is a field left out."""
    sentence, forms, example = _KINDS[spec.type]
    if spec.type == "choice":
        sentence, example = f"One of {', '.join(spec.choices)}, in any case.", spec.choices[0]
        forms = [{"enum": list(spec.choices)}, *forms]
    elif spec.type == "text":
        sentence += f" At most {counted(spec.max_length or DEFAULT_MAX_LENGTH, 'character')}."
    sentence += _said_of_bounds(spec)
    if spec.pii:
        sentence += " Names a person: goes with the post, sealed at rest."
    forms = [_bounded(spec, form) for form in forms]
    if optional:
        forms.append({"type": "null"})
    shape = forms[0] if len(forms) == 1 else {"anyOf": forms}
    return {**shape, "description": sentence, "examples": [_within(spec, example)]}


def _lead(campaign: Campaign, fields: Iterable[FieldSpec], needed: Sequence[str]) -> Schema:
    schema: Schema = {
        "type": "object",
        "maxProperties": max(MOST_KEYS, len(campaign.fields)),
        "properties": {spec.name: field_schema(spec, optional=spec.name not in needed) for spec in fields},
    }
    if needed:
        schema["required"] = list(needed)
    if campaign.unknown_fields == "reject":
        schema["additionalProperties"] = {"type": "null"}  # a null is a field left out, whatever its name
    return schema


def _or_its_digest(schema: Schema) -> Schema:
    """The field as a ping may carry it: only keyed hashes of it go to buyers."""
    forms = schema.get("anyOf") or [{key: schema[key] for key in ("type", "pattern") if key in schema}]
    return {
        "anyOf": [*forms, {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}],
        "description": "The value, or its SHA-256 in hex; a buyer is sent a hash that is that buyer's own.",
        "examples": schema["examples"],
    }


def _said_of_bounds(spec: FieldSpec) -> str:
    given = (("at least", spec.min), ("at most", spec.max))
    bounds = [f"{words} {bound}" for words, bound in given if bound is not None]
    return f" {' and '.join(bounds).capitalize()}." if bounds else ""


def _bounded(spec: FieldSpec, form: Schema) -> Schema:
    if form.get("type") not in ("integer", "number"):
        return form
    given = {"minimum": spec.min, "maximum": spec.max}
    return form | {word: bound for word, bound in given.items() if isinstance(bound, int | float)}


def _within(spec: FieldSpec, example: Any) -> Any:
    """An example that keeps to the field's bounds."""
    for bound, beyond in ((spec.min, min), (spec.max, max)):
        if bound is not None and beyond(bound, example) == example:
            example = bound
    return example[: spec.max_length] if isinstance(example, str) else example
