"""The fan-out client over TLS: whom it trusts, what it reuses, and handshakes that go wrong."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from auction.buyers.fanout import Fanout, Target
from auction.buyers.tls import calls_of, client_context
from auction.market.reasons import Reason
from tests.buyers.authority import Authority
from tests.buyers.served import OK, Fanouts, Line, Serve, Told, until

BID = b'{"bid":1.5}'


async def answers(line: Line) -> None:
    while True:
        await line.request()
        await line.write(OK)


async def asked(fanout: Fanout, target: Target, body: bytes = b"{}") -> Told:
    told = Told()
    fanout.ask(target, body, told, 0)
    await told.all_of(1)
    return told


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_we_trust(
    serve: Serve, fanouts: Fanouts, authority: Authority, host: str, version: ssl.TLSVersion
) -> None:
    context = authority.server("127.0.0.1", "localhost")
    context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    protocols = set()

    async def manner(line: Line) -> None:
        protocols.add(line.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answers(line)

    served, fanout = await serve(manner, context), fanouts()
    target = served.target(ca_file=authority.ca_file, host=host)
    assert await fanout.prepare([target]) == ()
    for _ in range(3):
        assert (await asked(fanout, target)).answers == {0: (200, BID)}
    assert (fanout.counts().opened, fanout.counts().reused) == (1, 2)
    assert protocols == {"http/1.1"}


async def test_large_and_slow_over_tls(serve: Serve, fanouts: Fanouts, authority: Authority) -> None:
    body = b"y" * 60_000

    async def manner(line: Line) -> None:
        while True:
            await line.request()
            await line.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            await line.write(body)

    served, fanout = await serve(manner, authority.server("127.0.0.1")), fanouts()
    target = served.target(ca_file=authority.ca_file)
    await fanout.prepare([target])
    sent = b"x" * 3_000_000
    for _ in range(2):
        assert (await asked(fanout, target, sent)).answers == {0: (200, body)}
    assert all(request.endswith(b"\r\n\r\n" + sent) for request in served.requests)
    assert fanout.counts().reused == 1


async def test_sessions_are_reused(serve: Serve, fanouts: Fanouts, authority: Authority) -> None:
    resumed = []

    async def manner(line: Line) -> None:
        resumed.append(line.writer.get_extra_info("ssl_object").session_reused)
        await line.request()
        await line.write(OK)

    served, fanout = await serve(manner, authority.server("127.0.0.1")), fanouts()
    target = served.target(ca_file=authority.ca_file)
    await fanout.prepare([target])
    for _ in range(3):
        assert (await asked(fanout, target)).answers == {0: (200, BID)}
        await until(lambda: fanout.connections == 0)
    assert resumed == [False, True, True]


async def test_a_name_that_the_certificate_does_not_hold(
    serve: Serve, fanouts: Fanouts, authority: Authority
) -> None:
    served, fanout = await serve(answers, authority.server("buyer.example")), fanouts()
    target = served.target(ca_file=authority.ca_file)
    await fanout.prepare([target])
    assert (await asked(fanout, target)).failures == {0: Reason.TLS_FAILED}
    assert (fanout.counts().tls_failed, fanout.connections) == (1, 0)
    assert not served.requests


async def test_an_authority_that_we_do_not_know(serve: Serve, fanouts: Fanouts, authority: Authority) -> None:
    served, fanout = await serve(answers, authority.server("127.0.0.1")), fanouts()
    target = served.target()  # the system's authorities
    await fanout.prepare([target])
    assert (await asked(fanout, target)).failures == {0: Reason.TLS_FAILED}
    assert not served.requests


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_a_handshake_that_hangs_or_is_none(
    serve: Serve, fanouts: Fanouts, authority: Authority, greeting: bytes
) -> None:
    async def manner(line: Line) -> None:
        await line.write(greeting)
        await line.reader.readuntil(b"never")

    served, fanout = await serve(manner), fanouts(connect_timeout_s=0.4)
    served.scheme = "https"
    target = served.target(ca_file=authority.ca_file)
    await fanout.prepare([target])
    assert (await asked(fanout, target)).failures == {0: Reason.TLS_FAILED}
    assert (fanout.counts().tls_failed, fanout.connections) == (1, 0)


@pytest.mark.parametrize("closes", ["politely", "rudely"])
async def test_a_reused_connection_closed_unanswered_is_asked_once_more(
    serve: Serve, fanouts: Fanouts, authority: Authority, closes: str
) -> None:
    async def manner(line: Line) -> None:
        await line.request()
        await line.write(OK)
        await line.request()
        if closes == "rudely":
            line.reset()

    served, fanout = await serve(manner, authority.server("127.0.0.1")), fanouts()
    target = served.target(ca_file=authority.ca_file)
    await fanout.prepare([target])
    await asked(fanout, target)
    assert (await asked(fanout, target)).answers == {0: (200, BID)}
    assert (fanout.counts().retried, len(served.requests)) == (1, 3)


async def test_a_close_while_idle_is_seen(serve: Serve, fanouts: Fanouts, authority: Authority) -> None:
    go = asyncio.Event()

    async def manner(line: Line) -> None:
        await line.request()
        await line.write(OK)
        await go.wait()

    served, fanout = await serve(manner, authority.server("127.0.0.1")), fanouts()
    target = served.target(ca_file=authority.ca_file)
    await fanout.prepare([target])
    await asked(fanout, target)
    assert fanout.connections == 1
    go.set()
    await until(lambda: fanout.connections == 0)
    assert fanout.counts().closed_by_peer == 1


async def test_warm_connections_keep_their_tickets_quietly(
    serve: Serve, fanouts: Fanouts, authority: Authority
) -> None:
    served, fanout = await serve(answers, authority.server("127.0.0.1")), fanouts()
    target = served.target(ca_file=authority.ca_file)
    await fanout.prepare([target], warm=2)  # TLS 1.3 sends its tickets while nothing was asked
    await until(lambda: len(fanout.pools[target.origin].idle) == 2 and served.open == 2)
    assert (await asked(fanout, target)).answers == {0: (200, BID)}
    assert (fanout.counts().opened, fanout.counts().closed_by_peer) == (2, 0)


@pytest.mark.parametrize(
    ("head", "outcome"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", BID),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", Reason.CONNECTION_LOST),
    ],
)
async def test_a_connection_that_ends_without_a_word(
    serve: Serve, fanouts: Fanouts, authority: Authority, head: bytes, outcome: bytes | Reason
) -> None:
    """No `close_notify`, as of many a server: the end of a body that ends so, and of no other."""

    async def manner(line: Line) -> None:
        await line.request()
        await line.write(head + BID)
        sock = line.writer.get_extra_info("socket")
        with socket.fromfd(sock.fileno(), sock.family, sock.type) as raw:
            raw.shutdown(socket.SHUT_WR)
        await line.reader.read()

    served, fanout = await serve(manner, authority.server("127.0.0.1")), fanouts()
    target = served.target(ca_file=authority.ca_file)
    await fanout.prepare([target])
    told = await asked(fanout, target)
    assert (told.answers.get(0) or told.failures[0]) == (
        outcome if isinstance(outcome, Reason) else (200, outcome)
    )


def test_what_a_socket_is_called_by() -> None:
    """The frames of Python around TLS are passed by; where Python should hide what is in them, they are used."""
    one, other = socket.socketpair()
    with (
        one,
        other,
        ssl.create_default_context().wrap_socket(
            one, server_hostname="buyer.example", do_handshake_on_connect=False
        ) as tls,
    ):
        assert calls_of(other) == (other.send, other.recv)
        send, receive = calls_of(tls)
        assert send not in (tls.send, tls.write)
        assert receive not in (tls.recv, tls.read)
        tls._sslobj = None  # type: ignore[attr-defined]
        assert calls_of(tls) == (tls.send, tls.recv)


def test_no_server_begins_a_handshake_anew(authority: Authority) -> None:
    assert client_context(authority.ca_file).options & ssl.OP_NO_RENEGOTIATION
    assert client_context(None).options & ssl.OP_NO_RENEGOTIATION
