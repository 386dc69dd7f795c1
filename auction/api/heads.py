"""The head of a request, pure: what llhttp lets through and HTTP does not, and where its target leads."""

from __future__ import annotations

from collections.abc import Sequence

from httptools import HttpParserCallbackError, HttpParserError, parse_url

from auction.errors import SellerError

_ONCE = (
    b"authorization",
    b"x-api-key",
    b"content-type",
    b"idempotency-key",
    b"webhook-id",
    b"webhook-signature",
)
"""Whoever stands in front of us may look at the first of two, and we at the last: of these there is one."""


def check_head(version: str, names: Sequence[bytes]) -> None:
    """`names` are those of the headers, in small letters. Raises `SellerError` 400 (RFC 9112: 2.3, 3.2, 6.1;
    RFC 9110: 5.3)."""
    if version != "1.1" and version != "1.0":
        raise bad_http("Speak HTTP/1.1.")
    hosts = names.count(b"host")
    if hosts > 1 or (not hosts and version == "1.1"):
        raise bad_http("A request has one Host header.")
    if version == "1.0" and b"transfer-encoding" in names:
        raise bad_http("HTTP/1.0 has no Transfer-Encoding.")
    if len(set(names)) < len(names) and any(names.count(name) > 1 for name in _ONCE):
        raise bad_http("A header that says who asks, or for what, is there twice.")


def head_size(target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int:
    """The bytes of a head, about."""
    return len(target) + sum(len(name) + len(value) + 4 for name, value in headers)


def split_target(target: bytes) -> tuple[str, bytes]:
    """Path (still encoded) and query of a request's target."""
    if not target.startswith(b"/") and b"://" in target:
        parsed = parse_url(target)
        return (parsed.path or b"/").decode("latin-1"), parsed.query or b""
    path, _, query = target.partition(b"#")[0].partition(b"?")
    return path.decode("latin-1"), query


def fault_of(error: HttpParserError) -> SellerError:
    """What the parser found; or ours, raised in one of its callbacks. A bug of ours is raised."""
    if not isinstance(error, HttpParserCallbackError):
        return bad_http(f"{error}.")
    ours = error.__context__
    if isinstance(ours, SellerError):
        return ours
    raise error


def bad_http(why: str) -> SellerError:
    """400, with the reason in a sentence."""
    return SellerError(400, "bad_http", f"This is not HTTP/1.1 as it should be. {why}")


def head_too_large(most_bytes: int, most_headers: int) -> SellerError:
    """431 (RFC 6585), with what to do instead."""
    return SellerError(
        431,
        "head_too_large",
        f"The head of a request (its URL and headers) may have {most_bytes} bytes and {most_headers} headers. Ask for "
        "many values of $in in several requests, and send what belongs to a lead in the body.",
    )
