"""Posts to buyers of all manners: what is certain, what is unknown, and what never left the house."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from auction.buyers import delivery as module
from auction.buyers.delivery import Delivery, DeliveryLimits, PostRequest
from auction.buyers.protocol import Accepted, NotSent, Rejected, Unknown
from auction.market.reasons import Reason
from tests.buyers.authority import Authority
from tests.buyers.served import Line, Manner, Serve, Served, until
from tests.ports import held_port

Deliveries = Callable[..., Delivery]


@pytest.fixture
async def deliveries() -> AsyncIterator[Deliveries]:
    made: list[Delivery] = []

    def make(*, allow_private: bool = True, **limits: float) -> Delivery:
        made.append(Delivery(DeliveryLimits(**limits), allow_private=allow_private))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for delivery in made:
        await delivery.close()
        assert delivery.in_flight == 0


def response(status: int, body: object, *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def saying(data: bytes, *, then_close: bool = False) -> Manner:
    async def manner(line: Line) -> None:
        await line.request()
        await line.write(data)
        if not then_close:
            await line.reader.read()

    return manner


def always(data: bytes) -> Manner:
    async def manner(line: Line) -> None:
        while True:
            await line.request()
            await line.write(data)

    return manner


def to(served: Served, path: str = "/post", **more: Any) -> PostRequest:
    url = f"{served.scheme}://127.0.0.1:{served.port}{path}"
    request = PostRequest(url=url, body=b"{}", idempotency_key="l1:o1", timeout_ms=5_000)
    return msgspec.structs.replace(request, **more)


async def test_the_request(serve: Serve, deliveries: Deliveries) -> None:
    served, secret = await serve(saying(response(200, {"status": "accepted"}))), b"0123456789abcdef01234567"
    text = "whsec_" + base64.b64encode(secret).decode()
    request = to(
        served, "/post?x=1", body=b'{"a":1}', headers={"Authorization": "Bearer k"}, signing_secret=text
    )
    assert await deliveries().post(request) == Accepted()
    head, body = served.requests[0].decode().split("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert first == "POST /post?x=1 HTTP/1.1"
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer k"
    assert headers["idempotency-key"] == headers["webhook-id"] == "l1:o1"
    assert headers["accept-encoding"] == "identity"
    assert Webhook(text).verify(body, headers) == {"a": 1}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"status": "accepted", "buyer_lead_id": "7"}, Accepted("7")),
        (200, {"status": "rejected", "reason": "duplicate"}, Rejected("duplicate")),
        (422, {"status": "rejected", "reason": "bad_zip"}, Rejected("bad_zip")),
        (422, {"status": "rejected", "reason": "Ann Lee was here"}, Rejected("rejected")),
        (404, b"<html>", Rejected("http_404")),
        (400, b"x" * 200_000, Rejected("http_400")),
        (200, b"x" * 200_000, Unknown("http_200, the answer is too large")),
        (200, b"thanks", Unknown("http_200 without a readable status")),
        (409, b"", Unknown("http_409")),
        (500, {"status": "rejected"}, Unknown("http_500")),
    ],
)
async def test_answers(
    serve: Serve, deliveries: Deliveries, status: int, body: object, expected: Accepted | Rejected | Unknown
) -> None:
    served = await serve(saying(response(status, body)))
    assert await deliveries().post(to(served)) == expected


async def test_redirects_are_not_followed(serve: Serve, deliveries: Deliveries) -> None:
    served = await serve(saying(response(307, b"", "Location: /elsewhere")))
    assert await deliveries().post(to(served)) == Unknown("http_307")
    assert len(served.requests) == 1


@pytest.mark.parametrize(
    ("answer", "then_close"),
    [
        (b"", True),
        (b"HTTP/1.1 200", True),
        (b"SSH-2.0\r\n", False),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", False),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"status":"accepted"}', True),
        (b"", False),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"status":"accepted"}', False),
    ],
)
async def test_once_it_was_sent_silence_is_unknown(
    serve: Serve, deliveries: Deliveries, answer: bytes, then_close: bool
) -> None:
    served = await serve(saying(answer, then_close=then_close))
    outcome = await deliveries().post(to(served, timeout_ms=5_000 if then_close else 600))
    assert isinstance(outcome, Unknown)
    assert len(served.requests) == 1, "never sent again by the client itself"


async def test_a_status_that_is_certain_needs_no_body(serve: Serve, deliveries: Deliveries) -> None:
    served = await serve(saying(b"HTTP/1.1 422 X\r\nContent-Length: 90\r\n\r\n{", then_close=True))
    assert await deliveries().post(to(served)) == Rejected("http_422")


async def test_a_connection_per_post(serve: Serve, deliveries: Deliveries) -> None:
    served, delivery = await serve(always(response(200, {"status": "accepted"}))), deliveries()
    for _ in range(2):
        assert await delivery.post(to(served)) == Accepted()
    assert (served.lines, delivery.idle) == (2, 0)
    assert b"\r\nConnection: close\r\n" in served.requests[0]


async def test_who_takes_a_key_twice_for_the_same_gets_posts_over_one_connection(
    serve: Serve, deliveries: Deliveries
) -> None:
    served, delivery = await serve(always(response(200, {"status": "accepted"}))), deliveries()
    for _ in range(3):
        assert await delivery.post(to(served, idempotent=True)) == Accepted()
    assert (served.lines, delivery.idle) == (1, 1)
    assert (delivery.opened, delivery.reused, delivery.repeated) == (1, 2, 0)
    assert b"Connection: close" not in served.requests[0]
    assert await delivery.post(to(served)) == Accepted()
    assert served.lines == 2, "the others' posts are not among them"
    await delivery.close()
    await until(lambda: served.open == 0)


async def test_a_kept_connection_over_tls(serve: Serve, deliveries: Deliveries, authority: Authority) -> None:
    accepted = response(200, {"status": "accepted"})
    served, delivery = await serve(always(accepted), authority.server("127.0.0.1")), deliveries()
    for _ in range(3):
        assert await delivery.post(to(served, ca_file=authority.ca_file, idempotent=True)) == Accepted()
    assert served.lines == 1


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (response(200, {"status": "accepted"}), Accepted()),
        (response(200, {"status": "rejected", "reason": "full"}), Rejected("full")),
        (response(429, b""), Unknown("an answer was lost, and asking again did not settle it")),
        (b"", Unknown("the connection was closed")),
    ],
)
async def test_a_kept_connection_that_loses_a_post_is_asked_again_at_once(
    serve: Serve, deliveries: Deliveries, second: bytes, expected: Accepted | Rejected | Unknown
) -> None:
    """P1: what was lost may have been taken, so only the buyer's word on that key is an answer."""

    async def loses_its_second(line: Line) -> None:
        await line.request()
        await line.write(response(200, {"status": "accepted"}) if line.number == 1 else second)
        if line.number == 1:
            await line.request()
            line.reset()

    served, delivery = await serve(loses_its_second), deliveries()
    assert await delivery.post(to(served, idempotent=True)) == Accepted()
    outcome = await delivery.post(to(served, idempotent=True, idempotency_key="l2:o1"))
    assert type(outcome) is type(expected)
    assert outcome == expected or not second
    assert [b"Idempotency-Key: l2:o1" in request for request in served.requests] == [False, True, True]
    assert (served.lines, delivery.repeated) == (2, 1)


async def test_a_kept_connection_that_loses_a_post_and_nobody_listens_now(
    serve: Serve, deliveries: Deliveries
) -> None:
    """P1: that the second connection never opened says nothing of what went over the first."""

    async def goes_away(line: Line) -> None:
        await line.request()
        await line.write(response(200, {"status": "accepted"}))
        await line.request()
        served.stop_listening()
        line.reset()

    served, delivery = await serve(goes_away), deliveries()
    assert await delivery.post(to(served, idempotent=True)) == Accepted()
    assert isinstance(await delivery.post(to(served, idempotent=True)), Unknown)
    assert delivery.repeated == 1


async def test_nothing_leaves_where_it_may_not(serve: Serve, deliveries: Deliveries) -> None:
    """P1: whoever lost its lease while the connection opened has not sent a byte."""
    served, delivery = await serve(always(response(200, {"status": "accepted"}))), deliveries()
    outcome = await delivery.post(to(served), lambda: False)
    assert isinstance(outcome, NotSent)
    assert outcome.reason is Reason.WITHHELD
    await until(lambda: served.lines == 1)  # it was connected to, and asked nothing
    assert served.requests == []


async def test_a_repetition_at_once_is_withheld_too(serve: Serve, deliveries: Deliveries) -> None:
    """What went over the kept connection may have been taken: not sent again, and unknown."""

    async def loses_its_second(line: Line) -> None:
        await line.request()
        await line.write(response(200, {"status": "accepted"}))
        await line.request()
        line.reset()

    served, delivery = await serve(loses_its_second), deliveries()
    assert await delivery.post(to(served, idempotent=True)) == Accepted()
    asked = iter([True, False])
    assert isinstance(await delivery.post(to(served, idempotent=True), lambda: next(asked)), Unknown)
    assert len(served.requests) == 2


async def test_an_answer_that_had_begun_is_not_asked_for_again_at_once(
    serve: Serve, deliveries: Deliveries
) -> None:
    async def breaks_off(line: Line) -> None:
        await line.request()
        await line.write(response(200, {"status": "accepted"}))
        await line.request()
        await line.write(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{")

    served, delivery = await serve(breaks_off), deliveries()
    assert await delivery.post(to(served, idempotent=True)) == Accepted()
    assert isinstance(await delivery.post(to(served, idempotent=True)), Unknown)
    assert (len(served.requests), delivery.repeated) == (2, 0)


async def test_a_connection_that_ended_while_idle_costs_no_repetition(
    serve: Serve, deliveries: Deliveries
) -> None:
    served, delivery = (
        await serve(saying(response(200, {"status": "accepted"}), then_close=True)),
        deliveries(),
    )
    for _ in range(2):
        assert await delivery.post(to(served, idempotent=True)) == Accepted()
        await until(lambda: delivery.idle == 0)
    assert (len(served.requests), delivery.opened, delivery.repeated) == (2, 2, 0)


async def test_idle_connections_go_after_a_while(
    serve: Serve, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SWEEP_S", 0.01)
    served, delivery = await serve(always(response(200, {"status": "accepted"}))), deliveries(idle_s=0.05)
    assert await delivery.post(to(served, idempotent=True)) == Accepted()
    assert delivery.idle == 1
    await until(lambda: delivery.idle == 0 and served.open == 0)


async def test_a_cancelled_post_leaves_no_connection(serve: Serve, deliveries: Deliveries) -> None:
    served, delivery = await serve(saying(b"")), deliveries()
    post = asyncio.create_task(delivery.post(to(served, idempotent=True)))
    await until(lambda: len(served.requests) == 1)
    post.cancel()
    with pytest.raises(asyncio.CancelledError):
        await post
    await until(lambda: served.open == 0)
    assert (delivery.in_flight, delivery.idle) == (0, 0)


async def test_closing_waits_for_no_buyer(serve: Serve, deliveries: Deliveries) -> None:
    """What was sent is unknown then, and what still waits for its turn was not sent."""
    served, delivery = await serve(saying(b"")), deliveries(connections=1)
    first = asyncio.create_task(delivery.post(to(served, timeout_ms=60_000)))
    await until(lambda: len(served.requests) == 1)
    second = asyncio.create_task(delivery.post(to(served, timeout_ms=60_000)))
    await until(lambda: delivery.in_flight == 2)
    async with asyncio.timeout(10):
        await delivery.close()
        assert isinstance(await first, Unknown)
        assert isinstance(await second, NotSent)


async def test_headers_of_ours_are_sent_once(serve: Serve, deliveries: Deliveries) -> None:
    served = await serve(saying(response(200, {"status": "accepted"})))
    theirs = {"idempotency-key": "mine", "Accept-Encoding": "gzip", "X-Api-Key": "k"}
    assert await deliveries().post(to(served, headers=theirs)) == Accepted()
    head = served.requests[0].lower()
    assert head.count(b"idempotency-key: l1:o1") == head.count(b"idempotency-key") == 1
    assert head.count(b"accept-encoding: identity") == head.count(b"accept-encoding") == 1
    assert b"x-api-key: k" in head


async def test_nobody_listens(deliveries: Deliveries) -> None:
    with held_port() as port:
        url = f"http://127.0.0.1:{port}"
        request = PostRequest(url=url, body=b"{}", idempotency_key="k", timeout_ms=5_000)
        outcome = await deliveries().post(request)
    assert isinstance(outcome, NotSent)
    assert outcome.reason is Reason.CONNECT_FAILED


@pytest.mark.parametrize("url", ["http://nowhere.invalid/", "not a url", "http://", "http://x y/"])
async def test_nowhere_to_send_to(deliveries: Deliveries, url: str) -> None:
    request = PostRequest(url=url, body=b"{}", idempotency_key="k", timeout_ms=5_000)
    outcome = await deliveries().post(request)
    assert isinstance(outcome, NotSent)
    assert outcome.reason is Reason.CONNECT_FAILED


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_private_addresses_are_refused(serve: Serve, deliveries: Deliveries, host: str) -> None:
    served = await serve(saying(b""))
    outcome = await deliveries(allow_private=False).post(to(served, url=f"http://{host}:{served.port}/"))
    assert isinstance(outcome, NotSent)
    assert outcome.reason is Reason.FORBIDDEN_ADDRESS
    assert served.lines == 0


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1"])
async def test_no_spelling_of_loopback_gets_through(serve: Serve, deliveries: Deliveries, host: str) -> None:
    served = await serve(saying(b""))
    outcome = await deliveries(allow_private=False).post(to(served, url=f"http://{host}:{served.port}/"))
    assert isinstance(outcome, NotSent)
    assert served.lines == 0


async def test_tls(serve: Serve, deliveries: Deliveries, authority: Authority) -> None:
    served = await serve(saying(response(200, {"status": "accepted"})), authority.server("127.0.0.1"))
    delivery = deliveries()
    assert await delivery.post(to(served, ca_file=authority.ca_file)) == Accepted()
    untrusted = await delivery.post(to(served))
    assert isinstance(untrusted, NotSent)
    assert untrusted.reason is Reason.TLS_FAILED
    wrong = to(served, url=f"https://localhost:{served.port}/", ca_file=authority.ca_file)
    misnamed = await delivery.post(wrong)
    assert isinstance(misnamed, NotSent)
    assert misnamed.reason is Reason.TLS_FAILED
    assert len(served.requests) == 1


async def test_a_handshake_that_hangs_sent_nothing(
    serve: Serve, deliveries: Deliveries, authority: Authority
) -> None:
    async def deaf(line: Line) -> None:
        await line.reader.readuntil(b"never")

    served = await serve(deaf)
    served.scheme = "https"
    outcome = await deliveries().post(to(served, ca_file=authority.ca_file, timeout_ms=200))
    assert isinstance(outcome, NotSent)
    assert outcome.reason is Reason.TIMEOUT


async def test_what_the_operator_got_wrong_sends_nothing(serve: Serve, deliveries: Deliveries) -> None:
    served = await serve(saying(b""))
    mistakes: list[dict[str, Any]] = [
        {"signing_secret": "not base64!"},
        {"headers": {"X": "a\r\nb"}},
        {"ca_file": "/nowhere.pem", "url": f"https://127.0.0.1:{served.port}/"},
    ]
    for mistake in mistakes:
        assert isinstance(await deliveries().post(to(served, **mistake)), NotSent)
    assert served.lines == 0


async def test_posts_in_flight_are_bounded(serve: Serve, deliveries: Deliveries) -> None:
    go = asyncio.Event()

    async def slow(line: Line) -> None:
        await line.request()
        await go.wait()
        await line.write(response(200, {"status": "accepted"}))

    served, delivery = await serve(slow), deliveries(in_flight=2)
    first = [asyncio.create_task(delivery.post(to(served))) for _ in range(2)]
    await until(lambda: len(served.requests) == 2)
    refused = await delivery.post(to(served))
    assert isinstance(refused, NotSent)
    assert (refused.reason, delivery.busy) == (Reason.BUSY, 1)
    go.set()
    assert await asyncio.gather(*first) == [Accepted(), Accepted()]


async def test_waiting_for_a_connection_sends_nothing(serve: Serve, deliveries: Deliveries) -> None:
    served, delivery = await serve(saying(b"")), deliveries(connections=1)
    first = asyncio.create_task(delivery.post(to(served, timeout_ms=60_000)))
    await until(lambda: len(served.requests) == 1)
    second = await delivery.post(to(served, timeout_ms=100))
    assert isinstance(second, NotSent)
    assert second.reason is Reason.TIMEOUT
    await delivery.close()
    assert isinstance(await first, Unknown)
    assert len(served.requests) == 1
