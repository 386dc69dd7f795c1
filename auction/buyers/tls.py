"""How we trust buyers' servers: the system's certificate authorities, or a private one named by the buyer."""

from __future__ import annotations

import asyncio
import ssl

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
    context.set_alpn_protocols(["http/1.1"])
    return context


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
