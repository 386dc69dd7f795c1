"""Requests of the benchmark: whole HTTP, and no two alike."""

from __future__ import annotations

import re
from itertools import count, islice
from typing import Any

import msgspec
import pytest

from loadtest.bench import book
from loadtest.bench.requests import HOLE, numbered, numbered_once, post

BODIES = [{"zip": "75001", "sub_id": f"feed-{HOLE}"}, {"zip": "75002", "sub_id": f"feed-{HOLE}"}]


def parsed(request: bytes) -> tuple[bytes, dict[str, Any]]:
    """Head and body of a request whose length is what it says."""
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    assert int(length[1]) == len(body)
    decoded = msgspec.json.decode(body)
    assert isinstance(decoded, dict)
    return head, decoded


def test_a_post_is_a_whole_request() -> None:
    head, body = parsed(post("/ping", {"Authorization": "Bearer k"}, {"a": "ü"}))
    assert head.startswith(b"POST /ping HTTP/1.1\r\nHost: ")
    assert b"\r\nAuthorization: Bearer k" in head
    assert body == {"a": "ü"}


def test_a_process_beside_the_one_that_measures_has_numbers_of_its_own() -> None:
    requests = [parsed(request)[1] for request in islice(numbered("/ping", {}, BODIES, count(7)), 2)]
    assert [request["sub_id"] for request in requests] == ["feed-0000000007", "feed-0000000008"]


def test_every_numbered_request_is_another() -> None:
    requests = [parsed(request)[1] for request in islice(numbered("/ping", {}, BODIES), 10)]
    assert [request["zip"] for request in requests] == ["75001", "75002"] * 5
    assert len({request["sub_id"] for request in requests}) == 10


def test_two_streams_never_give_the_same() -> None:
    first = set(islice(numbered("/ping", {}, BODIES), 10))
    assert not first & set(islice(numbered("/ping", {}, BODIES), 10))


def test_once_ends() -> None:
    assert len(list(numbered_once("/post", {}, BODIES))) == 2


def test_a_body_without_a_place_for_its_number_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        next(numbered("/ping", {}, [{"zip": "75001"}]))


def test_pings_are_of_a_real_size_and_differ() -> None:
    pings = book.pings("plain-10")
    sizes = [len(msgspec.json.encode(ping)) for ping in pings]
    assert 150 <= min(sizes) <= max(sizes) <= 250
    leads = {msgspec.json.encode(ping["lead"]) for ping in pings}
    assert len(leads) > len(pings) * 0.95
