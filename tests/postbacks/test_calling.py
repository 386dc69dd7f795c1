"""One request to an endpoint: what goes out, what of the answer is taken, and where it may not go."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest

from auction.postbacks import calling
from auction.postbacks.calling import Caller
from tests.postbacks.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def test_a_get_has_no_body_and_no_length(receiver: Receiver) -> None:
    answer = await Caller(allow_private=True).call(receiver.url + "/a?b=%20c", 5)
    assert (answer.status, answer.error, answer.body) == (200, None, b"ok")
    (heard,) = receiver.heard
    assert (heard.method, heard.path, heard.body) == ("GET", "/a?b=%20c", b"")
    assert "content-length" not in heard.headers
    assert heard.headers["host"] == receiver.url.removeprefix("http://")


async def test_a_post_has_its_body_and_headers(receiver: Receiver) -> None:
    caller = Caller(allow_private=True)
    for number in range(3):
        await caller.call(receiver.url + "/hook", 5, body=b'{"a":1}', headers={"webhook-id": str(number)})
    assert [one.headers["webhook-id"] for one in receiver.heard] == ["0", "1", "2"]
    assert receiver.heard[0].body == b'{"a":1}'
    assert receiver.heard[0].headers["content-type"] == "application/json"


async def test_retry_after_is_read_and_redirects_are_not_followed(receiver: Receiver) -> None:
    caller = Caller(allow_private=True)
    receiver.answer = lambda _: (429, b"", {"Retry-After": "77"})
    assert (await caller.call(receiver.url, 5)).retry_after == "77"
    receiver.answer = lambda _: (302, b"", {"Location": f"{receiver.url}/elsewhere"})
    answer = await caller.call(receiver.url, 5)
    assert (answer.status, answer.retry_after) == (302, None)
    assert len(receiver.heard) == 2


async def test_a_large_answer_is_cut_off_and_its_status_counts(receiver: Receiver) -> None:
    receiver.answer = lambda _: (200, b"x" * 1_000_000)
    answer = await Caller(allow_private=True).call(receiver.url, 5)
    assert (answer.status, answer.error, answer.body) == (200, "answer_too_large", b"")


async def test_who_does_not_answer_is_waited_for_in_bounds(receiver: Receiver) -> None:
    receiver.answer = None
    answer = await Caller(allow_private=True).call(receiver.url, 0.05)
    assert (answer.status, answer.error) == (0, "timeout")


async def test_who_is_not_there_is_told(receiver: Receiver) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        answer = await Caller(allow_private=True).call(f"http://127.0.0.1:{port}/", 5)
    assert (answer.status, answer.error) == (0, "connect_failed")
    assert (await Caller(allow_private=True).call("http:///", 5)).error == "url"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254"])
async def test_private_addresses_are_not_called(receiver: Receiver, host: str) -> None:
    port = receiver.url.rpartition(":")[2]
    answer = await Caller(allow_private=False).call(f"http://{host}:{port}/", 5)
    assert (answer.status, answer.error) == (0, "forbidden_address")
    assert receiver.heard == []


async def test_a_bounded_number_of_hosts_is_remembered(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "MOST_ORIGINS", 2)
    caller = Caller(allow_private=True)
    for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"):
        port = receiver.url.rpartition(":")[2]
        await caller.call(f"http://{host}:{port}/", 5)
    assert len(caller._origins) == 2
