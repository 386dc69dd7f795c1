"""Requests as bytes, made before a run; what differs from one to the next is a number put in as they leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, cycle
from typing import Any

import msgspec

HOLE = "##########"
"""Where a request's number goes: ten digits inside a text of the JSON."""
_numbers = count(1)
"""Over all requests of a run: no two pings are ever equal, or a repeat of an answer would be measured."""


def numbered(
    path: str,
    headers: Mapping[str, str],
    bodies: Iterable[Mapping[str, Any]],
    numbers: Iterator[int] = _numbers,
) -> Iterator[bytes]:
    """POSTs of these bodies, over and over; each has `HOLE` in one of its texts. Never ends.

    `numbers` are for a process that sends beside the one that measures.
    """
    return _filled(cycle([_split(post(path, headers, body)) for body in bodies]), numbers)


def numbered_once(
    path: str, headers: Mapping[str, str], bodies: Iterable[Mapping[str, Any]]
) -> Iterator[bytes]:
    """The same, each body once."""
    return _filled([_split(post(path, headers, body)) for body in bodies], _numbers)


def _filled(templates: Iterable[Sequence[bytes]], numbers: Iterator[int]) -> Iterator[bytes]:
    for start, end in templates:
        yield b"%b%010d%b" % (start, next(numbers), end)


def post(path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> bytes:
    """One POST."""
    content = msgspec.json.encode(body)
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


def _split(request: bytes) -> Sequence[bytes]:
    start, hole, end = request.partition(HOLE.encode())
    assert hole, "a request without a place for its number"
    return start, end
