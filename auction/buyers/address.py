"""Where a buyer's endpoint may be: its addresses, and which of them we refuse to speak to.

A buyer's URL is another company's text. Without a rule it could point the house at its own network (SSRF),
also by a name that resolves to a public address when it is checked and to a private one when it is used. So
the rule is applied to the addresses that a name resolved to, and the very same addresses are connected to.

And it could keep others from being found: the system's resolver may hang for half a minute where a buyer's name server
does not answer, and a loop asks for a few names at once only (uvloop for two). So a name is asked for in a thread of
its own, and by one at a time: a name that hangs takes that thread, and no more.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from concurrent.futures import Future
from typing import Any

import msgspec

MOST_LOOK_UPS = 256
"""Names that are asked for at one time; for one more there is no answer."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_REFUSED_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        # Azure's host, public by its number; and what versions of Python differ about: 6to4 relays, IETF, shared
        ("168.63.129.16/32", "192.88.99.0/24", "192.0.0.0/24", "100.64.0.0/10"),
    )
)
_REFUSED_V6 = tuple(
    map(
        ipaddress.IPv6Network,
        # IETF assignments with Teredo, ORCHID and benchmarks; documentation, twice; 6to4
        ("2001::/23", "2001:db8::/32", "3fff::/20", "2002::/16"),
    )
)
_ISATAP = frozenset((0x0000_5EFE, 0x0200_5EFE))
"""The middle of an address behind an ISATAP tunnel (RFC 5214): its last four bytes are an IPv4 address."""


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

    Private, loopback, link-local, shared (CGNAT), multicast, reserved and unspecified addresses are not, nor those at
    which clouds tell machines their secrets. Of IPv6 only what is given out as global unicast is, without the tunnels
    (6to4, Teredo, ISATAP); an address that carries an IPv4 one inside (mapped, NAT64) is what that one is.
    """
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not (address.is_multicast or any(address in net for net in _REFUSED_V4))
    inner = address.ipv4_mapped or (_last_four(address) if address in _NAT64 else None)
    if inner is not None:
        return is_public(str(inner))
    if address not in _GLOBAL_V6 or any(address in net for net in _REFUSED_V6):
        return False
    return (int(address) >> 32) & 0xFFFFFFFF not in _ISATAP


def _last_four(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


async def resolve(host: str, port: int, *, allow_private: bool, timeout_s: float) -> Resolved:
    """The host's addresses, in the system's order of preference.

    Raises `OSError` where there are none, `TimeoutError` (also an `OSError`) where no answer comes in time.
    """
    async with asyncio.timeout(timeout_s):
        found = await asyncio.shield(asyncio.wrap_future(_look_up(host, port)))
    allowed = tuple(
        Address(int(family), sockaddr)
        for family, _, _, _, sockaddr in found
        if allow_private or is_public(str(sockaddr[0]))
    )
    return Resolved(allowed, len(found) - len(allowed))


_under_way: dict[tuple[str, int], Future[list[Any]]] = {}


def _look_up(host: str, port: int) -> Future[list[Any]]:
    """What the system says of a name; the same for all who ask while it has not answered yet. Raises `OSError`."""
    asked = host, port
    found = _under_way.get(asked)
    if found is None:
        if len(_under_way) >= MOST_LOOK_UPS:
            raise OSError("too many names are being asked for")
        _under_way[asked] = found = Future()
        # A daemon: an end of the process does not wait for a name server.
        thread = threading.Thread(target=_ask, args=(asked, found), name="name", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            del _under_way[asked]
            raise OSError(str(error)) from None
    return found


def _ask(asked: tuple[str, int], found: Future[list[Any]]) -> None:
    try:
        told = socket.getaddrinfo(*asked, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except Exception as error:
        _under_way.pop(asked, None)
        found.set_exception(error)
    else:
        _under_way.pop(asked, None)
        found.set_result(told)
