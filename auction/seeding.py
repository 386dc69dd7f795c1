"""What was sold before a cap counted: the ledger tells the counters, before a market with new caps is traded on.

A cap that is added at noon counts what its order bought this morning; one whose time zone changed, what lies in
its new window; and where the counters came back empty, a house that starts tells them of all its caps.

Not covered: caps on pings, of which the ledger does not know whether they were sent; leads that are sold on the old
market (by another worker, or by this one) after the ledger was read and before the new market is traded on, a
quarter of a second in all; a cap that was taken out and put back within one window, whose old count is taken
as it stands; and counters that are emptied under a running house: workers have to be started again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TypeVar

import msgspec

from auction.counters.counters import Counters
from auction.ledger.reader import Reader
from auction.ledger.sold import MOST_OWNERS, Owner, sold_since
from auction.market.market import Market
from auction.market.windows import CapRule

MOST_ENTRIES = 100
"""Windows of one buyer in one step, which holds up all others."""
MOST_CALLS = 64
"""Steps under way at once: a batch is answered well within the bound of a call."""

T = TypeVar("T")
Entry = tuple[str, int, int]


class NewCap(msgspec.Struct, frozen=True):
    """A cap that starts to count: whose it is, and the buyer under which it is counted."""

    buyer_id: str
    owner: Owner
    owner_id: str
    rule: CapRule


async def seed_caps(reader: Reader, counters: Counters, old: Market | None, new: Market, now_ms: int) -> int:
    """Let every cap of `new` that `old` did not have begin with what was sold in its window of `now_ms`.

    Returns how many windows were seeded. Safe to do again, and by several workers at once. Raises `HouseError`
    where the ledger or the counters are away: then some caps may be seeded.
    """
    caps = await _uncounted(counters, await asyncio.to_thread(new_caps, old, new), now_ms)
    entries = await _sold(reader, caps, now_ms)
    seeded = 0
    for steps in _steps(entries):
        calls = (counters.seed(buyer_id, batch, now_ms) for buyer_id, batch in steps)
        seeded += sum(await asyncio.gather(*calls))
    return seeded


async def _uncounted(counters: Counters, caps: Iterable[NewCap], now_ms: int) -> list[NewCap]:
    """Those with no count in their window: at a start the others, nearly all, need not be looked up."""
    of_buyer: defaultdict[str, list[NewCap]] = defaultdict(list)
    for cap in caps:
        of_buyer[cap.buyer_id].append(cap)
    found: list[NewCap] = []
    for steps in _steps(of_buyer):
        calls = (counters.peek(buyer_id, [cap.rule for cap in batch], now_ms) for buyer_id, batch in steps)
        for (_, batch), counted in zip(steps, await asyncio.gather(*calls), strict=True):
            found += [cap for cap, (_, used, _) in zip(batch, counted, strict=True) if not used]
    return found


async def _sold(reader: Reader, caps: Iterable[NewCap], now_ms: int) -> dict[str, list[Entry]]:
    """What the windows of these caps have to begin with, by buyer. One question for many owners of one window."""
    asked: defaultdict[tuple[Owner, int], defaultdict[str, list[NewCap]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for cap in caps:
        asked[cap.owner, cap.rule.window(now_ms).start_ms][cap.owner_id].append(cap)
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for (owner, since_ms), caps_of in asked.items():
        for ids in _batches(caps_of, MOST_OWNERS):
            found = await reader.read(partial(sold_since, owner=owner, ids=ids, since_ms=since_ms))
            for owner_id, sold in found.items():
                for cap in caps_of[owner_id]:
                    amount = sold.leads if cap.rule.kind == "leads" else sold.micros
                    end_ms = cap.rule.window(now_ms).end_ms
                    entries[cap.buyer_id].append((f"{cap.rule.key}@{since_ms}", amount, end_ms))
    return entries


def new_caps(old: Market | None, new: Market) -> list[NewCap]:
    """The caps on leads and spend that `old` did not count under the same buyer, key and zone, each once.

    Another limit makes no new cap: what was counted goes on counting.
    """
    known = {} if old is None else _caps(old)
    return [cap for name, cap in _caps(new).items() if name not in known]


def _caps(market: Market) -> dict[tuple[str, str, str], NewCap]:
    """All caps by buyer, key and zone; a buyer's own are found with each of its orders."""
    caps: dict[tuple[str, str, str], NewCap] = {}
    for order in market.orders.values():
        buyer_id = order.buyer_id
        for rule in order.caps:
            name = (buyer_id, rule.key, rule.zone.key)
            if name not in caps:
                of_buyer = rule.key.startswith("b:")
                owner: Owner = "buyer" if of_buyer else "order"
                caps[name] = NewCap(buyer_id, owner, buyer_id if of_buyer else order.id, rule)
    return caps


def _steps(of_buyer: Mapping[str, Iterable[T]]) -> Iterator[list[tuple[str, list[T]]]]:
    """Batches of steps, each on a few things of one buyer."""
    steps = ((buyer, batch) for buyer, things in of_buyer.items() for batch in _batches(things, MOST_ENTRIES))
    return _batches(steps, MOST_CALLS)


def _batches(items: Iterable[T], most: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, most)):
        yield batch
