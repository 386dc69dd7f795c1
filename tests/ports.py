"""Ports on loopback that are ours while nobody listens on them.

A port that was free a moment ago is another process' a moment later: every connection that anybody opens takes one.
One that is bound, and listened on by nobody, refuses clients, and the kernel gives it to nobody else; whoever is told
of it can listen there all the same, as servers allow addresses to be used again (SO_REUSEADDR, as we do).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """One that is nobody else's until the end of the block."""
    with bound() as held:
        yield int(held.getsockname()[1])


def bound(port: int = 0) -> socket.socket:
    """A socket on this port (or on any), which does not listen."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made
