from __future__ import annotations

import pytest

from auction.buyers.target import compile_target, merged_headers
from auction.errors import OperatorError


def test_a_target() -> None:
    target = compile_target("https://Buyer.Example/a b?x=1&y=ä", {"Authorization": "Bearer k"}, 250)
    assert (target.scheme, target.host, target.port, target.timeout_ms) == (
        "https",
        "buyer.example",
        443,
        250,
    )
    assert target.origin == "https://buyer.example:443"
    assert target.head == (
        b"POST /a%20b?x=1&y=%C3%A4 HTTP/1.1\r\nHost: buyer.example\r\nContent-Type: application/json\r\n"
        b"Accept: application/json\r\nUser-Agent: auction\r\nAuthorization: Bearer k\r\nContent-Length: "
    )


def test_same_origin_same_connections() -> None:
    def origin(url: str, ca_file: str | None = None) -> str:
        return compile_target(url, {}, 1, ca_file).origin

    assert origin("http://b.example/x") == origin("http://B.example:80/y?z")
    assert (
        len(
            {
                origin("http://b.example"),
                origin("https://b.example"),
                origin("http://b.example:81"),
                origin("https://b.example", "/ca.pem"),
                origin("http://c.example"),
            }
        )
        == 5
    )


def test_hosts_of_every_kind() -> None:
    assert b"Host: [::1]:81\r\n" in compile_target("http://[::1]:81", {}, 1).head
    assert compile_target("http://[::1]:81", {}, 1).host == "::1"
    assert compile_target("http://bücher.example", {}, 1).host == "xn--bcher-kva.example"
    assert compile_target("http://b.example", {}, 1).head.startswith(b"POST / HTTP/1.1\r\n")
    assert b"/%2F/a%0D%0Ab " in compile_target("http://b.example/%2F/a%0D%0Ab", {}, 1).head


@pytest.mark.parametrize(
    "url",
    ["", "buyer.example", "ftp://b.example", "http://", "http:///x", "http://b.example:0", "http://b.example:x",
     "http://b.example:99999", "http://u:p@b.example", "http://u@b.example", "http://b c/", "http://[::1", "file:///etc",
     "http://" + "a" * 70 + ".example", "https://.example", "https://a..example",
     "http://127.1/", "http://0x7f.0.0.1/", "http://b.example./"],
)  # fmt: skip
def test_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(OperatorError):
        compile_target(url, {}, 1)


def test_headers_over_defaults() -> None:
    merged = merged_headers({"content-type": "text/x", "X-Key": "ü"})
    assert merged == {
        "Accept": "application/json",
        "User-Agent": "auction",
        "content-type": "text/x",
        "X-Key": "ü",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("X", "a\r\nY: b"), ("X", "a\x00"), ("X", "日"), ("X Y", "a"), ("X:", "a"), ("", "a"), ("Host", "x"),
     ("content-length", "3"), ("Transfer-Encoding", "chunked"), ("CONNECTION", "close"), ("Expect", "x")],
)  # fmt: skip
def test_headers_that_could_bend_a_request(name: str, value: str) -> None:
    with pytest.raises(OperatorError):
        compile_target("http://b.example", {name: value}, 1)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://b.example/p?api_key=hush",
        "https://ann:hush@b.example/p",
        "https://b.example:0/p?hush",
        "https://b.example:port/p?k=hush",
        "https:///p?k=hush",
        "https://[b.example/p?k=hush",
    ],
)
def test_what_is_wrong_with_a_url_is_told_without_its_secrets(url: str) -> None:
    """The sentence goes to logs."""
    with pytest.raises(OperatorError) as wrong:
        compile_target(url, {}, 250)
    assert "hush" not in wrong.value.detail
