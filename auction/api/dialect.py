"""What the doors of other APIs share: a body in the ways that forms and scripts send it, and names by the catalogue.

Such a door reads what its document names, gives the services what they take, and writes the answer in the document's
shape, errors too. It has no rules of its own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from msgspec.structs import replace
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive, Scope

from auction.api.bodies import Bodies
from auction.api.wire import MOST_NAMED, headers_of, read_object
from auction.errors import FieldMistake, SellerError
from auction.market.doors import DoorNames

FORM = b"application/x-www-form-urlencoded"
PARTS = b"multipart/form-data"
_USUAL = "application/json, application/x-www-form-urlencoded or multipart/form-data"
CHARSETS = frozenset({b"utf-8", b"utf8", b"us-ascii", b"iso-8859-1", b"windows-1252"})
"""Of forms in parts. Which codec is looked up must not be a sender's to say: Python remembers every name that it was
asked for, for good, and some codecs (`idna`) take a tenth of a second over a body."""
MOST_TYPE = 512
"""Bytes in the content type of a form in parts: a boundary has 70 at most, and to read a long one takes long. So it is
with what each part says of itself."""
_LONG_PART = re.compile(rb"\ncontent-disposition:[^\r]{%d}" % (MOST_TYPE + 1), re.IGNORECASE)
MOST_PAIRS = 1_000
"""How many names a form or a query may hold."""


async def read_named(
    bodies: Bodies, scope: Scope, receive: Receive, *, query: bool = False
) -> dict[str, Any]:
    """The names and values of a request: JSON, or a form of either kind; with `query`, also those of its URL (the body
    wins).

    A form's and a query's values are text; empty ones are as if not sent. Raises `SellerError`: 400 (also for a
    body that is none of these), 413, 415, 422 for a name given twice.
    """
    headers = headers_of(scope)
    body = await bodies.read(headers.get(b"content-length"), receive)
    kind = headers.get(b"content-type", b"")
    named = read_pairs(scope["query_string"]) if query else {}
    if not body and query:
        return named
    form = kind.split(b";", 1)[0].strip().lower()
    if form == FORM and body.lstrip()[:1] not in (b"{", b"["):
        return named | read_pairs(body)
    if form == PARTS:
        return named | await read_parts(body, kind)
    # curl says "form" of JSON too where nobody told it otherwise
    return named | read_object(body, kind if not kind.startswith(FORM) else None, _USUAL)


def read_pairs(encoded: bytes) -> dict[str, str]:
    """The pairs of a form or a query. Raises `SellerError`: 400 for what is not one, 422 for a name given twice."""
    try:
        pairs = parse_qsl(
            encoded.decode("ascii"), keep_blank_values=False, max_num_fields=MOST_PAIRS, errors="strict"
        )
    except ValueError:
        raise SellerError(400, "bad_form", "The form or query is not URL-encoded, or too long.") from None
    return _each_once(pairs)


async def read_parts(body: bytes, content_type: bytes) -> dict[str, str]:
    """The pairs of a form in parts, as browsers send one that may hold files. Raises `SellerError`: 400 for what is not
    one, 422 for a name given twice, and for a file: none is taken. (A place for one that was left empty is no file.)
    """

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield body

    if len(content_type) > MOST_TYPE:
        raise SellerError(400, "bad_form", f"The content type is above {MOST_TYPE} bytes.")
    _, told = parse_options_header(content_type)
    if told.get(b"charset", b"utf-8").strip().lower() not in CHARSETS:
        raise SellerError(400, "bad_form", "Send the form as UTF-8.")
    if _LONG_PART.search(body) is not None:
        raise SellerError(400, "bad_form", f"The name of a part is above {MOST_TYPE} bytes.")
    headers = Headers({"content-type": content_type.decode("latin-1")})
    parser = MultiPartParser(
        headers, pieces(), max_files=MOST_PAIRS, max_fields=MOST_PAIRS, max_part_size=len(body)
    )
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError):  # the second of older Starlettes
        raise SellerError(400, "bad_form", "The form is not multipart/form-data, or too long.") from None
    pairs, files = [], []
    for name, value in form.multi_items():
        if isinstance(value, str):
            pairs.append((name, value))
        elif value.size or value.filename:
            files.append(FieldMistake(name[:64], "is a file; send text"))
    await form.close()
    if files:
        raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=files[:MOST_NAMED])
    return _each_once([pair for pair in pairs if pair[1]])


def _each_once(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Raises `SellerError` 422 for a name given twice."""
    named = dict(pairs)
    if len(named) < len(pairs):
        seen: set[str] = set()
        twice = {name for name, _ in pairs if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
        mistakes = [FieldMistake(name[:64], "is there twice") for name in sorted(twice)]
        raise SellerError(422, "repeated_key", "Some keys are there more than once.", mistakes=mistakes)
    return named


def to_ours(names: DoorNames, theirs: Mapping[str, Any], usual: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a lead by the campaign's names: as the catalogue maps them, else as is `usual` at this door,
    else as they are called.
    """
    return {names.fields.get(name) or usual.get(name, name): value for name, value in theirs.items()}


def same_fields(names: DoorNames, theirs: Iterable[str], usual: Mapping[str, str]) -> list[FieldMistake]:
    """A mistake for each name that means a field which an earlier one means too."""
    firsts: dict[str, str] = {}
    mistakes = []
    for name in theirs:
        ours = names.fields.get(name) or usual.get(name, name)
        first = firsts.setdefault(ours, name)
        if first != name:
            mistakes.append(
                FieldMistake(name[:64], f"means the same field as {first[:64]}: send one of them")
            )
    return mistakes


def to_theirs(
    names: DoorNames, mistakes: Iterable[FieldMistake], usual: Mapping[str, str], sent: Iterable[str] = ()
) -> list[FieldMistake]:
    """Mistakes in a lead's fields by the names that the sender used (or would, for what is missing)."""
    back = {ours: name for name, ours in usual.items()} | {ours: name for name, ours in names.fields.items()}
    back |= {names.fields.get(name) or usual.get(name, name): name for name in sent}
    told = []
    for mistake in mistakes:
        ours = mistake.field.removeprefix("lead.")
        told.append(replace(mistake, field=back.get(ours, ours)))
    return told
