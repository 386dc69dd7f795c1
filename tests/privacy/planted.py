"""Leads whose every value can be found again wherever it turns up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from auction.market.fields import compile_field
from auction.market.hashing import HASHABLE, digest_of
from auction.market.model import FieldSpec, FieldValue


def planted_value(spec: FieldSpec, number: int) -> FieldValue:
    """A value of this field that no other field of a lead has, and that is read as itself."""
    word = f"zq{spec.name[:8].lower()}x{number}"
    if spec.type == "text":
        return word[: spec.max_length or 64]
    if spec.type == "choice":
        return spec.choices[number % len(spec.choices)]
    plain: dict[str, FieldValue] = {
        "integer": 7_000_000 + number,
        "number": 7_000_000.5 + number,
        "boolean": True,
        "date": f"1934-07-{1 + number % 28:02d}",
        "us_state": "WY",
        "us_zip": f"{82_000 + number % 900:05d}",
        "phone": f"+1307555{1_000 + number % 8_999:04d}",
        "email": f"{word}@planted.example",
        "url": f"https://planted.example/{word}",
    }
    value = plain[spec.type]
    if spec.type in ("integer", "number") and (spec.min is not None or spec.max is not None):
        bound = spec.min if spec.min is not None else spec.max
        assert isinstance(bound, int | float)
        value = type(value)(bound)
    if spec.type == "date" and spec.min is not None:
        value = str(spec.min)
    return compile_field(spec)(value)


def planted_lead(fields: Iterable[FieldSpec]) -> dict[str, FieldValue]:
    """A whole lead."""
    return {spec.name: planted_value(spec, number) for number, spec in enumerate(fields, start=1)}


def tells_number(text: str, phone: str) -> bool:
    """Whether the text has the last seven digits of this phone number, however they are set apart.

    Fewer digits stand in a random id or a time by chance, some days.
    """
    digits = re.sub(r"\D", "", phone)[-7:]
    return re.search(r"[\s().-]*".join(digits), text) is not None


def traces_of(spec: FieldSpec, value: FieldValue) -> list[bytes]:
    """What must not be found anywhere if this field names a person: it, its spellings, its plain hashes."""
    if spec.type not in ("text", "phone", "email", "url"):
        return []  # a year or a yes can be anywhere by chance: only a field's name tells
    text = str(value)
    found = [text, text.upper()]
    if spec.type == "phone":
        found.append(text[2:])
    found.append(sha256(text.encode()).hexdigest())
    if spec.type in HASHABLE:
        found.append(digest_of(spec.type, value))
    return [trace.encode() for trace in found]
