"""Which hosts a buyer's URL may name, by their spelling alone. Pure: where a name leads is known when it is resolved.

A host that can be read in two ways is refused, for the program that checks an address and the one that connects to
it may read it differently: `0177.0.0.1` is 127.0.0.1 or 177.0.0.1, `2130706433` a name or an address,
`example.com.` a second spelling of `example.com` that no certificate has.
"""

from __future__ import annotations

import ipaddress
import re

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MOST_CHARACTERS = 253


def host_problem(host: str) -> str | None:
    """What is wrong with the host of a URL (as `urlsplit` gives it, in ASCII), with what to write instead."""
    if ":" in host:
        return None if _is_ipv6(host) else "expected an IPv6 address such as [2001:db8::1], without a zone"
    host = host.lower()
    if host.endswith("."):
        return "write the host without a dot at its end"
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # then every browser and resolver takes it for an address
        return None if _is_ipv4(host) else "write an IPv4 address as four plain numbers such as 192.0.2.1"
    if len(host) > _MOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        return "expected a host such as buyer.example: letters, digits and `-`, dots between"
    if any(label.startswith("xn--") and not _is_punycode(label) for label in labels):
        return "a part of the host begins with xn-- and is no international name"
    return None


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_punycode(label: str) -> bool:
    try:
        return label.encode().decode("idna") != label
    except UnicodeError:
        return False
