"""The counters held against the ledger, window by window, and made to match it (P10). Safe on a running house.

What a window has to count is what the ledger says was sold in it, plus the places that stand in it: those of offers
that are out, and live holds. Leads are on their way between the two stores all the time, so both are never read at
one moment. Instead a buyer's counters are looked at, then the ledger is read, then the counters are changed only if
nothing was kept or sold there since the look (`mend.lua`); a buyer too busy for that is tried again. Nor are leads
in flight a difference: a lead that was settled just now still has its place, and its worker will see to that.

A return that frees its cap is told to both stores too. One that the counters were not told of yet is no
difference while it is young; an older one is given back by the change itself, which marks it (`return.lua`), so whoever
owes it to the counters does not give it back again.

Of an offer that is out, the ledger cannot say whether its place was kept already. Where its place is missing
it is taken all the same if the offer is old, its answer was lost, or (`all_open`) the counters were: a place too many
errs on the side of the cap, and goes when the lead is settled.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from time import monotonic
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from auction.counters.counters import MARKED_MS, RETURN_TOLD_MS, RETURNS, Counters
from auction.counters.mending import Entry, Fate, Look, Mending, OpenPlace, WindowMend, mark_of
from auction.ledger.afterwards import Freed, freed_since
from auction.ledger.engine import is_postgresql
from auction.ledger.reader import Reader
from auction.ledger.sold import (
    MOST_OWNERS,
    OpenOffer,
    Owner,
    Said,
    Sold,
    open_offers,
    sold_between,
    verdicts,
)
from auction.market.market import Market
from auction.market.windows import CapRule, Window

MOST_CAPS = 500
"""Windows of one buyer in one step, which holds up all others."""
MOST_STEPS = 64
"""Steps under way at once, on one reading of the ledger."""
ROUNDS = 12
"""How often a buyer that moves on all the time is tried, each time nearly twice as long after the last."""
FIRST_PAUSE_S = 0.005
YOUNG_MS = 120_000
"""An offer that is out for less may be on its way to its place, or to its end without one."""
GONE_MS = 30_000
"""How long a place is still held whose lead the ledger does not know: its post may be repeated just now. Three times as
long as a post keeps its claim on the ping."""
SETTLING_MS = 10_000
"""How long a worker may take to tell the counters what it wrote into the ledger."""
GONE_AGAIN_S = 0.4
"""A place whose lead is not there is looked at twice, so far apart: its post may be repeated just now."""
STATEMENT_MS = 60_000
FREED_MS = RETURN_TOLD_MS + 600_000
"""Returns that are older are told by nobody any more."""

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
        return Entry(self.rule.key, spend, amount, _name(self.rule, window), window.end_ms)


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


class Outcome(msgspec.Struct):
    """What a comparison found and did. `busy`: buyers that moved on each time, of whom nothing is known."""

    windows: int = 0
    differences: list[Difference] = []
    mended: int = 0
    freed: int = 0
    taken: int = 0
    busy: set[str] = set()


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
                of_buyer = rule.key.startswith("b:")
                owner: Owner = "buyer" if of_buyer else "order"
                caps[name] = OwnedCap(buyer_id, owner, buyer_id if of_buyer else order.id, rule)
    return caps


class Reconciling:
    """One comparison. Times are those of `now_ms`, all along."""

    def __init__(
        self, reader: Reader, counters: Counters, now_ms: int, *, repair: bool, all_open: bool = False
    ) -> None:
        self._reader = reader
        self._counters = counters
        self._now_ms = now_ms
        self._repair = repair
        self._all_open = all_open
        self._some = False  # of the caps only
        self._back: set[str] = set()  # places that were let go as gone, and are not
        self._missing: dict[str, float] = {}  # since when places are seen whose leads are not there
        self.outcome = Outcome()

    async def run(self, market: Market, caps: Iterable[OwnedCap] | None = None) -> Outcome:
        """Compares the windows of all caps of this market (or of some of them), and with `repair` makes them match.

        Raises `HouseError` where a store is away: then some may be mended, and it is safe to do it again.
        """
        self._some = caps is not None
        everything = by_buyer(caps_of(market).values())
        wanted = everything if caps is None else by_buyer(caps)
        steps = [
            Step(buyer, some, everything[buyer])
            for buyer, owned in wanted.items()
            for some in batches(owned, MOST_CAPS)
        ]
        self.outcome.windows = sum(len(step.caps) for step in steps)
        pause_s, at_once = FIRST_PAUSE_S, MOST_STEPS
        for _ in range(ROUNDS):
            left: list[Step] = []
            for some in batches(steps, at_once):
                left += await self._round(some)
            steps = left
            if not steps:
                break
            await asyncio.sleep(pause_s)
            pause_s, at_once = pause_s * 1.8, max(1, at_once // 4)
        self.outcome.busy = {step.buyer_id for step in steps}
        return self.outcome

    async def _round(self, steps: Sequence[Step]) -> list[Step]:
        """One look, one reading, one change: the steps that have to be done again."""
        names = [
            [RETURNS, *(_name(cap.rule, cap.rule.window(self._now_ms)) for cap in step.caps)]
            for step in steps
        ]
        looks = await self._looks(steps, names)
        places = [place for look in looks for place in look.kept]
        facts = await self._reader.read(partial(_facts, steps=steps, places=places, now_ms=self._now_ms))
        fates = [{place: self._fate(place, facts.said[place]) for place in look.kept} for look in looks]
        plans = [
            plan_of(step, look, facts, fate, self._now_ms, self._takes, self._leaves)
            for step, look, fate in zip(steps, looks, fates, strict=True)
        ]
        unsure = [
            step
            for step, fate in zip(steps, fates, strict=True)
            if any(said == "open" and place in self._missing for place, said in fate.items())
        ]
        if self._repair:
            return [*unsure, *await self._mend(steps, plans, unsure)]
        differing = [
            at for at, (mending, _) in enumerate(plans) if mending.changes and steps[at] not in unsure
        ]
        again = await self._looks([steps[at] for at in differing], [names[at] for at in differing])
        left = unsure
        for at, look in zip(differing, again, strict=True):
            if look.steady != looks[at].steady:
                left.append(steps[at])
            else:
                self.outcome.differences += plans[at][1]
        return left

    async def _looks(self, steps: Sequence[Step], names: Sequence[list[str]]) -> list[Look]:
        calls = [
            self._counters.look(step.buyer_id, of_step, self._now_ms)
            for step, of_step in zip(steps, names, strict=True)
        ]
        return await asyncio.gather(*calls)

    def _fate(self, place: str, said: Said) -> Fate:
        """What becomes of a kept place. While all calls are refused nobody is on his way to it."""
        if said.verdict == "gone":
            since_s = self._missing.setdefault(place, monotonic())
            return "gone" if self._all_open or monotonic() - since_s >= GONE_AGAIN_S else "open"
        self._missing.pop(place, None)
        if said.verdict == "open" or (not self._all_open and said.at_ms > self._now_ms - SETTLING_MS):
            return "open"
        return "over"

    async def _mend(
        self,
        steps: Sequence[Step],
        plans: Sequence[tuple[Mending, list[Difference]]],
        unsure: Sequence[Step],
    ) -> list[Step]:
        doing = [at for at, (mending, _) in enumerate(plans) if mending.changes and steps[at] not in unsure]
        calls = [self._counters.mend(steps[at].buyer_id, plans[at][0], self._now_ms) for at in doing]
        left = []
        for at, mended in zip(doing, await asyncio.gather(*calls), strict=True):
            if mended is None:
                left.append(steps[at])
                continue
            mending, differences = plans[at]
            self.outcome.differences += differences
            self.outcome.mended += len(differences)
            self.outcome.freed += mended.freed
            self.outcome.taken += mended.taken
            gone = [place for place, said in mending.kept.items() if said == "gone"]
            if gone and await self._came_back(gone):
                left.append(steps[at])
        return left

    async def _came_back(self, gone: list[str]) -> bool:
        """A post that was taken back may have been repeated between our reading and our change: its place, which is
        held for a while yet, has to be kept again."""
        said = await self._reader.read(partial(verdicts, places=gone))
        back = {place for place, told in said.items() if told.verdict == "open"}
        self._back |= back
        return bool(back)

    def _takes(self, offer: OpenOffer) -> bool:
        """Whether the place of this offer is taken where it is not kept."""
        old = self._now_ms - offer.sent_at_ms >= YOUNG_MS
        return self._all_open or offer.answered or old or place_of(offer) in self._back

    def _leaves(self, freed: Freed) -> bool:
        """Whether a return that the counters do not know is left to the worker that is about to tell them.

        Not where only new caps are counted: that worker may not know of them.
        """
        young = freed.returned_at_ms > self._now_ms - SETTLING_MS
        return young and not (self._all_open or self._some)


def plan_of(
    step: Step,
    look: Look,
    facts: Facts,
    kept: dict[str, Fate],
    now_ms: int,
    takes: Takes,
    leaves: Leaves = lambda freed: False,
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
        place = place_of(offer)
        entries = [entry for cap in step.all_caps if (entry := cap.entry(offer, now_ms)) is not None]
        has = look.kept.get(place)
        if has is not None:
            counted = {name.rpartition("@")[0] for name in has}
            entries = [entry for entry in entries if entry.cap_key not in counted]
        if entries and (has is not None or takes(offer)):
            opened.append(OpenPlace(place, has is None, tuple(entries)))
            for entry in entries:
                shift[entry.name] += entry.amount
    windows, differences = [WindowMend(RETURNS, 0, look.windows[RETURNS].sold, 0)], []
    for cap in step.caps:
        window = cap.rule.window(now_ms)
        name = _name(cap.rule, window)
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
        place = place_of(freed)
        for cap in step.caps:
            entry = cap.entry(freed, now_ms)
            if entry is None or mark_of(place, entry.name) in look.returned:
                continue
            in_place = entry.name in look.kept.get(place, ())
            if in_place and kept[place] == "open":  # it goes with its place
                continue
            if not in_place and leaves(freed):
                counted_yet[entry.name] += entry.amount
            else:
                marks.append(mark_of(place, entry.name))
    return counted_yet, marks


def place_of(offer: OpenOffer | Freed) -> str:
    """The name of its place in the counters."""
    return f"{offer.ping_id}/{offer.order_id}"


def by_buyer(caps: Iterable[OwnedCap]) -> dict[str, list[OwnedCap]]:
    """These caps by the buyer under which they are counted."""
    of_buyer: defaultdict[str, list[OwnedCap]] = defaultdict(list)
    for cap in caps:
        of_buyer[cap.buyer_id].append(cap)
    return of_buyer


def batches(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Lists of up to `most`, until there is none left."""
    iterator = iter(items)
    while batch := list(islice(iterator, most)):
        yield batch


def _name(rule: CapRule, window: Window) -> str:
    return f"{rule.key}@{window.start_ms}"


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


def _facts(conn: Connection, steps: Sequence[Step], places: Sequence[str], now_ms: int) -> Facts:
    """One moment of the ledger. One question for many owners of one window."""
    if is_postgresql(conn):  # a window that never ends is as long as the ledger
        conn.exec_driver_sql(f"SET LOCAL statement_timeout = {STATEMENT_MS}")
    asked: defaultdict[tuple[Owner, Window], set[str]] = defaultdict(set)
    for step in steps:
        for cap in step.caps:
            asked[cap.owner, cap.rule.window(now_ms)].add(cap.owner_id)
    sold: dict[tuple[Owner, str, Window], Sold] = {}
    for (owner, window), ids in asked.items():
        for some in batches(sorted(ids), MOST_OWNERS):
            found = sold_between(conn, owner, some, window.start_ms, window.end_ms)
            sold |= {(owner, owner_id, window): amounts for owner_id, amounts in found.items()}
    opened: defaultdict[str, list[OpenOffer]] = defaultdict(list)
    returned: defaultdict[str, list[Freed]] = defaultdict(list)
    for some in batches(sorted({step.buyer_id for step in steps}), MOST_OWNERS):
        for offer in open_offers(conn, some):
            opened[offer.buyer_id].append(offer)
        for freed in freed_since(conn, some, now_ms - FREED_MS):
            returned[freed.buyer_id].append(freed)
    return Facts(sold, dict(opened), verdicts(conn, places), dict(returned))
