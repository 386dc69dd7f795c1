"""Houses with a step left out or out of its order, to show that the walk through all instants finds it.

Each break is a patch of this process, taken back at the end of the block; nothing in `auction/` knows of it. Those of
the soak are tried here too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from auction.buyers.delivery import Delivery
from auction.counters.counters import Counters
from auction.ledger import leads
from auction.ledger.offers import record_result
from auction.ledger.outbox import tell_who_hears
from auction.post import book, claiming, records
from auction.post.book import LeadBook
from auction.post.lease import Lease
from auction.post.offering import Offering
from auction.post.sale import OfferState
from auction.post.selling import Selling
from auction.reconcile.rebuilding import Rebuilding
from auction.recovery import finishing
from tests.soak import broken as soak

Patch = Callable[["Patches"], None]


class Patches:
    """What was there before, to be put back."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def put(self, owner: Any, name: str, value: Any) -> None:
        """In the place of what is there."""
        self._before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def keep(self, owner: Any, name: str) -> None:
        """Something else is about to put its own there."""
        self._before.append((owner, name, getattr(owner, name)))

    def back(self) -> None:
        """All as it was."""
        for owner, name, value in reversed(self._before):
            setattr(owner, name, value)


def _of_soak(name: str, *places: tuple[Any, str]) -> Patch:
    def patch(patches: Patches) -> None:
        for owner, attribute in places:
            patches.keep(owner, attribute)
        soak.BREAKS[name]()

    return patch


def no_fence_at_the_answer(patches: Patches) -> None:
    """What came of a lead is written by whoever comes, in whosever hands it is."""
    settle = leads.settle

    def unfenced(conn: Any, settlement: Any) -> None:
        settle(conn, replace(settlement, worker=None))

    def recorded(conn: Any, lead_id: str, result: Any, *, again: bool) -> None:
        record_result(conn, lead_id, result, again=True)

    patches.put(book, "settle", unfenced)
    patches.put(leads, "record_result", recorded)


def nobody_takes_over_in_the_ledger(patches: Patches) -> None:
    """Who finishes a lead does not write that it is his."""

    def unwritten(conn: Any, stray: Any, worker: str, at_ms: int) -> bool:
        return True

    patches.put(finishing, "take_over", unwritten)


def hold_not_given_back(patches: Patches) -> None:
    """A buyer's no leaves its place taken."""

    def kept(self: Counters, place: Any, now_ms: int) -> asyncio.Future[bool]:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        future.set_result(True)
        return future

    patches.put(Counters, "release", kept)


def outbox_beside_the_move(patches: Patches) -> None:
    """What a seller is told is written in a transaction of its own, after the move and not with it."""
    write = LeadBook._write

    async def beside(self: LeadBook, settlement: Any) -> None:
        await write(self, replace(settlement, quiet=True))

        def tell(conn: Any) -> None:
            tell_who_hears(conn, settlement.lead_id)

        await self._writer.write(tell)

    patches.put(LeadBook, "_write", beside)


def lease_asked_early(patches: Patches) -> None:
    """Whether it may send, a worker asks before it has a connection, and not when it sends."""
    post = Delivery.post

    async def early(self: Delivery, request: Any, may_send: Callable[[], bool] = lambda: True) -> Any:
        may = may_send()
        return await post(self, request, lambda: may)

    patches.put(Delivery, "post", early)


def no_lease(patches: Patches) -> None:
    """A worker takes itself for living, always."""
    patches.put(Lease, "stands", lambda self, worker: worker != "")


def intent_after_the_offer(patches: Patches) -> None:
    """A runner-up is sent the lead before that is written down."""
    following = Selling._next

    async def unwritten(self: Selling, course: Any) -> bool:
        intend = self._book.intend

        async def nothing(draft: Any, said: Any, wins: Any, at_ms: int) -> frozenset[str]:
            return frozenset()

        self._book.intend = nothing  # type: ignore[method-assign]
        try:
            return await following(self, course)
        finally:
            self._book.intend = intend  # type: ignore[method-assign]

    patches.put(Selling, "_next", unwritten)


def unknown_is_no(patches: Patches) -> None:
    """An answer that was lost is taken for a refusal, and the next buyer gets the lead."""
    told = Offering._told

    async def refused(self: Offering, *arguments: Any, **more: Any) -> Any:
        one = await told(self, *arguments, **more)
        unknown = one.state is OfferState.UNKNOWN
        return replace(one, state=OfferState.REJECTED, reason="lost") if unknown else one

    patches.put(Offering, "_told", refused)


def claim_never_lapses(patches: Patches) -> None:
    """The claim of a worker that died stands for a day."""
    patches.put(claiming, "LEASE_MS", 86_400_000)


def nobody_compares(patches: Patches) -> None:
    """After a worker was held for dead the counters are not compared with the ledger."""
    patches.put(Rebuilding, "compare_soon", lambda self: None)


def nothing_is_stray(patches: Patches) -> None:
    """What a dead worker left nobody looks for."""
    from auction.recovery import watching

    patches.put(watching, "stray_leads", lambda conn: [])


def intent_not_withdrawn(patches: Patches) -> None:
    """An intent that was written, though nobody said so, stands for ever."""
    patches.put(leads, "withdraw_offers", lambda conn, lead_id, order_ids, at_ms: None)


BREAKS: dict[str, Patch] = {
    "claim": _of_soak("claim", (Counters, "claim"), (book, "take_lead")),
    "keep": _of_soak("keep", (Counters, "hold"), (Counters, "keep")),
    "settle": _of_soak("settle", (LeadBook, "settle")),
    "retry": _of_soak("retry", (Offering, "_deliver")),
    "payout": _of_soak("payout", (records, "post_answer")),
    **{
        each.__name__.replace("_", "-"): each
        for each in (
            *(no_fence_at_the_answer, nobody_takes_over_in_the_ledger, hold_not_given_back),
            *(outbox_beside_the_move, lease_asked_early, no_lease, intent_after_the_offer, unknown_is_no),
            *(claim_never_lapses, nobody_compares, nothing_is_stray, intent_not_withdrawn),
        )
    },
}


@contextmanager
def broken(name: str) -> Iterator[None]:
    """The house with this break."""
    patches = Patches()
    try:
        BREAKS[name](patches)
        yield
    finally:
        patches.back()
