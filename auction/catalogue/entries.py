"""Reads one entry of a file: a node of YAML into a struct of `model`, every mistake told with its line.

Why not `msgspec.convert`: it stops at the first mistake and knows no lines. The walk follows the same types
(`msgspec.inspect`), so a field added to the model is read here without a change.

A scalar is resolved by the type that is wanted: `NO` is a place in a list of text, `no` is false for a flag,
`01234` is a zip code. An empty value (`name:`, `caps: ~`) is as if its key were not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec
import msgspec.inspect as mi

from auction.catalogue.mistakes import Mistake, Names, Path, show_path
from auction.catalogue.yaml_source import (
    Items,
    Node,
    Scalar,
    Table,
    Typed,
    resolve,
    resolve_number,
    resolve_plain,
)
from auction.market.money import Micros, from_wire
from auction.market.shown_urls import in_short

_Struct = TypeVar("_Struct", bound=msgspec.Struct)

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_SECRET_KEYS = frozenset(("keys", "headers", "signing_secret", "secret"))
"""What stands under these is never shown, not even in a mistake."""
_MOST_SHOWN = 40
_NAME = "small letters, digits, `-` and `_`, at most 64, such as `solar-us`"
SHAPES = {
    r"^[a-z0-9][a-z0-9_-]{0,63}\Z": f"a name of {_NAME}",
    r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z": "a name of letters, digits and `_`, at most 64, such as `zip_code`",
    r"^[A-Z0-9]{8}\Z": "a code of 8 capital letters and digits, such as `ACME1234`",
    r"^sha256:[0-9a-f]{64}\Z": "a hash of a key, `sha256:` and 64 hex digits (see `auction keys create`)",
    r"^[1-9][0-9]{0,8}/(second|minute|hour|day)\Z": "a rate such as `60/minute` (or second, hour, day)",
    r"^(100|[1-9]?[0-9])%\Z": "a share in whole percent, such as `20%`",
    r"^[0-9]{1,5}\Z": "a zip code or the digits that several begin with, such as `75001` or `750`",
    r"^[A-Z]{3}\Z": "a currency's code of 3 capital letters, such as `USD`",
}
"""The model's patterns in words."""


class Wrong(msgspec.Struct, frozen=True):
    """Stands for a value that is wrong: its mistake is told. `parts` is what could be read of it by itself, by key."""

    parts: Mapping[str, Any] = MappingProxyType({})


_WRONG = Wrong()
_Reader = Callable[["EntryReader", Node, Path], Any]


class EntryReader:
    """Reads entries of one file, and adds what is wrong with them to `mistakes`.

    An unknown key is a mistake at its line, in the path of what it stands in; `keys_in_paths`: in a path of its own,
    for who knows no lines.
    """

    def __init__(self, source: str, mistakes: list[Mistake], *, keys_in_paths: bool = False) -> None:
        self.source = source
        self.mistakes = mistakes
        self._keys_in_paths = keys_in_paths
        self._text_fields: AbstractSet[str] = frozenset()

    def read(
        self,
        node: Node,
        entry_type: type[_Struct],
        path: Path,
        *,
        text_fields: AbstractSet[str] = frozenset(),
    ) -> _Struct | Wrong:
        """The entry at `node`, or what could be read of it: then its mistakes are told.

        In its filter, the operands of `text_fields` stay text (zip codes, `NO`); the others are resolved as
        YAML 1.2 does.
        """
        self._text_fields = text_fields
        entry: _Struct | Wrong = _reader_of(entry_type)(self, node, path)
        return entry

    def wrong(self, node: Node, path: Path, error: str) -> Wrong:
        """Tells a mistake at `node`."""
        self.mistakes.append(Mistake(self.source, node.line, show_path(path), error))
        return _WRONG

    def expected(self, node: Node, path: Path, what: str) -> Wrong:
        """Tells that `what` was expected at `node`, and what stands there."""
        return self.wrong(node, path, f"expected {what}, was {_shown(node, path)}")

    def unknown_key(self, key: Scalar, path: Path, known: Names) -> None:
        """Tells a key that there is not, and which it was meant to be."""
        shown, hint = key.text[:_MOST_SHOWN], known.hint(key.text)
        if self._keys_in_paths:
            self.wrong(key, (*path, shown), f"unknown key{hint}")
        else:
            self.wrong(key, path, f"unknown key `{shown}`{hint}")

    def pairs(self, table: Table, path: Path) -> Iterator[tuple[Scalar, Node]]:
        """The pairs of `table`, but for keys that stood before: those are told."""
        lines: dict[str, int] = {}
        for key, value in table.pairs:
            if key.text in lines:
                first = lines[key.text]
                self.wrong(key, (*path, key.text), f"the key stands twice; the first is on line {first}")
            else:
                lines[key.text] = key.line
                yield key, value

    def plain_value(self, node: Node, path: Path, as_text: bool) -> Any:
        """A value whose type only a filter knows (see `read`): text, number, flag, list or dict."""
        if isinstance(node, Scalar):
            value = resolve(node)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return node.text if as_text and is_number else value
        if isinstance(node, Items):
            return [self.plain_value(item, (*path, at), as_text) for at, item in enumerate(node.items)]
        field = node.get("field")
        if isinstance(field, Scalar):
            as_text = field.text in self._text_fields
        return {
            key.text: self.plain_value(value, (*path, key.text), as_text)
            for key, value in self.pairs(node, path)
        }


@cache
def _reader_of(entry_type: type[msgspec.Struct]) -> _Reader:
    info = mi.type_info(entry_type)
    assert isinstance(info, mi.StructType)
    return _struct(info)


def _compile(wanted: mi.Type) -> _Reader:
    """What reads a value of `wanted`. Knows the kinds of types that `model` uses."""
    if isinstance(wanted, mi.UnionType):
        members = [member for member in wanted.types if not isinstance(member, mi.NoneType)]
        return _compile(members[0]) if len(members) == 1 else _number_or_text
    if isinstance(wanted, mi.StrType):
        return _text(wanted.pattern)
    if isinstance(wanted, mi.IntType):
        return _whole_number(wanted.ge, wanted.le)
    if isinstance(wanted, mi.BoolType):
        return _flag
    if isinstance(wanted, mi.LiteralType):
        return _one_of(tuple(map(str, wanted.values)))
    if isinstance(wanted, mi.CustomType) and issubclass(wanted.cls, Micros):
        return _amount(wanted.cls)
    if isinstance(wanted, mi.VarTupleType):
        return _list(_compile(wanted.item_type), wanted.min_length or 0)
    if isinstance(wanted, mi.DictType):
        is_raw = isinstance(wanted.value_type, mi.AnyType)
        return _plain_table if is_raw else _table(_compile(wanted.value_type))
    if isinstance(wanted, mi.StructType):
        return _struct(wanted)
    raise TypeError(f"the catalogue's reader does not know {wanted!r}")


def _text(pattern: str | None) -> _Reader:
    shape = "text" if pattern is None else SHAPES.get(pattern, f"text that matches {pattern}")
    fits = re.compile(pattern).fullmatch if pattern is not None else None

    def read(reader: EntryReader, node: Node, path: Path) -> Any:
        if not isinstance(node, Scalar) or node.is_null or _is_other(node, text=True):
            return reader.expected(node, path, shape)
        if fits is not None and not fits(node.text):
            return reader.expected(node, path, shape)
        return node.text

    return read


def _whole_number(least: int | None, most: int | None) -> _Reader:
    bounds = f" between {least} and {most}" if least is not None else ""

    def read(reader: EntryReader, node: Node, path: Path) -> Any:
        number = resolve_number(node.text) if isinstance(node, Scalar) and node.plain else None
        if not isinstance(number, int) or not (least is None or most is None or least <= number <= most):
            return reader.expected(node, path, f"a whole number{bounds}")
        return number

    return read


def _number_or_text(reader: EntryReader, node: Node, path: Path) -> Any:
    if not isinstance(node, Scalar) or node.is_null:
        return reader.expected(node, path, "text or a number")
    number = resolve_number(node.text) if node.plain else None
    if number is None and _is_other(node, text=True):
        return reader.expected(node, path, "text or a number")
    return node.text if number is None else number


def _flag(reader: EntryReader, node: Node, path: Path) -> Any:
    flag = _BOOLEANS.get(node.text.lower()) if isinstance(node, Scalar) and node.plain else None
    return reader.expected(node, path, "true or false") if flag is None else flag


def _one_of(choices: tuple[str, ...]) -> _Reader:
    names = Names(choices)
    listed = ", ".join(f"`{choice}`" for choice in choices[:-1]) + f" or `{choices[-1]}`"

    def read(reader: EntryReader, node: Node, path: Path) -> Any:
        if isinstance(node, Scalar) and node.text in names:
            return node.text
        return reader.expected(node, path, listed)

    return read


def _amount(kind: type[Micros]) -> _Reader:
    def read(reader: EntryReader, node: Node, path: Path) -> Any:
        if not isinstance(node, Scalar) or _is_other(node, text=False):
            return reader.expected(node, path, "an amount such as 25.00")
        try:
            return kind(from_wire(node.text, kind.most_micros))
        except ValueError as error:
            return reader.wrong(node, path, f"{error}, was {_shown(node, path)}")

    return read


def _list(read_item: _Reader, least: int) -> _Reader:
    def read(reader: EntryReader, node: Node, path: Path) -> Any:
        if not isinstance(node, Items):
            return reader.expected(node, path, "a list, such as [a, b]")
        if len(node.items) < least:
            return reader.wrong(node, path, "is empty: leave the key out where all are meant")
        items = [read_item(reader, item, (*path, at)) for at, item in enumerate(node.items)]
        return _WRONG if any(isinstance(item, Wrong) for item in items) else tuple(items)

    return read


def _plain_table(reader: EntryReader, node: Node, path: Path) -> Any:
    if not isinstance(node, Table):
        return reader.expected(node, path, "keys and values, such as {field: state, in: [TX]}")
    return reader.plain_value(node, path, as_text=False)


def _table(read_value: _Reader) -> _Reader:
    def read(reader: EntryReader, node: Node, path: Path) -> Any:
        if not isinstance(node, Table):
            return reader.expected(node, path, "keys and values, such as {key: value}")
        values = {
            key.text: read_value(reader, value, (*path, key.text)) for key, value in reader.pairs(node, path)
        }
        return _WRONG if any(isinstance(value, Wrong) for value in values.values()) else values

    return read


def _struct(wanted: mi.StructType) -> _Reader:
    fields = {field.encode_name: (field.name, _compile(field.type)) for field in wanted.fields}
    required = tuple(field.encode_name for field in wanted.fields if field.required)
    example = ", ".join(f"{key}: ..." for key in required or tuple(fields)[:2])
    known = Names(fields)

    def read(reader: EntryReader, node: Node, path: Path) -> Any:
        if not isinstance(node, Table):
            return reader.expected(node, path, f"keys and values, such as {{{example}}}")
        mistakes_before = len(reader.mistakes)
        values: dict[str, Any] = {}
        seen = set()
        for key, value in reader.pairs(node, path):
            found = fields.get(key.text)
            if found is None:
                reader.unknown_key(key, path, known)
            elif not (isinstance(value, Scalar) and value.is_null):
                attribute, read_value = found
                seen.add(key.text)
                values[attribute] = read_value(reader, value, (*path, key.text))
        for name in required:
            if name not in seen:
                reader.wrong(node, (*path, name), "this key is required and missing")
        if len(reader.mistakes) == mistakes_before:
            return wanted.cls(**values)
        return Wrong({key: value for key, value in values.items() if not isinstance(value, Wrong)})

    return read


def _is_other(scalar: Scalar, *, text: bool) -> bool:
    """Whether JSON has something else where `text` (or a number) is wanted. In a file, either may be written so."""
    return isinstance(scalar, Typed) and scalar.plain == text


def _shown(node: Node, path: Path) -> str:
    """What stands at `node`, for a mistake: short, and nothing that is secret."""
    if not _SECRET_KEYS.isdisjoint(path):
        return "something else (not shown: it is secret)"
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Table):
        return "keys and values"
    if node.is_null:
        return "nothing"
    text = (
        in_short(node.text) if "://" in node.text else node.text
    )  # also in a wrong place a URL has its secrets
    short = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
    if isinstance(resolve_plain(node.text), str):
        return json.dumps(short, ensure_ascii=False)
    return short if node.plain else f'the text "{short}"; take the quotes away'
