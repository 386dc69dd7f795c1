"""The catalogue's entries as JSON Schema: what the reader takes, by the same types (`catalogue.entries`).

Wider than the rules between entries, never narrower than the reader. A null is a key left out.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import msgspec.inspect as mi

from auction.api.document.fields import Schema
from auction.api.document.parts import ref
from auction.catalogue.documents import KINDS, Kind
from auction.catalogue.secrets import KEPT, SECRET_KEYS, URL_KEYS
from auction.market.money import MICROS, Micros

_NULL: Final[Schema] = {"type": "null"}
_URL: Final = (
    f"Of its query the names are shown, and `{KEPT}` for the values (but for macros): sent back it means what is "
    "there, as long as the URL stays as it is up to the `?`."
)
_SECRET: Final = f"Never shown: `{KEPT}` stands for it, and sent back means what is there."
_OUR_WORDS: Final = re.compile(r" \(P[0-9]+\)|See `[^`]+`\.?")
"""What a docstring tells those who work on the house, and nobody else."""


def entry_name(kind: Kind) -> str:
    """The name of an entry's schema."""
    return KINDS[kind].__name__


@cache
def schemas() -> dict[str, Schema]:
    """Every kind of entry, and what they are made of, by name."""
    found: dict[str, Schema] = {}
    for entry in KINDS.values():
        info = mi.type_info(entry)
        assert isinstance(info, mi.StructType)
        _struct(info, found)
    return found


def _struct(info: mi.StructType, found: dict[str, Schema]) -> Schema:
    name = info.cls.__name__
    if name not in found:
        schema: Schema = {"title": name, "type": "object", "description": _told(info.cls)}
        found[name] = schema
        schema["properties"] = {field.encode_name: _property(field, found) for field in info.fields}
        required = [field.encode_name for field in info.fields if field.required]
        if required:
            schema["required"] = required
        schema["additionalProperties"] = False
    return ref(name)


def _property(field: mi.Field, found: dict[str, Schema]) -> Schema:
    schema = _schema(field.type, found)
    if not field.required:
        forms = schema.get("anyOf", [schema])
        schema = {"anyOf": [*forms, _NULL] if _NULL not in forms else forms}
    if field.encode_name in (*SECRET_KEYS, "headers"):
        schema["description"] = _SECRET
    elif field.encode_name in URL_KEYS:
        schema["description"] = _URL
    return schema


def _schema(wanted: mi.Type, found: dict[str, Schema]) -> Schema:
    """Knows the kinds of types that the model uses."""
    if isinstance(wanted, mi.UnionType):
        return {"anyOf": [_schema(member, found) for member in wanted.types]}
    if isinstance(wanted, mi.StrType):
        pattern = wanted.pattern
        return {"type": "string"} | ({} if pattern is None else {"pattern": pattern.replace(r"\Z", "$")})
    if isinstance(wanted, mi.IntType):
        bounds = {"minimum": wanted.ge, "maximum": wanted.le}
        return {"type": "integer"} | {name: bound for name, bound in bounds.items() if bound is not None}
    if isinstance(wanted, mi.LiteralType):
        return {"enum": list(wanted.values)}
    if isinstance(wanted, mi.CustomType) and issubclass(wanted.cls, Micros):
        return {"type": "number", "minimum": 0, "maximum": wanted.cls.most_micros // MICROS}
    if isinstance(wanted, mi.VarTupleType):
        return {"type": "array", "items": _schema(wanted.item_type, found)}
    if isinstance(wanted, mi.DictType):
        raw = isinstance(wanted.value_type, mi.AnyType)
        return {"type": "object", "additionalProperties": True if raw else _schema(wanted.value_type, found)}
    if isinstance(wanted, mi.StructType):
        return _struct(wanted, found)
    return _PLAIN[type(wanted)]


_PLAIN: Final[dict[type[mi.Type], Schema]] = {
    mi.BoolType: {"type": "boolean"},
    mi.FloatType: {"type": "number"},
    mi.NoneType: _NULL,
}


def _told(cls: type[Any]) -> str:
    return " ".join(_OUR_WORDS.sub("", cls.__doc__ or "").split())
