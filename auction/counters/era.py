"""For which run of which server the counters are good: a gate in front of them.

A server that was restarted or restored from an older dump has another `run_id`; one that was a replica for a while
has another `master_replid`. Then what it holds may be older than what the house did. So one hash in the counters,
`{house}`, says for which run they were last compared with the ledger, and with which ledger. At every
connection the gate looks: the same run, and nothing can have been lost; another, and no call goes until
somebody has rebuilt them (`auction/reconcile/rebuilding.py`).

Keys can also vanish while the server runs (FLUSHALL, a script, an eviction). The server itself tells us of that: the
hash is a key that we ask it to track, and its notice comes on the connection of the calls, in front of every reply
that was made after the loss. A server that cannot do that (Redis below 6, some proxies) is looked at once a second.
"""

from __future__ import annotations

import os
from asyncio import Future
from collections.abc import Callable
from typing import Any

import msgspec

from auction.counters.address import Address
from auction.counters.faults import CallError, CountersRebuilding, CountersUnavailable
from auction.counters.info import read_info
from auction.counters.naming import HOUSE
from auction.errors import HouseError, OperatorError

_LOCAL = ("", "localhost", "127.0.0.1", "::1")

Ask = Callable[..., Future[Any]]


class Era(msgspec.Struct, frozen=True):
    """What the counters say of themselves; None where they say nothing: they are new, or were emptied."""

    ledger: str | None
    counters: str | None
    run: str | None


class Server(msgspec.Struct, frozen=True):
    """What a server says of itself.

    `run` stays the same as long as it lives and takes over nobody else's data. `evicts`: under a full memory it drops
    keys of its choice, and which.
    """

    run: str
    replica: bool
    evicts: str | None


async def read_server(ask: Ask) -> tuple[Server, Era]:
    """Who answers, and what its counters say. Raises `CountersUnavailable`."""
    told, said = ask("HMGET", HOUSE, "ledger", "counters", "run"), ask("INFO")
    ledger, counters, run = (None if each is None else each.decode() for each in await told)
    return server_of(await said), Era(ledger, counters, run)


def server_of(info: bytes) -> Server:
    """`INFO`, as far as it matters here."""
    known = read_info(info)
    policy = known.get("maxmemory_policy", "noeviction")
    limited = known.get("maxmemory", "0") != "0"
    return Server(
        run=f"{known.get('run_id', '')}:{known.get('master_replid', '')}",
        replica=known.get("role") == "slave",
        evicts=policy if limited and policy != "noeviction" else None,
    )


def where(at: Address) -> str:
    """A name for the place of these counters: one and the same from everywhere, if it can be reached from there."""
    if at.watched is not None:
        return f"{at.watched.name}/{at.db}"
    if at.path is not None or at.host in _LOCAL:
        return f"{os.uname().nodename}:{at.path or at.port}/{at.db}"
    return f"{at.host}:{at.port}/{at.db}"


class Gate:
    """Lets calls to the counters through while they are known to be good. One for each `Link`.

    `settled` is for its owner to set: that the caps of this worker's own market are counted too. `wanted` is called
    when there is something to do before calls may go.
    """

    def __init__(self, ledger: str, wanted: Callable[[], None]) -> None:
        self.settled = False
        self.barred: OperatorError | None = None
        self.tracked = False
        self._ledger = ledger
        self._wanted = wanted

    async def greet(self, ask: Ask) -> None:
        """A new connection: have the server tell when the hash is changed or lost."""
        try:
            await ask("HELLO", "3")
            await ask("CLIENT", "TRACKING", "ON", "OPTIN")
            self.tracked = True
        except CallError:
            self.tracked = False

    async def check(self, ask: Ask) -> HouseError | None:
        """Why no call may go, or None. Raises `OperatorError` for counters that cannot be traded on at all."""
        if self.tracked:
            ask("CLIENT", "CACHING", "YES")  # what comes next is tracked
        server, era = await read_server(ask)
        if self.barred is not None:
            return CountersUnavailable(self.barred.detail)
        fault = unfit(server, era, self._ledger)
        if fault is not None:
            raise fault
        if server.replica:
            return CountersUnavailable("the server is a read-only replica")
        if era.run == server.run and self.settled:
            return None
        if era.run != server.run:
            self.settled = False
        self._wanted()
        return CountersRebuilding()


def unfit(server: Server, era: Era, ledger: str) -> OperatorError | None:
    """What an operator has to change before this server can hold this ledger's counters."""
    if era.ledger is not None and era.ledger != ledger:
        return OperatorError(
            "counters_of_another",
            f"these counters are of another exchange (ledger {era.ledger}, ours is {ledger}): give each its own, by "
            "AUCTION_REDIS_URL or by a database number at its end; if this ledger is to take their place, "
            "run `auction reconcile --adopt`",
        )
    if server.evicts is not None and server.evicts.startswith("allkeys"):
        return OperatorError(
            "counters_evict",
            f"the counters' server drops keys when its memory is full (maxmemory-policy {server.evicts}), and caps "
            "with them: set maxmemory-policy noeviction",
        )
    return None
