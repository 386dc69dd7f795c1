"""Lists out of the ledger, as they are asked for in a URL: conditions, pages, and the time from `since` to `until`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

from auction.api.listing import Condition, Listing, Reading, Value, read_listing
from auction.api.said import MOST_TEXT
from auction.errors import FieldMistake, SellerError
from auction.ledger.conditions import Asked, Wanted

MOST_SKIP = 10_000
"""Farther back, ask for an earlier time."""


def read_word(text: str) -> Value:
    """An id or a word, or `null`."""
    if len(text) > MOST_TEXT or not text.isprintable():
        raise ValueError(f"expected at most {MOST_TEXT} characters, no control characters")
    return None if text == "null" else text


def read_time(zone: tzinfo) -> Reading:
    """A time as milliseconds: `2026-01-31T08:00:00Z`; without an offset, and a day alone, in `zone`."""

    def read(text: str) -> Value:
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=zone)
            at_ms = int(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            raise ValueError("expected a time such as 2026-01-31T08:00:00Z, or a day") from None
        return at_ms

    return read


def read_asked(
    pairs: Sequence[tuple[str, str]],
    columns: Mapping[str, tuple[str, Reading]],
    zone: tzinfo,
) -> Asked:
    """What is asked for of a table. `columns`: for each name in a URL the column, and how its values are read.

    Raises `SellerError` 400 or 422 that names every parameter that is wrong.
    """
    times = {"since": read_time(zone), "until": read_time(zone)}
    listing = read_listing(pairs, {name: reading for name, (_, reading) in columns.items()} | times)
    mistakes = [
        FieldMistake(f"{one.field}[{one.operator}]", "a time has no operators")
        for one in listing.conditions
        if one.field in times and one.operator != "$eq"
    ]
    if listing.skip > MOST_SKIP:
        mistakes.append(FieldMistake("$skip", f"expected at most {MOST_SKIP}; ask `until` an earlier time"))
    if mistakes:
        raise SellerError(400, "bad_query", "Some parameters are wrong.", mistakes=mistakes)
    return Asked(
        tuple(
            Wanted(columns[one.field][0], one.values, one.operator in ("$ne", "$nin"))
            for one in listing.conditions
            if one.field not in times
        ),
        listing.limit,
        listing.skip,
        _time(listing, "since"),
        _time(listing, "until"),
    )


def _time(listing: Listing, name: str) -> int | None:
    found: list[Condition] = [one for one in listing.conditions if one.field == name]
    return int(str(next(iter(found[0].values)))) if found else None
