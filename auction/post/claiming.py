"""One post per ping: who may sell a ping's lead, and what a repeated post is answered (P5).

The claim lies with the counters and is quick; the truth is the ledger's, which takes one lead of a ping and no more. So
a claim that is lost or lapsed costs a look at the ledger, never a second sale.

A call that failed may have been done all the same. A claim that nobody works under would be in the way of the
next post, so it is given up in the background until that is certain (`owed`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from auction.clock import Clock
from auction.counters.answers import Anothers, Busy, Claimed, Expired
from auction.counters.counters import Counters
from auction.errors import HouseError, SellerError
from auction.ledger.lead_queries import find_lead_by_key, find_lead_by_ping
from auction.ledger.pings import find_ping
from auction.ledger.reader import Reader
from auction.ledger.records import Lead
from auction.market.market import TradedSeller
from auction.ping.offer import OpenPing, decode_open_ping, owned_by
from auction.post.answer import Answers, PostRequest
from auction.post.owed import Owed

WAIT_STEP_S = 0.05
LOOK_STEP_S = 0.25
"""How often the ledger is asked for an answer that another worker is to give."""
LEASE_MS = 10_000
"""A claim that is older, and no lead in the ledger: its worker died, and the next post takes it over."""


class Opened(NamedTuple):
    """An open ping, and the same as it lay with the counters: what another worker would need of it."""

    ping: OpenPing
    record: bytes


class Claiming:
    """Claims pings for posts. Waits up to `wait_ms` for a post of the same ping that is under way."""

    def __init__(
        self, counters: Counters, reader: Reader, answers: Answers, clock: Clock, wait_ms: int
    ) -> None:
        self._counters = counters
        self._reader = reader
        self._answers = answers
        self._clock = clock
        self._wait_s = wait_ms / 1000
        self.owed = Owed("counters")

    async def claim(self, seller: TradedSeller, request: PostRequest, lead_id: str) -> Opened | bytes:
        """The open ping, now this lead's alone; or the answer that an earlier post of it got.

        Waits for one that is under way, whatever its body: it may yet be refused, and then this one is the first.
        Raises `SellerError` 403, 404, 409, 410.
        """
        give_up_s = perf_counter() + self._wait_s
        while True:
            try:
                now_ms, theirs = self._clock.now_ms(), owned_by(request.ping_id, seller.id)
                gate = await self._counters.claim(
                    request.ping_id, lead_id, request.body_hash, now_ms, LEASE_MS, theirs
                )
            except HouseError:
                self._owe_giving_up(request.ping_id, lead_id)
                raise
            if isinstance(gate, Claimed):
                return Opened(decode_open_ping(gate.record), gate.record)
            if isinstance(gate, Anothers):
                raise _not_yours()
            if not isinstance(gate, Busy):
                return await self._known_answer(seller, request, give_up_s, expired=isinstance(gate, Expired))
            if gate.lapsed or perf_counter() >= give_up_s:
                answer = await self.earlier(seller, request, give_up_s)
                if answer is not None:
                    return answer
                if not gate.lapsed:
                    raise in_progress()
                # Nothing was offered under that claim, and nothing will be that the ledger does not let.
                await self._counters.unclaim(request.ping_id, gate.claimant)
                continue
            await asyncio.sleep(WAIT_STEP_S)

    async def earlier(
        self, seller: TradedSeller, request: PostRequest, give_up_s: float | None = None
    ) -> bytes | None:
        """The answer that this very request got before, by the ledger; None if it is new.

        Where its lead is under way still (its worker may have died, and another one finishes it), the answer is waited
        for until `give_up_s` (by `perf_counter`), else as long as for any post. Raises `SellerError`.
        """
        give_up_s = perf_counter() + self._wait_s if give_up_s is None else give_up_s
        while (lead := await self._lead_of(seller, request)) is not None:
            if lead.answer is not None:
                return self._answers.open(lead.lead_id, lead.answer)
            if perf_counter() >= give_up_s:
                raise in_progress()
            await asyncio.sleep(LOOK_STEP_S)
        return None

    async def adopt(self, keyed: str, ping_id: str) -> None:
        """The request whose key makes it `keyed` is sold by the offer of this ping, also when it comes again."""
        await self._counters.adopt(keyed, ping_id)

    async def adopted(self, keyed: str) -> str | None:
        """The ping by whose offer this request is sold, if it came before."""
        known = await self._counters.adopted(keyed)
        return None if known is None else known.decode()

    async def give_up(self, ping_id: str, lead_id: str) -> None:
        """Nothing was offered: the ping can be posted again. Never raises; what fails now is done later."""
        try:
            await self._counters.unclaim(ping_id, lead_id)
        except HouseError:
            self._owe_giving_up(ping_id, lead_id)

    def finish(self, ping_id: str, lead_id: str) -> Coroutine[Any, Any, None]:
        """The ping is posted; its answer is durable already, so a store that is away takes nothing from it.

        The call is under way when this returns; await it for its end.
        """
        return self._finished(self._counters.finish(ping_id, lead_id, b""), ping_id, lead_id)

    def forget(self, ping: OpenPing) -> None:
        """The offer is used: an equal ping from now on is another lead's. Nobody waits for this."""
        if ping.print_of is not None:
            self._counters.forget(ping.seller, ping.print_of, ping.ping_id)

    async def discard(self, ping: OpenPing) -> None:
        """The offer is gone, and its places with it: it can be neither repeated nor posted."""
        self.forget(ping)
        await self._counters.discard_ping(ping.ping_id)

    async def _finished(self, call: Awaitable[bool], ping_id: str, lead_id: str) -> None:
        try:
            await call
        except HouseError:
            self.owed.add(lambda: self._counters.finish(ping_id, lead_id, b""))

    def _owe_giving_up(self, ping_id: str, lead_id: str) -> None:
        self.owed.add(lambda: self._counters.unclaim(ping_id, lead_id))

    async def _lead_of(self, seller: TradedSeller, request: PostRequest) -> Lead | None:
        """The lead that the ledger has of this ping, or of this key. Raises `SellerError` if it is not of this very
        request."""
        if request.ping_id == request.keyed:
            lead = await self._reader.read(partial(find_lead_by_key, keyed=request.ping_id))
        else:
            lead = await self._reader.read(partial(find_lead_by_ping, ping_id=request.ping_id))
        if lead is not None and lead.seller != seller.id:
            raise _not_yours()
        if lead is not None and lead.body_hash and lead.body_hash != request.body_hash:
            raise another_body()  # (of a forgotten lead no hash is left: whatever comes gets its answer)
        return lead

    async def _known_answer(
        self, seller: TradedSeller, request: PostRequest, give_up_s: float, *, expired: bool
    ) -> bytes:
        """What the ledger knows of a ping that is not open: its lead's answer, or why there is none."""
        answer = await self.earlier(seller, request, give_up_s)
        if answer is not None:
            return answer
        if expired:
            raise SellerError(410, "offer_expired", "The offer has expired; ping again.")
        row = await self._reader.read(partial(find_ping, ping_id=request.ping_id))
        if row is None:
            raise SellerError(404, "unknown_ping", "There is no such ping.")
        if row.seller != seller.id:
            raise _not_yours()
        if row.status != "offer":
            raise SellerError(410, "no_offer", "This ping had no offer.")
        raise SellerError(410, "offer_expired", "The offer has expired; ping again.")


def in_progress() -> SellerError:
    """Another post of this ping is under way, and took too long to wait for."""
    return SellerError(
        409, "post_in_progress", "A post of this ping is on its way.", headers=[("retry-after", "1")]
    )


def another_body() -> SellerError:
    """The ping was posted, and with something else."""
    return SellerError(409, "used_ping", "This ping was posted with another body.")


def _not_yours() -> SellerError:
    return SellerError(403, "not_your_ping", "This ping is another seller's.")
