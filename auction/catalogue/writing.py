"""Writes a catalogue as people write it: entry after entry, small things on one line, money as 25.00."""

from __future__ import annotations

from decimal import Decimal

import yaml

from auction.catalogue.documents import plain_keys
from auction.catalogue.yaml_source import resolve_plain
from auction.market.model import Catalogue
from auction.market.money import MICROS

_WIDTH = 110
_ENDLESS = 1_000_000_000
_LONG_LISTS = frozenset(("fields",))
"""Keys of an entry whose lists have one item a line."""
_TEXT, _LIST, _TABLE = (f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))
_YAML_1_1 = yaml.resolver.Resolver()


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Resolves nothing: whether a text needs quotes is decided in `_scalar`."""

    yaml_implicit_resolvers: dict[str, object] = {}  # noqa: RUF012  (PyYAML reads it)


def write_catalogue(catalogue: Catalogue) -> str:
    """YAML that `read_catalogue` reads back to an equal catalogue; entries and keys keep their order."""
    keys = plain_keys(catalogue, _amount)
    root = _block_table({key: _section(value) for key, value in keys.items()})
    written = yaml.serialize(root, Dumper=_Dumper, width=_WIDTH, allow_unicode=True)
    assert isinstance(written, str)
    return written


def write_line(value: object) -> str:
    """Plain dicts, lists, texts, numbers and flags as YAML of one line: `{field: state, in: [TX, OK]}`."""
    written = yaml.serialize(_flow(value), Dumper=_Dumper, width=_ENDLESS, allow_unicode=True)
    assert isinstance(written, str)
    line = written.removesuffix("...\n").strip()
    # libyaml lets some through that steer a terminal (U+202E writes backwards); they only stand in quotes here
    return "".join(char if char.isprintable() else f"\\U{ord(char):08X}" for char in line)


def _section(value: object) -> yaml.Node:
    if not isinstance(value, list):
        return _flow(value)
    return yaml.SequenceNode(_LIST, [_entry(entry) for entry in value], flow_style=False)


def _entry(keys: dict[str, object]) -> yaml.Node:
    return _block_table(
        {key: _lines(value) if key in _LONG_LISTS else _flow(value) for key, value in keys.items()}
    )


def _lines(value: object) -> yaml.Node:
    assert isinstance(value, list)
    return yaml.SequenceNode(_LIST, [_flow(item) for item in value], flow_style=not value)


def _block_table(nodes: dict[str, yaml.Node]) -> yaml.Node:
    pairs = [(_scalar(key), node) for key, node in nodes.items()]
    return yaml.MappingNode(_TABLE, pairs, flow_style=not pairs)


def _flow(value: object) -> yaml.Node:
    """All on one line, as far as it goes."""
    if isinstance(value, dict):
        pairs = [(_scalar(key), _flow(item)) for key, item in value.items()]
        return yaml.MappingNode(_TABLE, pairs, flow_style=True)
    if isinstance(value, list):
        return yaml.SequenceNode(_LIST, [_flow(item) for item in value], flow_style=True)
    return _scalar(value)


def _scalar(value: object) -> yaml.ScalarNode:
    """A number or flag as it is; a text with quotes where it could be taken for something else.

    Something else by our rules or by those of YAML 1.1, so that other programs read the file alike.
    """
    if value is None or isinstance(value, bool):
        return yaml.ScalarNode(_TEXT, "null" if value is None else str(value).lower())
    if not isinstance(value, str):
        mantissa, exponent, power = str(value).partition("e")
        if exponent and "." not in mantissa:  # YAML 1.1 knows no number by its exponent alone
            mantissa += ".0"
        return yaml.ScalarNode(_TEXT, mantissa + exponent + power)
    elsewhere = _YAML_1_1.resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    is_plain = isinstance(resolve_plain(value), str) and elsewhere == _TEXT and value.isprintable()
    return yaml.ScalarNode(_TEXT, value, style=None if is_plain else '"')


def _amount(micros: int) -> Decimal:
    exact = Decimal(micros) / MICROS
    return exact.quantize(Decimal("0.01")) if micros % 10_000 == 0 else exact.normalize()
