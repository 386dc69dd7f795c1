"""Where posts connect to: several addresses, names that change, trust, and connections that lie ready."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest

from auction.buyers import origin as module
from auction.buyers import tls
from auction.buyers.address import Address, Resolved
from auction.buyers.delivery import DeliveryLimits
from auction.buyers.origin import Origin
from auction.buyers.pool import Total
from auction.buyers.sending import Sending
from auction.buyers.target import compile_target
from auction.buyers.tls import Contexts
from auction.errors import BuyerError, OperatorError
from auction.market.reasons import Reason
from tests.buyers.authority import Authority
from tests.buyers.served import OK, Line, Serve, Served, until
from tests.ports import held_port

REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
Answers = list[Resolved | OSError]


async def answers(line: Line) -> None:
    while True:
        await line.request()
        await line.write(OK)


def made(served: Served, *, ca_file: str | None = None, most_idle: int = 10, **limits: float) -> Origin:
    target = compile_target(f"{served.scheme}://127.0.0.1:{served.port}/", {}, 0, ca_file)
    bounds = DeliveryLimits(**limits)  # type: ignore[arg-type]
    return Origin(target, bounds, Total(most_idle), Contexts(), allow_private=True)


def at(port: int) -> Address:
    return Address(socket.AF_INET, ("127.0.0.1", port))


@pytest.fixture
def refusing() -> Iterator[int]:
    with held_port() as port:
        yield port


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], list[int]]:
    """What names resolve to from now on, in turn; counts how often they were asked for."""

    def answer(left: Answers) -> list[int]:
        asked: list[int] = []

        async def resolve(*_: object, **__: object) -> Resolved:
            asked.append(1)
            found = left.pop(0)
            if isinstance(found, OSError):
                raise found
            return found

        monkeypatch.setattr(module, "resolve", resolve)
        return asked

    return answer


async def test_addresses_in_turn_and_the_one_that_answered_first_from_then_on(
    serve: Serve, names: Callable[[Answers], list[int]], refusing: int
) -> None:
    served = await serve(answers)
    asked = names([Resolved((at(refusing), at(served.port)), 0)])
    origin = made(served)
    for _ in range(2):
        (await origin.open()).close()
    assert origin._addresses == (at(served.port), at(refusing))
    assert len(asked) == 1, "an answer of the name service is good for a while"


async def test_an_address_that_swallows_packets_costs_its_share(
    serve: Serve, names: Callable[[Answers], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, connected = await serve(answers), module._connected

    async def hang(address: Address, loop: asyncio.AbstractEventLoop) -> socket.socket:
        if address == at(1):
            await asyncio.Event().wait()
        return await connected(address, loop)

    monkeypatch.setattr(module, "_connected", hang)
    names([Resolved((at(1), at(served.port)), 0)])
    origin = made(served, address_s=0.4)
    async with asyncio.timeout(30):
        (await origin.open()).close()


async def test_no_address_answers(serve: Serve, names: Callable[[Answers], list[int]], refusing: int) -> None:
    names([Resolved((at(refusing), at(refusing)), 0)])
    with pytest.raises(BuyerError) as failed:
        await made(await serve(answers)).open()
    assert failed.value.code == Reason.CONNECT_FAILED


async def test_a_name_is_asked_for_again_and_its_old_answer_kept_where_that_fails(
    serve: Serve, names: Callable[[Answers], list[int]]
) -> None:
    served = await serve(answers)
    found = Resolved((at(served.port),), 0)
    asked = names([OSError("gone"), found, OSError("gone"), Resolved((), 1)])
    origin = made(served, resolve_every_s=0.0)
    with pytest.raises(BuyerError, match="does not resolve"):
        await origin.open()
    for _ in range(2):
        (await origin.open()).close()
    with pytest.raises(BuyerError) as moved:
        await origin.open()
    assert moved.value.code == Reason.FORBIDDEN_ADDRESS, "a name that moved to a private address is refused"
    assert len(asked) == 4


async def test_a_tls_session_makes_the_next_handshake_short(serve: Serve, authority: Authority) -> None:
    reused: list[bool] = []

    async def answering(line: Line) -> None:
        reused.append(line.writer.get_extra_info("ssl_object").session_reused)
        await answers(line)

    served = await serve(answering, authority.server("127.0.0.1"))
    origin = made(served, ca_file=authority.ca_file)
    for _ in range(2):
        connection = await origin.open()
        await connection.carry(Sending(REQUEST))
        origin.answered(connection)
        connection.close()
    assert reused == [False, True]


async def test_trust_is_read_once_however_many_ask(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str | None] = []
    client_context = tls.client_context

    def counted(ca_file: str | None) -> ssl.SSLContext:
        read.append(ca_file)
        return client_context(ca_file)

    monkeypatch.setattr(tls, "client_context", counted)
    contexts = Contexts()
    of = await asyncio.gather(*(contexts.of(authority.ca_file) for _ in range(20)))
    assert len(set(of)) == 1
    assert read == [authority.ca_file]
    with pytest.raises(OperatorError):
        await contexts.of("/nowhere.pem")


async def test_what_lies_ready_is_taken_and_bounded_and_expires(serve: Serve) -> None:
    origin = made(served := await serve(answers), most_idle=2, idle_s=3.0, resolve_every_s=30.0)
    first, second, third = [await origin.open() for _ in range(3)]
    for connection in (first, second, third):
        origin.keep(connection)
    await until(lambda: served.open == 2)
    assert origin.take() is second, "the last used; the third found no room"
    now_s = first.idle_since_s
    assert origin.sweep(now_s + 2.9)
    assert origin.take() is first
    origin.keep(first)
    assert origin.sweep(first.idle_since_s + 3.1), "its addresses are fresh"
    assert origin.take() is None
    assert not origin.sweep(now_s + 60)
    origin.running = 1
    assert origin.sweep(now_s + 60), "a post uses it still"
    second.close()


async def test_a_kept_connection_that_the_buyer_closes_is_gone(serve: Serve) -> None:
    async def short(line: Line) -> None:
        await line.request()
        await line.write(OK)

    origin = made(served := await serve(short))
    connection = await origin.open()
    await connection.carry(Sending(REQUEST))
    origin.keep(connection)
    await until(lambda: served.open == 0 and not origin._kept)
    assert origin.take() is None
