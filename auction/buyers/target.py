"""A buyer's endpoint, compiled once per market so that an ask has nothing left to work out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import msgspec

from auction.buyers.http1 import request_head
from auction.errors import OperatorError
from auction.market.hosts import host_problem
from auction.market.shown_urls import in_short

_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[ \t\x21-\x7e\x80-\xff]*")
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer"}
)
_DEFAULTS = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "auction"}


class Target(msgspec.Struct, frozen=True):
    """Where one buyer is asked, and the head of every request to it.

    `origin` names the connections that may serve it: same scheme, host, port and `ca_file`, same pool.
    Connections carry one request at a time, so an origin's most connections are its most requests in
    flight. `timeout_ms` is the buyer's own; the auction keeps it, the wire only carries it.
    """

    origin: str
    scheme: str
    host: str
    port: int
    head: bytes
    timeout_ms: int
    ca_file: str | None = None


def compile_target(
    url: str, headers: Mapping[str, str], timeout_ms: int, ca_file: str | None = None
) -> Target:
    """The target of `url`; `headers` (secrets already filled in) go with every request.

    Raises `OperatorError`, saying what to write instead.
    """
    scheme, host, port, path = split_url(url)
    head = request_head("POST", authority_of(scheme, host, port), path, merged_headers(headers))
    origin = f"{scheme}://{_named(host)}:{port}" + (f" ca={ca_file}" if ca_file else "")
    return Target(origin, scheme, host, port, head, timeout_ms, ca_file)


def authority_of(scheme: str, host: str, port: int) -> str:
    """The Host header: with the port where it is not the scheme's own."""
    return _named(host) if port == _PORTS[scheme] else f"{_named(host)}:{port}"


def merged_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """A buyer's headers over our defaults. Raises `OperatorError` for one that could bend a request."""
    given = {name.lower() for name in headers}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
            raise OperatorError("header", f"header {name!r} cannot be set; name another one")
        if not _VALUE.fullmatch(value):
            raise OperatorError(
                "header", f"the value of header {name!r} holds a line break or a control character"
            )
    return {name: value for name, value in _DEFAULTS.items() if name.lower() not in given} | dict(headers)


def split_url(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, and the path with its query, as they go on the wire. Raises `OperatorError`."""
    try:
        parts = urlsplit(url)
        host = (
            (parts.hostname or "").encode("idna").decode() if not _is_ipv6(parts.hostname) else parts.hostname
        )
        port = parts.port
    except (ValueError, UnicodeError):
        raise OperatorError("url", f"{in_short(url)!r} is not a URL; write https://host/path") from None
    if parts.scheme not in _PORTS or not host:
        raise OperatorError("url", f"{in_short(url)!r} is not an http or https URL; write https://host/path")
    problem = host_problem(host)
    if problem is not None:
        raise OperatorError("url", f"{host!r}: {problem}")
    if parts.username is not None or parts.password is not None:
        raise OperatorError("url", "a URL must not hold a password; use headers: {Authorization: env:NAME}")
    if port == 0:
        raise OperatorError("url", f"{in_short(url)!r} names port 0")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return parts.scheme, host, port or _PORTS[parts.scheme], f"{path}?{query}" if query else path


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_ipv6(host: str | None) -> bool:
    return host is not None and ":" in host
