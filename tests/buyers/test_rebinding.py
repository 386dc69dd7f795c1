"""A name that leads somewhere else each time it is asked for, and answers that point elsewhere: none leads inside."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from auction.buyers.address import resolve
from auction.buyers.delivery import Delivery, PostRequest
from auction.buyers.fanout import compile_target
from auction.buyers.protocol import NotSent
from auction.market.reasons import Reason
from tests.buyers.served import Fanouts, Line, Serve, Told, until

OUTSIDE = "192.31.196.1"
"""Public by its number; nothing here ever connects to it."""


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the next look-ups of any name find, first to last; the last stays."""
    answers: list[list[str]] = []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers


async def never(line: Line) -> None:
    raise AssertionError("nobody may connect here")


async def test_of_several_addresses_the_public_ones_are_used(names: list[list[str]]) -> None:
    names.append(["10.0.0.1", OUTSIDE, "169.254.169.254", "127.0.0.1", "100.64.0.1"])
    found = await resolve("buyer.example", 443, allow_private=False, timeout_s=5)
    assert [address.sockaddr for address in found.addresses] == [(OUTSIDE, 443)]
    assert found.refused == 4


async def test_a_name_that_turns_inside_is_not_asked_any_more(
    serve: Serve, fanouts: Fanouts, names: list[list[str]]
) -> None:
    served = await serve(never)
    target = compile_target(f"http://buyer.example:{served.port}/", {}, 100)
    fanout = fanouts(allow_private=False, resolve_every_s=0.01)
    names += [[OUTSIDE], ["127.0.0.1"]]
    assert await fanout.prepare([target]) == ()
    (pool,) = fanout.pools.values()
    await until(lambda: not pool.ready)
    told = Told()
    fanout.ask(target, b"{}", told, 0)
    await told.all_of(1)
    assert told.failures == {0: Reason.FORBIDDEN_ADDRESS}
    assert served.lines == 0


async def test_a_post_goes_by_the_address_it_connects_to(serve: Serve, names: list[list[str]]) -> None:
    served = await serve(never)
    names.append(["127.0.0.1"])
    delivery = Delivery(allow_private=False)
    try:
        request = PostRequest(
            url=f"http://buyer.example:{served.port}/", body=b"{}", idempotency_key="l:o", timeout_ms=2_000
        )
        outcome = await delivery.post(request)
    finally:
        await delivery.close()
    assert isinstance(outcome, NotSent)
    assert outcome.reason is Reason.FORBIDDEN_ADDRESS
    assert served.lines == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_bid_request_follows_no_redirect(serve: Serve, fanouts: Fanouts, status: int) -> None:
    inside = await serve(never)

    async def redirects(line: Line) -> None:
        await line.request()
        head = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{inside.port}/\r\nContent-Length: 0\r\n\r\n"
        await line.write(head.encode())
        await line.reader.read()

    served, fanout = await serve(redirects), fanouts()
    await fanout.prepare([served.target("/")])
    told = Told()
    fanout.ask(served.target("/"), b"{}", told, 0)
    await told.all_of(1)
    assert told.answers == {0: (status, b"")}, "read as any answer that is no bid"
    assert inside.lines == 0
