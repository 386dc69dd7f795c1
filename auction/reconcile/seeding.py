"""What was sold before a cap counted: the ledger tells the counters, before a market with new caps is traded on.

A cap that is added at noon counts what its order bought this morning; one whose time zone changed, what lies in
its new window; a house that starts on counters that know nothing of a cap tells them of it.

Not covered: caps on pings, which count from when they are traded on; and leads that are sold on the
old market (by another worker, or by this one) after the ledger was read and before the new market is traded on, a
quarter of a second in all: these are counted by the next comparison (`auction/reconcile/reconciling.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from auction.counters.counters import Counters
from auction.errors import HouseError
from auction.ledger.reader import Reader
from auction.market.market import Market
from auction.reconcile.comparing import OwnedCap, batches, caps_of
from auction.reconcile.reconciling import MOST_CAPS, MOST_STEPS, Reconciling, by_buyer


async def seed_caps(reader: Reader, counters: Counters, old: Market | None, new: Market, now_ms: int) -> int:
    """Let every cap of `new` that `old` did not have begin with what was sold in its window of `now_ms`.

    Returns how many windows were changed. Safe to do again, and by several workers at once. Raises `HouseError`
    where the ledger or the counters are away: then some caps may be seeded.
    """
    caps = await _uncounted(counters, await asyncio.to_thread(new_caps, old, new), now_ms)
    if not caps:
        return 0
    outcome = await Reconciling(reader, counters, now_ms, repair=True).run(new, caps)
    if outcome.busy:
        raise HouseError(
            "counters_busy", "Buyers with new caps are too busy to be counted; it is tried again."
        )
    return outcome.mended


async def _uncounted(counters: Counters, caps: Iterable[OwnedCap], now_ms: int) -> list[OwnedCap]:
    """Those with no count in their window: at a start the others, nearly all, need not be looked up."""
    found: list[OwnedCap] = []
    steps = ((buyer, some) for buyer, owned in by_buyer(caps).items() for some in batches(owned, MOST_CAPS))
    for at_once in batches(steps, MOST_STEPS):
        calls = (counters.peek(buyer_id, [cap.rule for cap in some], now_ms) for buyer_id, some in at_once)
        for (_, some), counted in zip(at_once, await asyncio.gather(*calls), strict=True):
            found += [cap for cap, (_, used, _) in zip(some, counted, strict=True) if not used]
    return found


def new_caps(old: Market | None, new: Market) -> list[OwnedCap]:
    """The caps on leads and spend that `old` did not count under the same buyer, key and zone, each once.

    Another limit makes no new cap: what was counted goes on counting.
    """
    known = {} if old is None else caps_of(old)
    return [cap for name, cap in caps_of(new).items() if name not in known]
