"""How we trust buyers' servers: the system's certificate authorities, or a private one named by the buyer."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from auction.errors import OperatorError


def client_context(ca_file: str | None) -> ssl.SSLContext:
    """A context that checks the chain and the host's name, and speaks HTTP/1.1 over TLS 1.2 or later.

    A `ca_file` is trusted instead of the system's authorities, not besides them. Reads files. Raises
    `OperatorError`.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise OperatorError("ca_file", f"ca_file {ca_file!r} is not readable as PEM: {error}") from None
    # A server that begins a handshake anew (TLS 1.2) and stalls makes writes wait for reads on a socket that can be
    # written: the loop would go round and round.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def calls_of(sock: socket.socket) -> tuple[Callable[[bytes], int], Callable[[int], bytes]]:
    """`send` and `recv` of a connected socket, the shortest way there is.

    Over TLS those of the C object in an `SSLSocket`: the six frames of Python around them are 2 % of a ping. They
    differ in one thing: where a connection ends without a `close_notify`, `recv` raises `SSLEOFError`, an `OSError`,
    and does not give `b""`.
    """
    # a private name: where it is gone, the frames are back, and no more
    inside = getattr(sock, "_sslobj", None)
    return (sock.send, sock.recv) if inside is None else (inside.write, inside.read)


class Contexts:
    """The contexts in use, by `ca_file`: each is made once, off the loop, however many ask for it at once."""

    def __init__(self) -> None:
        self._made: dict[str | None, ssl.SSLContext] = {}
        self._making = asyncio.Lock()

    async def of(self, ca_file: str | None) -> ssl.SSLContext:
        """The context that trusts `ca_file`, or the system's authorities. Raises `OperatorError`."""
        made = self._made.get(ca_file)
        if made is not None:
            return made
        async with self._making:
            if ca_file not in self._made:
                self._made[ca_file] = await asyncio.to_thread(client_context, ca_file)
            return self._made[ca_file]
