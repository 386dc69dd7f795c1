"""The counters held against the ledger, window by window, and made to match it (P10). Safe on a running house.

What a window has to count is what the ledger says was sold in it, plus the places that stand in it: those of offers
that are out, and live holds. Leads are on their way between the two stores all the time, so both are never read at
one moment. Instead a buyer's counters are looked at, then the ledger is read, then the counters are changed only if
nothing was kept or sold there since the look (`mend.lua`); a buyer too busy for that is tried again. Nor are leads
in flight a difference: a lead that was settled just now still has its place, and its worker will see to that.

A return that frees its cap is told to both stores too. One that the counters were not told of yet is no
difference while it is young; an older one is given back by the change itself, which marks it (`return.lua`), so whoever
owes it to the counters does not give it back again.

Caps on pings have their own way (`leased`).

Of an offer that is out, the ledger cannot say whether its place was kept already. Where its place is missing
it is taken all the same if the offer is old, its answer was lost, or (`all_open`) the counters were: a place too many
errs on the side of the cap, and goes when the lead is settled.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from time import monotonic

import msgspec
from sqlalchemy import Connection

from auction.counters.counters import RETURN_TOLD_MS, Counters
from auction.counters.leasing import PingCounts
from auction.counters.mending import Fate, Look, Mending
from auction.counters.naming import RETURNS, place_name
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
from auction.market.windows import Window
from auction.reconcile.comparing import (
    Difference,
    Facts,
    OwnedCap,
    Step,
    batches,
    caps_of,
    name_of,
    plan_of,
)
from auction.reconcile.leased import Raising

MOST_CAPS = 500
"""Windows of one buyer in one step, which holds up all others."""
MOST_STEPS = 64
"""Steps under way at once, on one reading of the ledger."""
ROUNDS = 12
"""How often a buyer that moves on all the time is tried, each time nearly twice as long after the last."""
FIRST_PAUSE_S = 0.005
YOUNG_MS = 120_000
"""An offer that is out for less may be on its way to its place, or to its end without one."""
SETTLING_MS = 10_000
"""How long a worker may take to tell the counters what it wrote into the ledger."""
GONE_AGAIN_S = 0.4
"""A place whose lead is not there is looked at twice, so far apart: its post may be repeated just now."""
STATEMENT_MS = 60_000
FREED_MS = RETURN_TOLD_MS + 600_000
"""Returns that are older are told by nobody any more."""


class Outcome(msgspec.Struct):
    """What a comparison found and did. `busy`: buyers that moved on each time, of whom nothing is known."""

    windows: int = 0
    differences: list[Difference] = []
    mended: int = 0
    freed: int = 0
    taken: int = 0
    busy: set[str] = set()


class Reconciling:
    """One comparison. Times are those of `now_ms`, all along."""

    def __init__(
        self,
        reader: Reader,
        counters: Counters,
        now_ms: int,
        *,
        repair: bool,
        all_open: bool = False,
        budgets: bool = False,
    ) -> None:
        """`all_open`: the counters were lost, and nobody calls them; `budgets`: with what of seconds and minutes they
        had given, too."""
        self._reader = reader
        self._counters = counters
        self._now_ms = now_ms
        self._repair = repair
        self._all_open = all_open
        self._budgets = budgets
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
        if not self._some:
            await self._compare_pings(market)
        return self.outcome

    async def _compare_pings(self, market: Market) -> None:
        counts, lost = PingCounts(self._counters.link), self._all_open
        raising = Raising(
            self._reader, counts, self._now_ms, repair=self._repair, lost=lost, budgets=self._budgets
        )
        raised = await raising.run(market)
        self.outcome.windows += raised.windows
        self.outcome.differences += raised.differences
        self.outcome.mended += len(raised.differences) if self._repair else 0
        self.outcome.busy |= raised.busy

    async def _round(self, steps: Sequence[Step]) -> list[Step]:
        """One look, one reading, one change: the steps that have to be done again."""
        names = [
            [RETURNS, *(name_of(cap.rule, cap.rule.window(self._now_ms)) for cap in step.caps)]
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
        return self._all_open or offer.answered or old or place_name(offer) in self._back

    def _leaves(self, freed: Freed) -> bool:
        """Whether a return that the counters do not know is left to the worker that is about to tell them.

        Not where only new caps are counted: that worker may not know of them.
        """
        young = freed.returned_at_ms > self._now_ms - SETTLING_MS
        return young and not (self._all_open or self._some)


def by_buyer(caps: Iterable[OwnedCap]) -> dict[str, list[OwnedCap]]:
    """These caps by the buyer under which they are counted."""
    of_buyer: defaultdict[str, list[OwnedCap]] = defaultdict(list)
    for cap in caps:
        of_buyer[cap.buyer_id].append(cap)
    return of_buyer


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
