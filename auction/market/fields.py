"""The fields of a campaign's leads: a reader for each, and a decoder for the whole.

The decoder walks its own fields, not the sender's keys, so the same lead always decodes to the same dict in
the same order: what is sent to buyers and what a repeated ping is recognised by do not depend on how a seller
sorts its keys. Keys that are left over are looked at only if there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

import msgspec

from auction.counted import counted
from auction.errors import FieldMistake
from auction.market import values
from auction.market.hashing import DIGEST, HASHABLE, digest_of
from auction.market.model import FieldSpec, FieldType, FieldValue
from auction.market.values import FieldError, read_text

__all__ = ["Changed", "FieldError", "LeadDecoder", "PostDecoded", "Reader", "check_spec", "compile_field"]

Reader = Callable[[object], FieldValue]
"""Gives the normalised value of what was sent, or raises `FieldError`."""

DEFAULT_MAX_LENGTH = 256
MOST_KEYS = 500
"""A lead with more keys than this is refused whole."""
_MOST_GUESSES = 5
"""A guess at what an unknown field was meant to be costs a millisecond; the rest are only named."""

_READERS: dict[FieldType, Reader] = {
    "integer": values.read_integer,
    "number": values.read_number,
    "boolean": values.read_boolean,
    "date": values.read_date,
    "us_state": values.read_state,
    "us_zip": values.read_zip,
    "phone": values.read_phone,
    "email": values.read_email,
    "url": values.read_url,
}
ORDERED_TYPES: frozenset[FieldType] = frozenset({"integer", "number", "date"})
"""The types whose values have an order: `min`, `max` and the filters' `at_least` are for these."""


def compile_field(spec: FieldSpec) -> Reader:
    """The reader of this field's values. Raises `ValueError` for a spec that `check_spec` refuses."""
    if spec.type == "text":
        return _text(spec.max_length or DEFAULT_MAX_LENGTH)
    if spec.type == "choice":
        return _choice(spec.choices)
    read = _READERS[spec.type]
    if spec.type not in ORDERED_TYPES or (spec.min is None and spec.max is None):
        return read
    return _bounded(
        read,
        None if spec.min is None else read(spec.min),
        None if spec.max is None else read(spec.max),
    )


def _text(max_length: int) -> Reader:
    def read(value: object) -> str:
        text = read_text(value)
        if len(text) > max_length:
            raise FieldError(f"expected text of at most {counted(max_length, 'character')}")
        return text

    return read


def _choice(choices: Sequence[str]) -> Reader:
    spellings = {choice.casefold(): choice for choice in choices} | {choice: choice for choice in choices}
    shown = ", ".join(choices[:12]) + (", …" if len(choices) > 12 else "")

    def read(value: object) -> str:
        if isinstance(value, str):
            spelling = spellings.get(value) or spellings.get(value.strip().casefold())
            if spelling is not None:
                return spelling
        raise FieldError(f"expected one of {shown}")

    return read


def _bounded(read: Reader, low: Any, high: Any) -> Reader:
    if low is None:
        expected = f"expected at most {high}"
    elif high is None:
        expected = f"expected at least {low}"
    else:
        expected = f"expected {low} to {high}"

    def read_within(value: object) -> FieldValue:
        normal: Any = read(value)
        if (low is not None and normal < low) or (high is not None and normal > high):
            raise FieldError(expected)
        return normal  # type: ignore[no-any-return]

    return read_within


def check_spec(spec: FieldSpec) -> list[str]:
    """What is wrong with a field's own description, a sentence each; empty if nothing is."""
    wrong = []
    if spec.type == "choice":
        if not spec.choices:
            wrong.append("a choice needs choices: list them")
        if any(not choice.strip() or choice != choice.strip() for choice in spec.choices):
            wrong.append("a choice may not be empty, nor begin or end with a space")
        if len({choice.casefold() for choice in spec.choices}) < len(spec.choices):
            wrong.append("choices must differ by more than upper and lower case")
    elif spec.choices:
        wrong.append(f"choices are for type choice, not for {spec.type}")
    if spec.max_length is not None and spec.type != "text":
        wrong.append(f"max_length is for type text, not for {spec.type}")
    if spec.pii and spec.required == "ping":
        wrong.append("a field that names a person cannot be required at ping: write required: post")
    if spec.pii and spec.ping:
        wrong.append("a field that names a person cannot go into a ping: leave out ping: true")
    if spec.ping_as == "hash" and not spec.pii:
        wrong.append("ping_as: hash is for fields that name a person: write pii: true, or ping: true instead")
    if spec.ping_as == "hash" and spec.type not in HASHABLE:
        wrong.append(f"ping_as: hash is for phone, email and text, not for {spec.type}")
    return wrong + _check_bounds(spec)


def _check_bounds(spec: FieldSpec) -> list[str]:
    given = {name: bound for name, bound in (("min", spec.min), ("max", spec.max)) if bound is not None}
    if spec.type not in ORDERED_TYPES:
        return [f"{name} is for integer, number and date, not for {spec.type}" for name in given]
    read = _READERS[spec.type]
    wrong = []
    bounds: list[Any] = []
    for name, bound in given.items():
        try:
            bounds.append(read(bound))
        except FieldError as error:
            wrong.append(f"{name}: {error}")
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        wrong.append("min is above max")
    return wrong


class Changed(msgspec.Struct, frozen=True):
    """A ping field that the post says differently; `was` is None if the ping did not have it."""

    field: str
    was: FieldValue | None
    now: FieldValue


class PostDecoded(msgspec.Struct, frozen=True):
    """A post's lead: `values` are the ping's with the post's over them, whole only if `mistakes` is empty."""

    values: dict[str, FieldValue]
    mistakes: list[FieldMistake]
    changed: tuple[Changed, ...]


class LeadDecoder:
    """Decodes the leads of one campaign. A null is a field left out."""

    __slots__ = ("_at_ping", "_hashed", "_in_ping", "_ping", "_post", "_reject_unknown", "_specs")

    def __init__(self, fields: Sequence[FieldSpec], unknown: Literal["reject", "ignore"] = "reject") -> None:
        self._specs = {spec.name: spec for spec in fields}
        self._reject_unknown = unknown == "reject"
        self._in_ping = frozenset(spec.name for spec in fields if spec.in_ping)
        readers = [(spec, compile_field(spec)) for spec in fields]
        self._hashed = [(spec.name, spec.type, read) for spec, read in readers if spec.hashed_in_ping]
        self._at_ping = self._in_ping | {name for name, _, _ in self._hashed}
        self._ping = [(spec.name, spec.required == "ping", read) for spec, read in readers if spec.in_ping]
        self._post = [(spec.name, spec.required != "no", read) for spec, read in readers]

    def ping(self, lead: Mapping[str, object]) -> tuple[dict[str, FieldValue], list[FieldMistake]]:
        """The values of a ping's lead in the order of the campaign's fields, and all that is wrong with it.

        A field that is known but not marked for ping is a mistake even where unknown fields are ignored: a
        seller that names a person too early must hear of it (P7).
        """
        values: dict[str, FieldValue] = {}
        mistakes: list[FieldMistake] = []
        found = 0
        for name, required, read in self._ping:
            raw = lead.get(name)
            if raw is not None:
                found += 1
                try:
                    values[name] = read(raw)
                except FieldError as error:
                    mistakes.append(FieldMistake(f"lead.{name}", str(error)))
            elif required:
                mistakes.append(FieldMistake(f"lead.{name}", "is required"))
        if found != len(lead):
            mistakes += self._others(lead, self._at_ping)
        return values, mistakes

    @property
    def hashes(self) -> bool:
        """Whether this campaign has fields that go into a ping as a hash."""
        return bool(self._hashed)

    def hashed(self, lead: Mapping[str, object]) -> tuple[dict[str, str], list[FieldMistake]]:
        """The digests of a ping's fields that go out as hashes; each may be left out, or come as its digest.

        A digest is as good as the value it was made of: keep it no longer than the auction, and never in clear.
        """
        digests: dict[str, str] = {}
        mistakes: list[FieldMistake] = []
        for name, kind, read in self._hashed:
            raw = lead.get(name)
            if raw is None:
                continue
            if isinstance(raw, str) and DIGEST.fullmatch(raw):
                digests[name] = raw.lower()
                continue
            try:
                digests[name] = digest_of(kind, read(raw))
            except FieldError as error:
                mistakes.append(FieldMistake(f"lead.{name}", f"{error}, or its SHA-256 as 64 hex characters"))
        return digests, mistakes

    def digests(self, values: Mapping[str, FieldValue], names: Iterable[str]) -> dict[str, str]:
        """The digests of these fields in a decoded lead; one that it does not have is left out."""
        return {name: digest_of(self._specs[name].type, values[name]) for name in names if name in values}

    def post(self, lead: Mapping[str, object], known: Mapping[str, FieldValue]) -> PostDecoded:
        """The full lead: `known` are the normalised values of its ping, which a post need not repeat.

        What the post says differently is in `changed`, also a ping field that the ping left out: the buyers
        bid without it.
        """
        values: dict[str, FieldValue] = {}
        mistakes: list[FieldMistake] = []
        changed: list[Changed] = []
        found = 0
        for name, required, read in self._post:
            raw = lead.get(name)
            if raw is None:
                if name in known:
                    values[name] = known[name]
                elif required:
                    mistakes.append(FieldMistake(f"lead.{name}", "is required"))
                continue
            found += 1
            try:
                value = values[name] = read(raw)
            except FieldError as error:
                mistakes.append(FieldMistake(f"lead.{name}", str(error)))
                continue
            if name in self._in_ping and known.get(name) != value:
                changed.append(Changed(name, known.get(name), value))
        if found != len(lead):
            mistakes += self._others(lead, self._specs.keys())
        return PostDecoded(values, mistakes, tuple(changed))

    def _others(self, lead: Mapping[str, object], expected: Iterable[str]) -> list[FieldMistake]:
        """What is wrong with the keys that are not expected at this step."""
        if len(lead) > MOST_KEYS:
            return [FieldMistake("lead", f"expected at most {MOST_KEYS} fields")]
        mistakes = []
        guesses = 0
        for name in lead.keys() - set(expected):
            if lead[name] is None:
                continue
            spec = self._specs.get(name)
            if spec is not None:
                why = "names a person" if spec.pii else "is not part of a ping"
                mistakes.append(FieldMistake(f"lead.{name}", f"{why}: send it with the post"))
            elif self._reject_unknown:
                near = get_close_matches(name[:64], self._specs, 1) if guesses < _MOST_GUESSES else []
                guesses += 1
                hint = f": did you mean {near[0]}?" if near else ""
                mistakes.append(FieldMistake(f"lead.{name[:64]}", f"is not a field of this campaign{hint}"))
        return sorted(mistakes, key=lambda mistake: mistake.field)
