"""What a buyer's endpoints must look like: URLs, headers, secrets. No secret is ever part of a sentence."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from auction.catalogue.mistakes import Path, Problem
from auction.catalogue.secrets import KEPT
from auction.market.hosts import host_problem
from auction.market.model import Buyer
from auction.settings import is_of_the_house

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_ENV = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_SET_BY_US = frozenset(
    (
        *("connection", "content-length", "content-type", "expect", "host", "idempotency-key", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
        *("webhook-id", "webhook-signature", "webhook-timestamp"),
    )
)
_SECRET_BYTES = range(24, 65)  # Standard Webhooks: "between 24 and 64 bytes"
OF_THE_HOUSE = "AUCTION_… are the settings of the house, and stay in it; name another variable"
_NOT_SHOWN = f"`{KEPT}` stands where the admin API does not show a secret; write the secret"
SIGNING_SHAPE = "expected `env:NAME`, or `whsec_` and 24 to 64 random bytes in base64"


def endpoint_problems(buyer: Buyer, path: Path) -> Iterator[Problem]:
    """What is wrong with the URLs, headers and signing secret of the buyer at `path`."""
    for key, url in (("ping_url", buyer.ping_url), ("post_url", buyer.post_url)):
        error = None if url is None else url_error(url)
        if error is not None:
            yield Problem((*path, key), error)
    yield from _header_problems(buyer.headers, (*path, "headers"))
    if buyer.signing_secret is not None and (error := secret_error(buyer.signing_secret)) is not None:
        yield Problem((*path, "signing_secret"), error)


def url_error(url: str) -> str | None:
    """What is wrong with the URL of an endpoint; nothing if it can be called."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "expected a URL such as https://buyer.example/ping"
    if parts.scheme not in ("http", "https") or not host:
        return "expected a URL such as https://buyer.example/ping"
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "expected a URL of printable ASCII; write other characters percent-encoded"
    if parts.username is not None or parts.password is not None:
        return "a URL may not hold a user or a password; write an `authorization` under `headers`"
    if "#" in url:
        return "a URL's part after `#` is never sent; take it out"
    if KEPT in url:
        return _NOT_SHOWN
    if port == 0 or parts.netloc.endswith(":"):
        return "expected a port from 1 to 65535 after the host's `:`"
    return host_problem(host)


def _header_problems(headers: dict[str, str], path: Path) -> Iterator[Problem]:
    firsts: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            yield Problem((*path, name), "expected a header's name of letters, digits and `-`")
        elif lower in _SET_BY_US:
            yield Problem((*path, name), "this header is set by the exchange; take it out")
        elif lower in firsts:
            yield Problem((*path, name), "this header stands twice", (*path, firsts[lower]))
        firsts.setdefault(lower, name)
        if value == KEPT:
            yield Problem((*path, name), _NOT_SHOWN)
        elif not _VALUE.fullmatch(value) or value != value.strip():
            yield Problem(
                (*path, name), "expected a value of one line of printable ASCII, no space around it"
            )
        elif value.startswith("env:") and not _ENV.fullmatch(value):
            yield Problem((*path, name), "expected `env:NAME`, the name of an environment variable")
        elif value.startswith("env:") and is_of_the_house(value.removeprefix("env:")):
            yield Problem((*path, name), OF_THE_HOUSE)


def secret_error(text: str) -> str | None:
    """What is wrong with a signing secret; nothing if it can be used, or names an environment variable."""
    if text.startswith("env:") and is_of_the_house(text.removeprefix("env:")):
        return OF_THE_HOUSE
    return None if _is_secret(text) else SIGNING_SHAPE


def _is_secret(text: str) -> bool:
    if text.startswith("env:"):
        return _ENV.fullmatch(text) is not None
    if not text.startswith("whsec_"):
        return False
    try:
        return len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) in _SECRET_BYTES
    except (binascii.Error, ValueError):
        return False
