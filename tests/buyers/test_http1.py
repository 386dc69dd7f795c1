from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.buyers.http1 import ResponseReader, frame, request_head
from auction.errors import BuyerError
from auction.market.reasons import Reason

Outcome = tuple[object, ...]


def outcome(pieces: list[bytes]) -> Outcome:
    """What a reader makes of one response that comes in `pieces`, with the connection closed after them."""
    reader = ResponseReader()
    try:
        for at, piece in enumerate(pieces):
            if reader.feed(piece):
                rest = b"".join(pieces[at + 1 :])
                reusable = reader.keep_alive and not rest.strip(b"\r\n")
                return ("whole", reader.status, reader.body, reusable)
        if reader.eof():
            return ("whole", reader.status, reader.body, reader.keep_alive)
    except BuyerError as error:
        return ("refused", error.code)
    finally:
        reader.close()
    return ("none",)


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Responses of every framing, most of them good."""
    body = draw(st.binary(max_size=60))
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    status = draw(st.sampled_from([200, 200, 204, 304, 404, 500]))
    lines = [f"HTTP/{version} {status} {draw(st.sampled_from(['OK', '', 'No Content']))}"]
    lines += draw(
        st.lists(
            st.sampled_from(
                [
                    "Server: x",
                    "X-Empty:",
                    "Date: today",
                    "Connection: close",
                    "Connection: keep-alive",
                    "Keep-Alive: timeout=5",
                ]
            ),
            max_size=3,
        )
    )
    framing = draw(st.sampled_from(["length", "length", "chunked", "eof", "short", "both"]))
    if framing in ("length", "both"):
        lines.append(f"Content-Length: {len(body)}")
    if framing in ("chunked", "both"):
        lines.append("transfer-encoding: Chunked")
        cuts = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=3))})
        chunks = [body[a:b] for a, b in pairwise(cuts)] + [b""]
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    if framing == "short":
        lines.append(f"Content-Length: {len(body) + 3}")
    early = draw(
        st.sampled_from(
            [
                b"",
                b"",
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2,
            ]
        )
    )
    behind = draw(st.sampled_from([b"", b"", b"\r\n", b"x", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\n\r\n"]))
    return early + "\r\n".join([*lines, "", ""]).encode() + body + behind


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A response with some bytes lost, changed or put in."""
    data = bytearray(draw(responses()))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 4))] = draw(
            st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\0", b":"])
        )
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(data=responses() | broken(), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_how_it_was_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    some = [data[a:b] for a, b in pairwise(bounds)]
    in_one = outcome([data] if data else [])
    assert outcome(some) == in_one
    assert outcome(one_by_one(data)) == in_one


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_nothing_but_a_typed_error(data: bytes) -> None:
    assert outcome([data])[0] in ("whole", "refused", "none")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6), st.booleans())
def test_one_response_after_the_other(bodies: list[bytes], slowly: bool) -> None:
    reader = ResponseReader()
    for body in bodies:
        data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        pieces = one_by_one(data) if slowly else [data]
        assert [reader.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert (reader.status, reader.body, reader.keep_alive) == (200, body, True)
        assert not reader.started
    reader.close()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ("whole", 200, b"hi", True)),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
            ("whole", 200, b"hi", False),
        ),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", ("whole", 200, b"hi", False)),
        (
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
            ("whole", 200, b"hi", True),
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", ("whole", 200, b"to the end", False)),
        (b"HTTP/1.1 200 OK\r\n\r\n", ("whole", 200, b"", False)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", ("whole", 200, b"abc", False)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ("whole", 204, b"", True)),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", ("whole", 304, b"", True)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nA: b\r\n\r\n",
            ("whole", 200, b"hi", True),
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            ("whole", 200, b"hi", True),
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!", ("whole", 200, b"hi", False)),
        (b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n", ("whole", 204, b"", False)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", ("none",)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", ("none",)),
        (b"HTTP/1.1 200 OK\r\nContent-Le", ("none",)),
        (b"HTTP/1.1 100 Continue\r\n\r\n", ("none",)),
        (b"", ("none",)),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            ("refused", Reason.BAD_HTTP),
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", ("refused", Reason.BAD_HTTP)),
        (b"SSH-2.0-OpenSSH_9.6\r\n", ("refused", Reason.BAD_HTTP)),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            ("refused", Reason.BAD_HTTP),
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
            ("refused", Reason.BAD_HTTP),
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ("refused", Reason.BAD_HTTP)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ("refused", Reason.BAD_HTTP)),
    ],
)
def test_examples(data: bytes, expected: Outcome) -> None:
    assert outcome([data] if data else []) == expected
    assert outcome(one_by_one(data)) == expected


@pytest.mark.parametrize("piece", [1_000, 65_536])
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 17_000 + b"\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 4_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 20_000,
    ],
)
def test_too_large(data: bytes, piece: int) -> None:
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    assert outcome(pieces) == ("refused", Reason.TOO_LARGE)


def test_a_body_at_its_limit_is_read() -> None:
    body = b"x" * 65_536
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    pieces = [data[at : at + 30_000] for at in range(0, len(data), 30_000)]
    assert outcome([data]) == outcome(pieces) == ("whole", 200, body, True)


def test_a_request() -> None:
    head = request_head("POST", "buyer.example:8080", "/bid?a=b", {"Accept": "application/json"})
    start = (
        b"POST /bid?a=b HTTP/1.1\r\nHost: buyer.example:8080\r\nAccept: application/json\r\nContent-Length: "
    )
    assert frame(head, b"{}") == start + b"2\r\n\r\n{}"
    assert frame(head, b"", b"a: b\r\n") == start + b"0\r\na: b\r\n\r\n"
