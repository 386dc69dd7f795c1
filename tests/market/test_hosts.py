"""Hosts by their spelling: one that can be read in two ways is refused."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from auction.catalogue.endpoint_rules import endpoint_problems
from auction.market.hosts import host_problem
from auction.market.model import Buyer


@pytest.mark.parametrize(
    "host",
    ["buyer.example", "BUYER.example", "b", "localhost", "a_b.example", "xn--bcher-kva.example", "1.example",
     "93.184.216.34", "127.0.0.1", "2606:4700::1111", "::1", "::ffff:127.0.0.1", "a" * 63 + ".example", "4chan.x1"],
)  # fmt: skip
def test_hosts(host: str) -> None:
    assert host_problem(host) is None


@pytest.mark.parametrize(
    "host",
    ["", ".", "a..b", ".a", "a.", "localhost.", "127.0.0.1.", "-a.example", "a-.example", "a" * 64 + ".example",
     "a." * 127 + "ab", "127.1", "127.0.1", "2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "0x", "127.0.0.0x1",
     "256.1.1.1", "1.2.3.4.5", "127.0.0.01", "a.1", "%31.example", "a b", "a/b", "a\\b", "a@b", "a:b", "a#b", "a?b",
     "xn--\u00fc.example", "xn--.example", "b\u00fccher.example", "\u2460.example", "a\u3002example", "::1%eth0",
     "fe80::1%25lo", "v1.x:y", "12345::", "a,b", "a\x00b", "a\tb", "[::1]"],
)  # fmt: skip
def test_what_is_no_host(host: str) -> None:
    assert host_problem(host) is not None


AUTHORITY = st.text(st.sampled_from("ab1.0x7-_:@[]%\\/?# \t\n\u00fc\u3002\uff0e@:"), max_size=14)


@given(
    AUTHORITY,
    st.sampled_from(["http", "https", "ftp", "HTTP", ""]),
    st.sampled_from(["", "/", "/p?q=1", "?q", "\\p"]),
)
@example("a\\@127.0.0.1", "http", "/")
@example("127.0.0.1\\.a", "http", "/")
@example("a#@127.0.0.1", "http", "/")
@example("a?@127.0.0.1", "http", "/")
@example("a@b@127.0.0.1", "http", "")
@example("a:80@127.0.0.1", "http", "/")
@example("0x7f.1", "http", "/")
def test_a_url_that_passes_is_read_alike_by_everybody(authority: str, scheme: str, rest: str) -> None:
    """By us, who ask with `urlsplit`'s parts, and by aiohttp, which posts to yarl's."""
    url = f"{scheme}://{authority}{rest}"
    if list(endpoint_problems(Buyer(id="b", ping_url=url), ())):
        return
    ours, theirs = urlsplit(url), yarl.URL(url)
    assert (ours.scheme, ours.hostname, ours.port) == (theirs.scheme, theirs.raw_host, theirs.explicit_port)
    assert theirs.raw_user is theirs.raw_password is None
    assert not theirs.raw_fragment
    host = ours.hostname or ""
    if host.rpartition(".")[2].isdigit():
        assert str(ipaddress.IPv4Address(host)) == host
