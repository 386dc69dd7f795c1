"""What one buyer's counters have to become, by what they say and what the ledger says. Pure: see `reconciling`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import msgspec

from auction.counters.counters import MARKED_MS
from auction.counters.mending import Entry, Fate, Look, Mending, OpenPlace, WindowMend
from auction.counters.naming import RETURNS, cap_key_of, mark_name, place_name, window_name
from auction.ledger.afterwards import Freed
from auction.ledger.sold import OpenOffer, Owner, Said, Sold
from auction.market.market import Market
from auction.market.windows import CapRule, Window

GONE_MS = 30_000
"""How long a place is still held whose lead the ledger does not know: its post may be repeated just now. Three times as
long as a post keeps its claim on the ping."""

T = TypeVar("T")
Takes = Callable[[OpenOffer], bool]
Leaves = Callable[[Freed], bool]


class OwnedCap(msgspec.Struct, frozen=True):
    """A cap on leads or spend: whose it is, and the buyer under which it is counted."""

    buyer_id: str
    owner: Owner
    owner_id: str
    rule: CapRule

    def entry(self, offer: OpenOffer | Freed, now_ms: int) -> Entry | None:
        """What this offer takes of it; None if nothing, or in a window that is over."""
        if self.owner == "order" and self.owner_id != offer.order_id:
            return None
        window = self.rule.window(offer.sent_at_ms)
        spend = self.rule.kind == "spend"
        amount = offer.price_micros if spend else 1
        if window.end_ms <= now_ms or amount == 0:
            return None
        return Entry(self.rule.key, spend, amount, name_of(self.rule, window), window.end_ms)


class Difference(msgspec.Struct, frozen=True):
    """A window that counts something else than it has to. Amounts are leads, or micros of spend."""

    buyer_id: str
    order_id: str | None
    cap: str
    limit: int
    start_ms: int
    end_ms: int
    ledger: int
    counters: int


class Step(msgspec.Struct, frozen=True):
    """Some caps of one buyer, done at once; and all of its caps, in which its places stand."""

    buyer_id: str
    caps: Sequence[OwnedCap]
    all_caps: Sequence[OwnedCap]


class Facts(msgspec.Struct, frozen=True):
    """What one reading of the ledger says."""

    sold: dict[tuple[Owner, str, Window], Sold]
    open: dict[str, list[OpenOffer]]
    said: dict[str, Said]
    freed: dict[str, list[Freed]]


def caps_of(market: Market) -> dict[tuple[str, str, str], OwnedCap]:
    """All caps on leads and spend, by buyer, key and zone; a buyer's own are found with each of its orders."""
    caps: dict[tuple[str, str, str], OwnedCap] = {}
    for order in market.orders.values():
        buyer_id = order.buyer_id
        for rule in order.caps:
            name = (buyer_id, rule.key, rule.zone.key)
            if name not in caps:
                owner: Owner = "buyer" if rule.of_buyer else "order"
                caps[name] = OwnedCap(buyer_id, owner, buyer_id if rule.of_buyer else order.id, rule)
    return caps


def plan_of(
    step: Step,
    look: Look,
    facts: Facts,
    kept: dict[str, Fate],
    now_ms: int,
    takes: Takes,
    leaves: Leaves,
) -> tuple[Mending, list[Difference]]:
    """What has to become of one buyer's windows, and which of them differ. Pure."""
    counted_yet, marks = _untold(step, look, facts, kept, now_ms, leaves)
    shift: defaultdict[str, int] = defaultdict(int)
    settling: defaultdict[str, list[int]] = defaultdict(list)  # prices of sales that their places count yet
    for place, fate in kept.items():
        for name, amount in look.kept[place].items():
            if fate != "open":
                shift[name] -= amount
            elif facts.said[place].verdict == "sold":
                settling[name].append(facts.said[place].price_micros)
    opened = []
    for offer in facts.open.get(step.buyer_id, ()):
        place = place_name(offer)
        entries = [entry for cap in step.all_caps if (entry := cap.entry(offer, now_ms)) is not None]
        has = look.kept.get(place)
        if has is not None:
            counted = {cap_key_of(name) for name in has}
            entries = [entry for entry in entries if entry.cap_key not in counted]
        if entries and (has is not None or takes(offer)):
            opened.append(OpenPlace(place, has is None, tuple(entries)))
            for entry in entries:
                shift[entry.name] += entry.amount
    windows, differences = [WindowMend(RETURNS, 0, look.windows[RETURNS].sold, 0)], []
    for cap in step.caps:
        window = cap.rule.window(now_ms)
        name = name_of(cap.rule, window)
        found = look.windows[name]
        sold = facts.sold.get((cap.owner, cap.owner_id, window), Sold(0, 0))
        spend, yet = cap.rule.kind == "spend", settling[name]
        told = sold.micros - sum(yet) if spend else sold.leads - len(yet)
        more = told + counted_yet[name] - found.sold
        windows.append(WindowMend(name, window.end_ms, found.sold, more))
        if more + shift[name]:
            differences.append(_difference(cap, window, found.count + more + shift[name], found.count))
    mending = Mending(windows, kept, opened, now_ms + GONE_MS, marks, now_ms + MARKED_MS)
    return mending, differences


def _untold(
    step: Step, look: Look, facts: Facts, kept: dict[str, Fate], now_ms: int, leaves: Leaves
) -> tuple[defaultdict[str, int], list[str]]:
    """Returns that the counters do not know: what those count that are left to others, and the marks of the rest."""
    counted_yet: defaultdict[str, int] = defaultdict(int)
    marks = []
    for freed in facts.freed.get(step.buyer_id, ()):
        place = place_name(freed)
        for cap in step.caps:
            entry = cap.entry(freed, now_ms)
            if entry is None or mark_name(place, entry.name) in look.returned:
                continue
            in_place = entry.name in look.kept.get(place, ())
            if in_place and kept[place] == "open":  # it goes with its place
                continue
            if not in_place and leaves(freed):
                counted_yet[entry.name] += entry.amount
            else:
                marks.append(mark_name(place, entry.name))
    return counted_yet, marks


def name_of(rule: CapRule, window: Window) -> str:
    """The window of this cap, as the counters call it."""
    return window_name(rule.key, window.start_ms)


def batches(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Lists of up to `most`, until there is none left."""
    iterator = iter(items)
    while batch := list(islice(iterator, most)):
        yield batch


def _difference(cap: OwnedCap, window: Window, ledger: int, counters: int) -> Difference:
    order_id = cap.owner_id if cap.owner == "order" else None
    kind_and_period = f"{cap.rule.kind}/{cap.rule.per}"
    return Difference(
        cap.buyer_id,
        order_id,
        kind_and_period,
        cap.rule.limit,
        window.start_ms,
        window.end_ms,
        ledger,
        counters,
    )
