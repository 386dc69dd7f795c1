"""The fan-out client against buyers of all manners, on real sockets and both event loops."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from auction.buyers.address import Address, Resolved
from auction.buyers.connection import Connection
from auction.buyers.fanout import Fanout, Target, compile_target
from auction.buyers.http1 import ResponseReader
from auction.buyers.opening import Opening
from auction.market.reasons import Reason
from tests.buyers.served import OK, Fanouts, Line, Manner, Serve, Told, until
from tests.ports import held_port

BID = b'{"bid":1.5}'


async def answers(line: Line) -> None:
    while True:
        await line.request()
        await line.write(OK)


def once(data: bytes, *, then_close: bool = False) -> Manner:
    """Answers the first request with `data`, then closes or waits for more that it never answers."""

    async def manner(line: Line) -> None:
        await line.request()
        await line.write(data)
        if not then_close:
            await line.reader.read()

    return manner


async def asked(fanout: Fanout, target: Target, body: bytes = b"{}") -> Told:
    """One ask and what came of it."""
    told = Told()
    fanout.ask(target, body, told, 0)
    await told.all_of(1)
    return told


# -------------------------------------------------------------------------------- good answers


async def test_an_answer(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(answers), fanouts()
    target = served.target("/bid?x=1")
    assert await fanout.prepare([target]) == ()
    told = Told()
    fanout.ask(target, b'{"a":1}', told, 7, b"webhook-id: m\r\n")
    await told.all_of(1)
    assert told.answers == {7: (200, BID)}
    assert told.elapsed_us[7] > 0
    head, body = served.requests[0].split(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.startswith(b"POST /bid?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % served.port)
    assert head.endswith(b"\r\nContent-Length: 7\r\nwebhook-id: m")


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
            200,
            b"abcde",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK, 200, BID),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, b""),
        (OK, 200, BID),
    ],
)
@pytest.mark.parametrize("slowly", [False, True])
async def test_framings(
    serve: Serve, fanouts: Fanouts, answer: bytes, status: int, body: bytes, slowly: bool
) -> None:
    async def manner(line: Line) -> None:
        while True:
            await line.request()
            for at in range(0, len(answer), 1 if slowly else len(answer)):
                await line.write(answer[at : at + (1 if slowly else len(answer))])
                await asyncio.sleep(0)

    served, fanout = await serve(manner), fanouts()
    target = served.target()
    await fanout.prepare([target])
    for _ in range(3):
        assert (await asked(fanout, target)).answers == {0: (status, body)}
    assert (fanout.counts().opened, fanout.counts().reused, fanout.counts().answered) == (1, 2, 3)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n" + BID,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BID,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 11\r\n\r\n" + BID,
        OK,
    ],
)
async def test_close_after_the_answer(serve: Serve, fanouts: Fanouts, answer: bytes) -> None:
    served, fanout = await serve(once(answer, then_close=True)), fanouts()
    target = served.target()
    await fanout.prepare([target])
    for _ in range(2):
        assert (await asked(fanout, target)).answers == {0: (200, BID)}
        await until(lambda: fanout.connections == 0)
    counts = fanout.counts()
    assert (counts.opened, counts.retried, counts.reused) == (2, 0, 0)
    assert counts.closed_by_peer == (2 if answer == OK else 0)


async def test_a_request_larger_than_the_socket_takes(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(answers), fanouts()
    target = served.target()
    await fanout.prepare([target])
    body = b"x" * 12_000_000
    assert (await asked(fanout, target, body)).answers == {0: (200, BID)}
    assert served.requests[0].endswith(b"\r\n\r\n" + body)
    assert (await asked(fanout, target)).answers == {0: (200, BID)}
    assert fanout.counts().reused == 1


async def test_an_answer_before_the_request_was_whole(serve: Serve, fanouts: Fanouts) -> None:
    stop = asyncio.Event()

    async def impatient(line: Line) -> None:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await line.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await stop.wait()

    served, fanout = await serve(impatient), fanouts()
    target = served.target()
    await fanout.prepare([target])
    assert (await asked(fanout, target, b"x" * 12_000_000)).answers == {0: (413, b"")}
    assert fanout.connections == 0
    stop.set()


async def test_many_at_once_and_again_on_the_same_connections(serve: Serve, fanouts: Fanouts) -> None:
    async def echoes(line: Line) -> None:
        while True:
            body = (await line.request()).split(b"\r\n\r\n")[1]
            await line.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    served, fanout = await serve(echoes), fanouts(openings_burst=500)
    target = served.target()
    await fanout.prepare([target])
    for _ in range(3):
        told = Told()
        for slot in range(500):
            fanout.ask(target, b"%d" % slot, told, slot)
        await told.all_of(500)
        assert told.answers == {slot: (200, b"%d" % slot) for slot in range(500)}
    counts = fanout.counts()
    assert (counts.opened, counts.reused, counts.answered) == (500, 1000, 1500)
    assert served.lines == 500


async def test_asking_again_from_within_an_answer(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(answers), fanouts()
    target = served.target()
    await fanout.prepare([target])

    class Tiers(Told):
        def answered(self, slot: int, status: int, body: bytes, elapsed_us: int) -> None:
            super().answered(slot, status, body, elapsed_us)
            if slot < 3:
                fanout.ask(target, b"{}", self, slot + 1)

    told = Tiers()
    fanout.ask(target, b"{}", told, 0)
    await told.all_of(4)
    assert (fanout.counts().opened, fanout.counts().reused) == (1, 3)


# -------------------------------------------------------------------------------- bad answers


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH\r\n", Reason.BAD_HTTP),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", Reason.BAD_HTTP),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, Reason.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000, Reason.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, Reason.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Reason.TIMEOUT),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Reason.TIMEOUT),
        (b"", Reason.TIMEOUT),
    ],
)
async def test_bad_answers(serve: Serve, fanouts: Fanouts, answer: bytes, reason: Reason) -> None:
    # what is waited for in vain ends soon; for all else there is time, also where the machine is busy
    longest_s = 0.5 if reason is Reason.TIMEOUT else 20.0
    served, fanout = await serve(once(answer)), fanouts(longest_s=longest_s)
    target = served.target()
    await fanout.prepare([target])
    assert (await asked(fanout, target)).failures == {0: reason}
    assert fanout.connections == 0
    counts = fanout.counts()
    assert counts.bad_http + counts.too_large + counts.timed_out == 1
    assert len(served.requests) == 1


@pytest.mark.parametrize("answer", [b"", b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_fresh_connection_that_is_lost_is_not_asked_again(
    serve: Serve, fanouts: Fanouts, answer: bytes, reset: bool
) -> None:
    async def manner(line: Line) -> None:
        await line.request()
        await line.write(answer)
        if reset:
            line.reset()

    served, fanout = await serve(manner), fanouts()
    target = served.target()
    await fanout.prepare([target])
    assert (await asked(fanout, target)).failures == {0: Reason.CONNECTION_LOST}
    assert len(served.requests) == 1
    assert (fanout.counts().lost, fanout.counts().retried) == (1, 0)


async def test_an_answer_with_garbage_behind_it_counts_but_its_connection_does_not(
    serve: Serve, fanouts: Fanouts
) -> None:
    served, fanout = await serve(once(OK + b"HTTP/1.1 200")), fanouts()
    target = served.target()
    await fanout.prepare([target])
    assert (await asked(fanout, target)).answers == {0: (200, BID)}
    await until(lambda: fanout.connections == 0)


# -------------------------------------------------------------------------------- the retry


@pytest.mark.parametrize("reset", [False, True])
async def test_a_reused_connection_that_is_closed_unanswered_is_asked_once_more(
    serve: Serve, fanouts: Fanouts, reset: bool
) -> None:
    async def manner(line: Line) -> None:
        await line.request()
        await line.write(OK)
        await line.request()
        if reset:
            line.reset()

    served, fanout = await serve(manner), fanouts()
    target = served.target()
    await fanout.prepare([target])
    await asked(fanout, target)
    assert (await asked(fanout, target, b"[2]")).answers == {0: (200, BID)}
    assert [request[-3:] for request in served.requests] == [b"\n{}", b"[2]", b"[2]"]
    assert (fanout.counts().retried, fanout.counts().opened, fanout.counts().lost) == (1, 2, 0)


async def test_asked_once_more_and_never_twice(serve: Serve, fanouts: Fanouts) -> None:
    async def manner(line: Line) -> None:
        await line.request()
        if line.number == 1:
            await line.write(OK)
            await line.request()

    served, fanout = await serve(manner), fanouts()
    target = served.target()
    await fanout.prepare([target])
    await asked(fanout, target)
    assert (await asked(fanout, target)).failures == {0: Reason.CONNECTION_LOST}
    assert len(served.requests) == 3
    assert (fanout.counts().retried, fanout.counts().lost) == (1, 1)


async def test_one_byte_of_an_answer_forbids_asking_again(serve: Serve, fanouts: Fanouts) -> None:
    async def manner(line: Line) -> None:
        await line.request()
        await line.write(OK)
        await line.request()
        await line.write(b"H")

    served, fanout = await serve(manner), fanouts()
    target = served.target()
    await fanout.prepare([target])
    await asked(fanout, target)
    assert (await asked(fanout, target)).failures == {0: Reason.CONNECTION_LOST}
    assert len(served.requests) == 2
    assert fanout.counts().retried == 0


async def test_a_closed_auction_is_not_asked_again_for(serve: Serve, fanouts: Fanouts) -> None:
    close = asyncio.Event()

    async def manner(line: Line) -> None:
        await line.request()
        await line.write(OK)
        await line.request()
        await close.wait()

    served, fanout = await serve(manner), fanouts()
    target = served.target()
    await fanout.prepare([target])
    await asked(fanout, target)
    told = Told()
    fanout.ask(target, b"{}", told, 0)
    await until(lambda: len(served.requests) == 2)
    told.closed = True
    close.set()
    await until(lambda: fanout.connections == 0)
    assert (fanout.counts().lost, fanout.counts().retried, served.lines) == (1, 0, 1)


# -------------------------------------------------------------------------------- late answers


async def test_a_late_answer_is_drained_and_the_next_ask_gets_its_own(serve: Serve, fanouts: Fanouts) -> None:
    go = asyncio.Event()

    async def manner(line: Line) -> None:
        while True:
            body = (await line.request()).split(b"\r\n\r\n")[1]
            if body == b"late":
                await go.wait()
            await line.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    served, fanout = await serve(manner), fanouts()
    target = served.target()
    await fanout.prepare([target])
    late = Told()
    fanout.ask(target, b"late", late, 0)
    await until(lambda: len(served.requests) == 1)
    late.closed = True
    go.set()
    await until(lambda: fanout.counts().late == 1)
    assert (await asked(fanout, target, b"next")).answers == {0: (200, b"next")}
    assert not late.answers
    assert not late.failures
    assert (fanout.counts().reused, served.lines) == (1, 1)


async def test_what_is_late_for_too_long_is_closed_silently(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(once(b"")), fanouts(drain_s=0.1)
    target = served.target()
    await fanout.prepare([target])
    told = Told()
    fanout.ask(target, b"{}", told, 0)
    await until(lambda: len(served.requests) == 1)
    told.closed = True
    await until(lambda: fanout.connections == 0)
    assert fanout.counts().timed_out == 1
    assert not told.failures


async def test_nothing_is_sent_for_an_auction_that_closed_while_connecting(
    serve: Serve, fanouts: Fanouts
) -> None:
    served, fanout = await serve(answers), fanouts()
    target = served.target()
    await fanout.prepare([target])
    told = Told()
    fanout.ask(target, b"{}", told, 0)
    told.closed = True
    await until(lambda: fanout.counts().unsent == 1)
    assert (await asked(fanout, target, b"next")).answers == {0: (200, BID)}
    assert [request[-4:] for request in served.requests] == [b"next"]
    assert fanout.counts().opened == 1


# -------------------------------------------------------------------------------- idle connections


async def test_idle_connections_expire(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(answers), fanouts(idle_s=0.05)
    target = served.target()
    await fanout.prepare([target])
    await asked(fanout, target)
    await until(lambda: fanout.connections == 0 and served.open == 0)
    assert fanout.counts().expired == 1
    assert (await asked(fanout, target)).answers == {0: (200, BID)}


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
async def test_a_server_that_closes_or_speaks_while_idle(
    serve: Serve, fanouts: Fanouts, last_words: bytes
) -> None:
    go = asyncio.Event()

    async def manner(line: Line) -> None:
        await line.request()
        await line.write(OK)
        await go.wait()
        await line.write(last_words)

    served, fanout = await serve(manner), fanouts()
    target = served.target()
    await fanout.prepare([target])
    await asked(fanout, target)
    go.set()
    await until(lambda: fanout.connections == 0)
    assert fanout.counts().closed_by_peer == 1
    assert (await asked(fanout, target)).answers == {0: (200, BID)}
    assert fanout.counts().retried == 0


async def test_the_most_recently_used_goes_first(serve: Serve, fanouts: Fanouts) -> None:
    asked_over: list[int] = []

    async def noted(line: Line) -> None:
        while True:
            await line.request()
            asked_over.append(line.number)
            await line.write(OK)

    served, fanout = await serve(noted), fanouts(idle_s=1.0)
    target = served.target()
    await fanout.prepare([target])
    told = Told()
    for slot in range(5):
        fanout.ask(target, b"{}", told, slot)
    await told.all_of(5)
    for _ in range(20):
        await asked(fanout, target)
    assert sorted(asked_over[:5]) == [1, 2, 3, 4, 5]
    assert len(set(asked_over[5:])) == 1, "one is kept busy"
    while fanout.connections > 1:  # so the other four expire
        await asked(fanout, target)
    assert fanout.counts().expired >= 4


async def test_warm_connections(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(answers), fanouts()
    target = served.target()
    await fanout.prepare([target], warm=3)
    await until(lambda: len(fanout.pools[target.origin].idle) == 3)
    assert (await asked(fanout, target)).answers == {0: (200, BID)}
    assert (fanout.counts().opened, fanout.counts().reused, served.lines) == (3, 1, 3)


async def test_pools_outlive_markets(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(answers), fanouts()
    other = await serve(answers)
    await fanout.prepare([served.target("/old"), other.target()])
    await asked(fanout, served.target("/old"))
    await fanout.prepare([served.target("/new")])
    await asked(fanout, served.target("/new"))
    assert (fanout.counts().opened, fanout.counts().reused) == (1, 1)
    assert list(fanout.pools) == [served.target().origin]


async def test_a_pool_that_is_no_longer_wanted_goes_when_its_last_connection_has(
    serve: Serve, fanouts: Fanouts
) -> None:
    served, fanout = await serve(answers), fanouts(idle_s=1.0)
    target = served.target()
    await fanout.prepare([target])
    await asked(fanout, target)
    await fanout.prepare([])
    assert (await asked(fanout, target)).answers == {0: (200, BID)}, "auctions of the old market go on"
    await until(lambda: fanout.connections == 0)
    await fanout.prepare([])
    assert not fanout.pools
    assert fanout.counts().answered == 2, "counts never go back"


# -------------------------------------------------------------------------------- bounds


async def test_connections_per_origin(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(once(b"")), fanouts(connections_per_origin=2)
    target = served.target()
    await fanout.prepare([target])
    told = Told()
    for slot in range(4):
        fanout.ask(target, b"{}", told, slot)
    assert told.failures == {2: Reason.BUSY, 3: Reason.BUSY}, "said at once"
    assert (fanout.counts().busy, fanout.connections) == (2, 2)


async def test_connections_in_all(serve: Serve, fanouts: Fanouts) -> None:
    one, two, fanout = await serve(once(b"")), await serve(once(b"")), fanouts(connections=3)
    await fanout.prepare([one.target(), two.target()])
    told = Told()
    for slot, target in enumerate([one.target(), two.target()] * 2):
        fanout.ask(target, b"{}", told, slot)
    assert told.failures == {3: Reason.BUSY}
    assert fanout.connections == 3


async def test_openings_a_second(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(answers), fanouts(openings_burst=3, openings_per_s=4, idle_s=0.01)
    target = served.target()
    await fanout.prepare([target])
    told = Told()
    for slot in range(8):
        fanout.ask(target, b"{}", told, slot)
    assert set(told.failures) == {3, 4, 5, 6, 7}
    assert set(told.failures.values()) == {Reason.BUSY}
    await told.all_of(8)
    assert fanout.counts().throttled == 5
    await until(lambda: fanout.connections == 0)
    await asyncio.sleep(0.26)  # a quarter of a second brings the next opening
    assert (await asked(fanout, target)).answers == {0: (200, BID)}


# -------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_private_addresses_are_refused(serve: Serve, fanouts: Fanouts, host: str) -> None:
    served, fanout = await serve(answers), fanouts(allow_private=False)
    target = served.target(host=host)
    problems = await fanout.prepare([target])
    assert "private" in problems[0]
    assert (await asked(fanout, target)).failures == {0: Reason.FORBIDDEN_ADDRESS}
    assert (served.lines, fanout.counts().unreachable) == (0, 1)


async def test_a_name_that_does_not_resolve(fanouts: Fanouts) -> None:
    fanout = fanouts()
    target = compile_target("http://nowhere.invalid/bid", {}, 300)
    assert "nowhere.invalid" in (await fanout.prepare([target]))[0]
    assert (await asked(fanout, target)).failures == {0: Reason.CONNECT_FAILED}
    assert fanout.resolve_failed == 1


async def test_an_origin_that_was_not_prepared(fanouts: Fanouts) -> None:
    told = Told()
    fanouts().ask(compile_target("http://127.0.0.1:1", {}, 300), b"{}", told, 0)
    assert told.failures == {0: Reason.CONNECT_FAILED}


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port that nobody listens on."""
    with held_port() as port:
        yield port


async def test_nobody_listens(fanouts: Fanouts, refusing: int) -> None:
    fanout = fanouts()
    target = compile_target(f"http://127.0.0.1:{refusing}", {}, 300)
    await fanout.prepare([target])
    assert (await asked(fanout, target)).failures == {0: Reason.CONNECT_FAILED}
    assert (fanout.connections, fanout.counts().connect_failed) == (0, 1)


async def test_addresses_are_tried_in_turn_and_the_good_one_is_remembered(
    serve: Serve, fanouts: Fanouts, refusing: int
) -> None:
    served, fanout = await serve(once(OK, then_close=True)), fanouts()
    target = served.target()
    await fanout.prepare([target])
    pool = fanout.pools[target.origin]
    good = pool.addresses[0]
    nowhere = Address(good.family, ("127.0.0.1", refusing))
    never = Address(9_999, ("127.0.0.1", 1))
    pool.resolved(Resolved((nowhere, never, good), 0))
    assert (await asked(fanout, target)).answers == {0: (200, BID)}
    assert pool.addresses[0] == good
    pool.resolved(Resolved((nowhere, never, good), 0))
    assert pool.addresses[0] == good, "the same addresses again: what was learned holds"


async def test_a_host_that_swallows_connections(serve: Serve, fanouts: Fanouts) -> None:
    served = await serve(answers)
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):  # Linux queues one more than asked for, and drops the rest
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        fanout = fanouts(connect_timeout_s=0.4)
        target = compile_target(f"http://127.0.0.1:{deaf.getsockname()[1]}", {}, 300)
        await fanout.prepare([target])
        assert (await asked(fanout, target)).failures == {0: Reason.CONNECT_FAILED}
        assert fanout.connections == 0
        pool = fanout.pools[target.origin]
        good = Address(socket.AF_INET, ("127.0.0.1", served.port))
        pool.resolved(Resolved((*pool.addresses, good), 0))
        assert (await asked(fanout, target)).answers == {0: (200, BID)}
        assert pool.addresses[0] == good


async def test_addresses_are_resolved_again(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(answers), fanouts(resolve_every_s=0.02)
    target = served.target()
    await fanout.prepare([target])
    pool = fanout.pools[target.origin]
    pool.resolved(Resolved((), 0))
    await until(lambda: bool(pool.addresses))
    assert (await asked(fanout, target)).answers == {0: (200, BID)}


async def test_a_ca_file_that_is_none_hurts_its_own_buyer_only(
    serve: Serve, fanouts: Fanouts, tmp_path: Path
) -> None:
    served, fanout = await serve(answers), fanouts()
    bad = compile_target("https://127.0.0.1:1", {}, 300, str(tmp_path / "missing.pem"))
    assert "missing.pem" in (await fanout.prepare([bad, served.target()]))[0]
    assert (await asked(fanout, bad)).failures == {0: Reason.TLS_FAILED}
    assert (await asked(fanout, served.target())).answers == {0: (200, BID)}


# -------------------------------------------------------------------------------- the end


async def test_close_tells_those_who_wait(serve: Serve, fanouts: Fanouts) -> None:
    served, fanout = await serve(once(b"")), fanouts()
    target = served.target()
    await fanout.prepare([target])
    told = Told()
    for slot in range(3):
        fanout.ask(target, b"{}", told, slot)
    await until(lambda: len(served.requests) == 3)
    fanout.ask(target, b"{}", told, 3)  # still connecting
    await fanout.close()
    assert told.failures == dict.fromkeys(range(4), Reason.CONNECTION_LOST)
    fanout.ask(target, b"{}", told, 4)
    assert told.failures[4] is Reason.CONNECT_FAILED
    await until(lambda: served.open == 0)


async def test_nothing_is_left_for_the_collector(serve: Serve, fanouts: Fanouts, refusing: int) -> None:
    def alive() -> int:
        return sum(type(thing) in (Connection, Opening, ResponseReader) for thing in gc.get_objects())

    gc.collect()
    before = alive()
    gc.disable()
    try:
        served, fanout = await serve(answers), fanouts()
        lossy = await serve(once(b"HTTP/1.1 2"))
        targets = [served.target(), lossy.target(), compile_target(f"http://127.0.0.1:{refusing}", {}, 1)]
        await fanout.prepare(targets)
        told = Told()
        for slot in range(30):
            fanout.ask(targets[slot % 3], b"{}", told, slot)
        await told.all_of(20)
        assert alive() > before
        await fanout.close()
        await until(lambda: alive() <= before)
    finally:
        gc.enable()


async def test_a_reset_behind_a_part_of_an_answer_is_noticed_at_once(fanouts: Fanouts) -> None:
    """Both are there before we look: an event loop may tell of them once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def half_an_answer() -> None:
            line, _ = listening.accept()
            line.recv(65_536)
            line.sendall(OK[:-5])
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.close()

        buyer = threading.Thread(target=half_an_answer)
        buyer.start()
        port = listening.getsockname()[1]
        target = compile_target(f"http://127.0.0.1:{port}/bid", {}, 300)
        fanout, told = fanouts(), Told()
        await fanout.prepare([target], warm=1)
        await until(lambda: bool(fanout.pools[target.origin].idle))
        fanout.ask(target, b"{}", told, 0)
        buyer.join()  # the loop stands still meanwhile
        await told.all_of(1)
        assert told.failures == {0: Reason.CONNECTION_LOST}
