"""Whose a request is, as far as its head tells: in which line it waits at the gate (`lines`).

Asked only where somebody has to wait, and before a byte of a body is read. So it is the key of the header that counts,
by its hash, at every door: all keys of a seller are one caller. All others together are one more, or whoever makes up
keys would have as many lines as he likes: wrong keys, none, those of paused sellers, and at `/api.php` also those who
send their key in the body, or need none. Among them turns go round the addresses that they come from (of IPv6 the first
64 bits, for so much is handed out to one): of a flood from one place those from others do not notice much. Behind a
proxy all have one address, for what a header says of it anybody can make up; there only a key in the header helps.
"""

from __future__ import annotations

import socket
from typing import Final

from starlette.types import Scope

from auction.api.lines import Caller
from auction.api.wire import headers_of, key_of
from auction.market.market import Market

UNKNOWN: Final = ""
"""The group of those who are none of our sellers, as far as the head tells; no seller has this id."""
_MAPPED: Final = "::ffff:"
"""An IPv4 address on a socket for both."""


def caller_of(scope: Scope, market: Market) -> Caller:
    """The seller by its id, or the unknown by the network that they call from."""
    key = key_of(headers_of(scope))
    seller = market.seller_of_key(key) if key else None
    return (UNKNOWN, network_of(scope["client"])) if seller is None else (seller.id,)


def network_of(client: object) -> str:
    """Where a client calls from (`getpeername`): an IPv4 address, 64 bits of an IPv6 one; nothing where it has none."""
    if not isinstance(client, tuple):
        return ""
    host: str = client[0]
    if ":" not in host or host.startswith(_MAPPED):
        return host
    return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8].hex()
