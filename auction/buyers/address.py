"""Where a buyer's endpoint may be: its addresses, and which of them we refuse to speak to.

A buyer's URL is another company's text. Without a rule it could point the house at its own network (SSRF),
also by a name that resolves to a public address when it is checked and to a private one when it is used. So
the rule is applied to the addresses that a name resolved to, and the very same addresses are connected to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

import msgspec

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Address(msgspec.Struct, frozen=True):
    """One way to a host: what `socket.socket` and `connect` take."""

    family: int
    sockaddr: Any


class Resolved(msgspec.Struct, frozen=True):
    """What a name resolved to: the addresses we may use, and how many were refused."""

    addresses: tuple[Address, ...]
    refused: int


def is_public(ip: str) -> bool:
    """Whether an address, as `getaddrinfo` writes it, is on the open internet.

    Private, loopback, link-local, shared (CGNAT), multicast, reserved and unspecified addresses are not; nor
    is an IPv6 address that carries one of those inside (mapped, 6to4, Teredo, NAT64).
    """
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = _carried(address)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


async def resolve(host: str, port: int, *, allow_private: bool, timeout_s: float) -> Resolved:
    """The host's addresses, in the system's order of preference.

    Raises `OSError` where there are none, `TimeoutError` (also an `OSError`) where no answer comes in time.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    allowed = tuple(
        Address(int(family), sockaddr)
        for family, _, _, _, sockaddr in found
        if allow_private or is_public(str(sockaddr[0]))
    )
    return Resolved(allowed, len(found) - len(allowed))
