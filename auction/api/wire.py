"""HTTP in and out, bare ASGI: bodies with a limit, JSON read once, problems as RFC 9457.

Why no framework here: this is the hot path, and a framework's request and response objects cost a ping about as
much as its whole auction logic. Everything that is not hot goes through Starlette (see `app`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from auction.errors import ExchangeError, FieldMistake, HouseError, SellerError

JSON_TYPE = (b"content-type", b"application/json")
PROBLEM_TYPE = (b"content-type", b"application/problem+json")

encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class Head(msgspec.Struct, gc=False):
    """What the doors read of a request's headers, gathered in one pass."""

    key: str | None = None
    content_type: bytes = b""
    length: int = 0
    idempotency_key: str | None = None


def read_head(scope: Scope) -> Head:
    """One pass over the headers. A key comes as `Authorization: Bearer KEY` or `x-api-key: KEY`."""
    head = Head()
    for name, value in scope["headers"]:
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                head.key = value[7:].strip().decode("latin-1")
        elif name == b"x-api-key":
            head.key = head.key or value.strip().decode("latin-1")
        elif name == b"content-type":
            head.content_type = value
        elif name == b"content-length":
            head.length = int(value) if value.isdigit() else 0
        elif name == b"idempotency-key":
            head.idempotency_key = value.decode("latin-1")
    return head


async def read_body(head: Head, receive: Receive, most_bytes: int) -> bytes:
    """The whole body. Raises `SellerError` 413 as soon as it is known to be above `most_bytes`."""
    if head.length > most_bytes:
        raise _too_large(most_bytes)
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > most_bytes:
            raise _too_large(most_bytes)
        return body
    parts = [body]
    size = len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SellerError(400, "cut_off", "The connection closed before the whole body had come.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most_bytes:
            raise _too_large(most_bytes)
    return b"".join(parts)


def read_object(head: Head, body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises `SellerError`: 415, 400 `bad_json`, 422 for a key given twice."""
    kind = head.content_type.split(b";", 1)[0].strip().lower()
    if kind and kind != b"application/json" and not kind.endswith(b"+json"):
        raise SellerError(415, "not_json", "Send the body as application/json.")
    try:
        data = _decode_json(body)
    except RecursionError:
        raise SellerError(400, "too_deep", "The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SellerError(400, "bad_json", f"The body is not JSON: {error}.") from None
    if not isinstance(data, dict):
        raise SellerError(400, "not_an_object", "The body must be a JSON object.")
    # Each key brings one colon outside of texts. As many colons as keys: no key can have come twice.
    if body.count(b":") != _count_keys(data):
        _refuse_repeated_keys(body)
    return data


def _count_keys(data: dict[str, Any]) -> int:
    return len(data) + sum(len(value) for value in data.values() if isinstance(value, dict))


def _refuse_repeated_keys(body: bytes) -> None:
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                repeated.append(name)
            seen.add(name)

    try:
        json.loads(body, object_pairs_hook=note)
    except RecursionError:
        raise SellerError(400, "too_deep", "The JSON is nested too deeply.") from None
    if repeated:
        mistakes = [FieldMistake(name, "is there twice") for name in dict.fromkeys(repeated)]
        raise SellerError(422, "repeated_key", "Some keys are there more than once.", mistakes=mistakes)


async def respond(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (JSON_TYPE,)
) -> None:
    """One whole response."""
    start = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


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


def _too_large(most_bytes: int) -> SellerError:
    return SellerError(413, "too_large", f"The body is above {most_bytes} bytes.")
