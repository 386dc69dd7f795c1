"""By which fields the entries of a section can be listed, and how their values are written in a URL."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec.inspect as mi

from auction.api.listing import OneOf, Reading, Value, read_flag, read_text, read_whole
from auction.catalogue.documents import KINDS, Kind, keys_of
from auction.catalogue.secrets import SECRET_KEYS

_THERE = "(there)"
"""Stands for an object: a list can be asked for those that have one, and not for what is in it."""


@cache
def fields_of(kind: Kind) -> Mapping[str, Reading]:
    """Every top-level key of an entry. A list of names has a value if it holds it; of an object, and of what is secret,
    only can be asked whether it is there (`filter[$ne]=null`)."""
    info = mi.type_info(KINDS[kind])
    assert isinstance(info, mi.StructType)
    return {field.encode_name: _reading(field.encode_name, field.type) for field in info.fields}


def comparable(kind: Kind, document: Mapping[str, Any], asked: frozenset[str]) -> dict[str, Any]:
    """The fields that are asked for, as they are compared; what is left out is at its default."""
    return {
        name: _compared(document.get(name, default)) for name, default in _defaults(kind) if name in asked
    }


@cache
def _defaults(kind: Kind) -> tuple[tuple[str, Any], ...]:
    return tuple((name, default) for _, name, default in keys_of(KINDS[kind]))


def _compared(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_THERE if isinstance(item, dict) else item for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return _THERE if value else None


def _reading(name: str, kind: mi.Type) -> Reading:
    if name in SECRET_KEYS:
        return _read_null
    if isinstance(kind, mi.UnionType):
        members = [member for member in kind.types if not isinstance(member, mi.NoneType)]
        return _reading(name, members[0]) if len(members) == 1 else _read_number_or_text
    if isinstance(kind, mi.LiteralType):
        return OneOf(map(str, kind.values))
    if isinstance(kind, mi.StrType):
        return read_text
    if isinstance(kind, mi.IntType):
        return read_whole
    if isinstance(kind, mi.BoolType):
        return read_flag
    if isinstance(kind, mi.VarTupleType):
        return _reading(name, kind.item_type)
    return _read_null


def _read_number_or_text(text: str) -> Value:
    """Such as a margin: `20%`, or 5.00."""
    try:
        return float(text)
    except ValueError:
        return read_text(text)


def _read_null(text: str) -> Value:
    if text != "null":
        raise ValueError("expected null: it can be asked whether it is there, not what it is")
    return None
