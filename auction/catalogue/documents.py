"""Entries as the ledger keeps them: JSON documents of the same shape as the file's entries.

Money is decimals, what is at its default is left out, so a default that changes later changes with it.
`from_document(kind, to_document(entry)) == entry`, always.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import msgspec

from auction.catalogue.mistakes import BAD_CATALOGUE
from auction.errors import OperatorError
from auction.market.entry import Entry
from auction.market.model import Admin, Buyer, Campaign, House, Order, Seller, SuppressionList
from auction.market.money import Micros, from_wire, to_wire
from auction.market.routes import LeadRoute, Source, Team

Kind = Literal[
    "exchange",
    "campaign",
    "seller",
    "buyer",
    "order",
    "suppression_list",
    "team",
    "source",
    "lead_route",
    "admin",
]
KINDS: dict[Kind, type[Entry]] = {
    "exchange": House,
    "campaign": Campaign,
    "seller": Seller,
    "buyer": Buyer,
    "order": Order,
    "suppression_list": SuppressionList,
    "team": Team,
    "source": Source,
    "lead_route": LeadRoute,
    "admin": Admin,
}
SECTIONS: dict[str, Kind] = {
    "campaigns": "campaign",
    "sellers": "seller",
    "buyers": "buyer",
    "orders": "order",
    "suppression_lists": "suppression_list",
    "teams": "team",
    "sources": "source",
    "lead_routes": "lead_route",
    "admins": "admin",
}
"""The lists of a catalogue, each of one kind; in the order in which they are read."""


def to_document(entry: Entry) -> dict[str, object]:
    """The entry as plain dicts, lists, texts, numbers and flags, ready for JSON."""
    return plain_keys(entry, to_wire)


def from_document(kind: Kind, document: object) -> Entry:
    """The entry of a document that `to_document` wrote. Raises `OperatorError` at the first thing wrong.

    The types only: the rules between entries are `check`'s.
    """
    try:
        return msgspec.convert(document, KINDS[kind], dec_hook=_read_custom)
    except msgspec.ValidationError as error:
        raise OperatorError(BAD_CATALOGUE, f"{kind}: {error}") from None


def plain_keys(entry: msgspec.Struct, show_money: Callable[[int], object]) -> dict[str, object]:
    """The keys of an entry as a file has them, without those at their default."""
    keys: dict[str, object] = {}
    for attribute, key, default in keys_of(type(entry)):
        value = getattr(entry, attribute)
        if value != default:
            keys[key] = plain(value, show_money)
    return keys


def plain(value: object, show_money: Callable[[int], object]) -> object:
    """A value of an entry as a file has it: structs as dicts, tuples as lists, money as `show_money` says."""
    if isinstance(value, Micros):
        return show_money(value)
    if isinstance(value, msgspec.Struct):
        return plain_keys(value, show_money)
    if isinstance(value, tuple):
        return [plain(item, show_money) for item in value]
    return value


@cache
def keys_of(entry_type: type[msgspec.Struct]) -> tuple[tuple[str, str, object], ...]:
    """Attribute, key in files, and default (`msgspec.NODEFAULT` if it is required) of each field."""
    return tuple(
        (
            field.name,
            field.encode_name,
            field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default,
        )
        for field in msgspec.structs.fields(entry_type)
    )


def _read_custom(wanted: type, value: object) -> Any:
    assert issubclass(wanted, Micros)
    return wanted(from_wire(value, wanted.most_micros))
