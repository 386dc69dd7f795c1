"""Text that may name a person where no text should: what others write into ids and reasons. Pure.

An id that a seller or buyer makes up is kept in clear, because somebody will look for it. So it may not be an email
or a phone, and a buyer's words about a lead may not repeat the lead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from auction.market.model import FieldValue

_NAMING = re.compile(
    r"[^\s@]@[^\s@]+\.[A-Za-z]{2}"  # an email, anywhere in it
    r"|(?<![0-9A-Za-z])(?:\+?1[-. ]?)?\(?[2-9][0-9]{2}\)?[-. ]?[2-9][0-9]{2}[-. ]?[0-9]{4}(?![0-9A-Za-z])"
    r"|^\+[1-9][0-9 .()-]{7,}$"  # a phone of elsewhere
)
_PARTS = re.compile(r"[^\W_]+")
_LEAST_WORD = 2
_LEAST_NUMBER = 5
"""Shorter ones are in too many ids by chance."""
_LEAST_RUN = 6
_PHONE_DIGITS = 10


def names_somebody(text: str) -> bool:
    """Whether an id holds what reads as an email address or a phone number.

    An id of ten digits can be a phone by chance; one that is longer, or has letters right beside them, is none.
    """
    return _NAMING.search(text) is not None


def repeats(text: str, values: Iterable[FieldValue]) -> bool:
    """Whether a text holds one of these values of a lead, or a telling part of one, however it is written."""
    parts = {part.casefold() for part in _PARTS.findall(text)}
    run = "".join(_PARTS.findall(text)).casefold()
    return any(_is_in(str(value), parts, run) for value in values if not isinstance(value, bool))


def _is_in(value: str, parts: set[str], run: str) -> bool:
    of_value = [part.casefold() for part in _PARTS.findall(value)]
    if any(
        len(part) >= (_LEAST_NUMBER if part.isdigit() else _LEAST_WORD) and part in parts for part in of_value
    ):
        return True
    joined = "".join(of_value)
    if joined.isdigit():
        joined = joined[-_PHONE_DIGITS:]
    return len(joined) >= _LEAST_RUN and joined in run
