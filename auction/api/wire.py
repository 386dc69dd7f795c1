"""HTTP in and out, bare ASGI: headers, JSON read once, problems as RFC 9457. (Bodies come in by `bodies`.)

Why no framework here: this is the hot path, and a framework's request and response objects cost a ping about as
much as its whole auction logic. Everything that is not hot goes through Starlette (see `app`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import msgspec
from starlette.types import Scope, Send

from auction.errors import ExchangeError, FieldMistake, HouseError, SellerError

JSON_TYPE = (b"content-type", b"application/json")
PROBLEM_TYPE = (b"content-type", b"application/problem+json")
MOST_NAME = 64
"""How much of a sender's own key an error repeats."""
MOST_DEEP = 512
"""How deep JSON may be nested: a bound of our own, for the interpreter's differ from version to version."""
MOST_NAMED = 100
"""How many repeated or unknown keys an error names."""

Headers: TypeAlias = dict[bytes, bytes]

encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


def headers_of(scope: Scope) -> Headers:
    """A request's headers by lower-case name; of one that comes twice, the last."""
    return dict(scope["headers"])


def key_of(headers: Headers) -> str | None:
    """The API key: `Authorization: Bearer KEY` or `x-api-key: KEY`."""
    value = headers.get(b"authorization")
    if value is not None and value[:7].lower() == b"bearer ":
        return value[7:].strip().decode("latin-1")
    value = headers.get(b"x-api-key")
    return None if value is None else value.strip().decode("latin-1")


def read_object(
    body: bytes, content_type: bytes | None = None, usual: str = "application/json"
) -> dict[str, Any]:
    """The JSON object of a body; `usual` is what a sender of something else is told to send.

    Raises `SellerError`: 415, 400 `bad_json`, 422 for a key given twice.
    """
    if content_type != b"application/json" and content_type:
        _check_type(content_type, usual)
    try:
        data = _decode_json(body)
    except RecursionError:
        raise too_deep() from None
    except UnicodeDecodeError:
        raise SellerError(400, "bad_json", "The body is not JSON: it is not UTF-8.") from None
    except msgspec.DecodeError as error:
        if not body.strip():
            raise SellerError(400, "bad_json", "The body is not JSON: it is empty.") from None
        raise SellerError(400, "bad_json", f"The body is not JSON: {error}.") from None
    if data.__class__ is not dict:
        raise SellerError(400, "not_an_object", "The body must be a JSON object.")
    if body.count(b"{") + body.count(b"[") > MOST_DEEP and not _within(data, MOST_DEEP):
        raise too_deep()
    if not _all_keys_once(data, body):
        _refuse_repeated_keys(body)
    return data


def _within(data: dict[str, Any], most: int) -> bool:
    """Whether objects and lists are nested in each other `most` times at most."""
    level: list[Any] = [data]
    for _ in range(most):
        inner = (each.values() if each.__class__ is dict else each for each in level)
        level = [value for values in inner for value in values if value.__class__ in (dict, list)]
        if not level:
            return True
    return False


def too_deep() -> SellerError:
    """What a body is told that is nested beyond what can be read."""
    return SellerError(400, "too_deep", "The JSON is nested too deeply.")


def _check_type(content_type: bytes, usual: str) -> None:
    kind = content_type.split(b";", 1)[0].strip().lower()
    if kind != b"application/json" and not kind.endswith(b"+json"):
        raise SellerError(415, "not_json", f"Send the body as {usual}.")


def _all_keys_once(data: dict[str, Any], body: bytes) -> bool:
    """Whether it is sure that no key came twice; False: look closer.

    The body has a colon for each key that came, and those in its texts. If the keys and texts that were kept
    account for all of them, no key was lost. (Only an escaped colon could hide one: then nothing is sure.)
    """
    keys = len(data)
    for value in data.values():
        if value.__class__ is dict:
            keys += len(value)
    colons = body.count(b":")
    if colons == keys:
        return True
    return b"\\u003" not in body and colons == keys + _colons_in(data)


def _colons_in(data: dict[str, Any]) -> int:
    """Colons in the keys and texts of an object and of the objects right inside it."""
    colons = 0
    for name, value in data.items():
        colons += name.count(":")
        if value.__class__ is str:
            colons += value.count(":")
        elif value.__class__ is dict:
            for inner_name, inner in value.items():
                colons += inner_name.count(":")
                if inner.__class__ is str:
                    colons += inner.count(":")
    return colons


def _refuse_repeated_keys(body: bytes) -> None:
    repeated: dict[str, None] = {}

    def note(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                repeated[name[:MOST_NAME]] = None
            seen.add(name)

    try:  # the numbers were read before
        json.loads(body, object_pairs_hook=note, parse_int=str, parse_float=str)
    except RecursionError:
        raise too_deep() from None
    if repeated:
        mistakes = [FieldMistake(name, "is there twice") for name in list(repeated)[:MOST_NAMED]]
        raise SellerError(422, "repeated_key", "Some keys are there more than once.", mistakes=mistakes)


async def respond(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (JSON_TYPE,)
) -> int:
    """One whole response. Gives its status, to be counted."""
    start = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
    return status


async def respond_problem(send: Send, error: ExchangeError) -> None:
    """An error as `application/problem+json`, with its code, its fields and its headers."""
    status, body, headers = problem(error)
    wire = [(name.encode(), value.encode()) for name, value in headers]
    await respond(send, status, body, [PROBLEM_TYPE, *wire])


def problem(error: ExchangeError) -> tuple[int, bytes, Sequence[tuple[str, str]]]:
    """Status, body and extra headers of an error (RFC 9457)."""
    facts: dict[str, Any] = {
        "type": "about:blank",
        "title": error.code.replace("_", " "),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
    }
    headers: list[tuple[str, str]] = []
    if isinstance(error, SellerError):
        if error.mistakes:
            facts["errors"] = error.mistakes
        headers += error.headers
        if error.status == 401:
            headers.append(("www-authenticate", "Bearer"))
    elif isinstance(error, HouseError):
        headers.append(("retry-after", str(error.retry_after_s)))
    return error.status, encode_json(facts), headers
