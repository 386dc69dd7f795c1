"""The promises on caps (P2, P3) against a model that is told only what happened.

The model knows events: which place was held from when to when, kept when, sold at what price, returned. From these
alone it works out what stands in every window, by brute force, and never looks at how the counters do it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from auction.counters import scripts
from auction.counters.answers import HELD, KEPT, Full, Held
from auction.counters.counters import Counters, Place
from auction.counters.embedded import EmbeddedValkey
from auction.counters.link import Link
from auction.market.windows import CapRule

T = TypeVar("T")
MINUTE = 60_000
CHICAGO = ZoneInfo("America/Chicago")
START = 1_700_006_400_000 - 7 * MINUTE
"""Seven minutes before midnight UTC: hours and a day end within the reach of a hold."""

BUYERS_DAY = CapRule("b:leads:day", "leads", "day", 4, CHICAGO)
BUYERS_SPEND = CapRule("b:spend:day", "spend", "day", 90, ZoneInfo("UTC"))
CAPS = {
    "x": (CapRule("o:x:leads:hour", "leads", "hour", 2, ZoneInfo("UTC")), BUYERS_DAY, BUYERS_SPEND),
    "y": (
        CapRule("o:y:leads:hour", "leads", "hour", 1, ZoneInfo("Asia/Kolkata")),  # half an hour off
        CapRule("o:y:spend:day", "spend", "day", 60, ZoneInfo("UTC")),
        BUYERS_DAY,
        BUYERS_SPEND,
    ),
    "z": (BUYERS_SPEND,),
}
ALL_CAPS = {cap.key: cap for caps in CAPS.values() for cap in caps}
LONGEST_HOLD = 130 * MINUTE

order_ids = st.sampled_from(sorted(CAPS))
ping_ids = st.sampled_from(["p1", "p2", "p3", "p4", "p5"])
prices = st.sampled_from([0, 7, 20, 35, 60, 91])


class Holding:
    """What the model knows of one place: held until an instant, or kept at one."""

    def __init__(self, place: Place, from_ms: int, until_ms: int | None) -> None:
        self.place = place
        self.from_ms = from_ms
        self.until_ms = until_ms  # None: kept

    def alive(self, now_ms: int) -> bool:
        return self.until_ms is None or self.until_ms >= now_ms

    def stands_in(self, cap: CapRule, at_ms: int) -> int:
        """What it takes in the cap's window at `at_ms`: if kept, where it was kept; held, all along its life."""
        if cap not in self.place.caps:
            return 0
        amount = 1 if cap.kind == "leads" else self.place.price_micros
        window = cap.window(at_ms)
        last_ms = self.from_ms if self.until_ms is None else self.until_ms
        return amount if window.start_ms <= last_ms and self.from_ms < window.end_ms else 0


class PlacesMachine(RuleBasedStateMachine):
    client: Link
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START
        self.holdings: dict[tuple[str, str], Holding] = {}
        self.sales: list[Holding] = []
        self.returned: set[tuple[str, str]] = set()
        self.untold = 0  # returns that gave nothing back
        self.left: dict[str, int] = {}  # counts of returned sales in windows that were over by then
        self.counters = Counters(self.client)
        self.wait(self._flush())

    async def _flush(self) -> None:
        await self.client.call("FLUSHALL")

    def wait(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    # -- the model -----------------------------------------------------------------------------------

    def counted(self, cap: CapRule, at_ms: int) -> int:
        live = [holding for holding in self.holdings.values() if holding.alive(self.now_ms)]
        return sum(holding.stands_in(cap, at_ms) for holding in live + self.sales)

    def fits(self, wanted: Holding) -> bool:
        last_ms = wanted.from_ms if wanted.until_ms is None else wanted.until_ms
        # 1 minute divides all windows here, so every window of its life is looked at
        instants = [*range(wanted.from_ms, last_ms, MINUTE), last_ms]
        for cap in wanted.place.caps:
            for at_ms in instants:
                more = wanted.stands_in(cap, at_ms)
                if more and self.counted(cap, at_ms) + more > cap.limit:
                    return False
        return True

    def alive(self, place: Place) -> Holding | None:
        holding = self.holdings.get((place.ping_id, place.order_id))
        return holding if holding is not None and holding.alive(self.now_ms) else None

    def put(self, place: Place, until_ms: int | None) -> None:
        self.holdings[place.ping_id, place.order_id] = Holding(place, self.now_ms, until_ms)

    # -- what happens --------------------------------------------------------------------------------

    @rule(ping_id=ping_ids, order_id=order_ids, price=prices, last=st.integers(0, LONGEST_HOLD // MINUTE))
    def hold(self, ping_id: str, order_id: str, price: int, last: int) -> None:
        place = Place("b", order_id, ping_id, price, CAPS[order_id])
        until_ms = self.now_ms + last * MINUTE

        async def step() -> Held | Full:
            return await self.counters.hold(place, self.now_ms, until_ms)

        answer = self.wait(step())
        had = self.alive(place)
        if had is not None and not (had.until_ms is not None and had.place.price_micros < price):
            assert answer == HELD
            return
        self.holdings.pop((ping_id, order_id), None)  # one that is held for less is taken anew, if it fits
        if self.fits(Holding(place, self.now_ms, until_ms)):
            assert answer == HELD
            self.put(place, until_ms)
        else:
            self.check_full(answer)
            if had is not None:
                self.holdings[ping_id, order_id] = had

    @rule(ping_id=ping_ids, order_id=order_ids, price=prices)
    def keep(self, ping_id: str, order_id: str, price: int) -> None:
        place = Place("b", order_id, ping_id, price, CAPS[order_id])
        holding = self.alive(place)
        if holding is not None:
            place = holding.place

        async def step() -> object:
            return await self.counters.keep(place, self.now_ms)

        answer = self.wait(step())
        if holding is not None:
            assert answer == KEPT  # P3
            if holding.until_ms is not None:
                self.put(place, None)
        elif self.fits(Holding(place, self.now_ms, None)):
            assert answer == KEPT
            self.put(place, None)
        else:
            self.check_full(answer)

    def check_full(self, answer: object) -> None:
        assert isinstance(answer, Full)
        assert answer.cap_key in ALL_CAPS
        assert answer.free_at_ms > self.now_ms

    @precondition(lambda self: self.holdings)
    @rule(data=st.data(), discount=st.integers(0, 100))
    def sold(self, data: st.DataObject, discount: int) -> None:
        holding = self.holdings[data.draw(st.sampled_from(sorted(self.holdings)))]
        if holding.until_ms is not None and holding.alive(self.now_ms):
            return  # what is sold was kept before
        price = holding.place.price_micros * (100 - discount) // 100

        async def step() -> bool:
            return await self.counters.sold(holding.place, self.now_ms, price)

        assert self.wait(step()) == holding.alive(self.now_ms)
        assert not self.wait(step())
        del self.holdings[holding.place.ping_id, holding.place.order_id]
        if holding.alive(self.now_ms):
            at_price = Place("b", holding.place.order_id, holding.place.ping_id, price, holding.place.caps)
            self.sales.append(Holding(at_price, holding.from_ms, None))

    @precondition(lambda self: self.holdings)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        holding = self.holdings.pop(data.draw(st.sampled_from(sorted(self.holdings))))

        async def step() -> bool:
            return await self.counters.release(holding.place, self.now_ms)

        assert self.wait(step()) == holding.alive(self.now_ms)
        assert not self.wait(step())

    @precondition(lambda self: self.sales)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        sale = data.draw(st.sampled_from(self.sales))
        named = sale.place.ping_id, sale.place.order_id
        if named in self.holdings or named in self.returned:
            return  # a place is sold once, and returned once

        async def step() -> int:
            return await self.counters.returned(sale.place, sale.from_ms, self.now_ms)

        open_yet = [
            cap
            for cap in sale.place.caps
            if sale.stands_in(cap, sale.from_ms) and cap.window(sale.from_ms).end_ms > self.now_ms
        ]
        assert self.wait(step()) == len(open_yet)
        assert self.wait(step()) == 0
        for cap in sale.place.caps:
            if cap not in open_yet:
                name = f"{cap.key}@{cap.window(sale.from_ms).start_ms}"
                self.left[name] = self.left.get(name, 0) + sale.stands_in(cap, sale.from_ms)
        self.sales.remove(sale)
        self.returned.add(named)
        self.untold += not open_yet

    @rule(minutes=st.one_of(st.integers(1, 10), st.integers(11, 400)))
    def time_goes_on(self, minutes: int) -> None:
        self.now_ms += minutes * MINUTE

    # -- what must hold ------------------------------------------------------------------------------

    @invariant()
    def no_cap_is_over_its_limit(self) -> None:
        """P2, of the model alone: by the events, whatever the counters think."""
        for cap in ALL_CAPS.values():
            for at_ms in range(self.now_ms, self.now_ms + LONGEST_HOLD + 1, 30 * MINUTE):
                assert self.counted(cap, at_ms) <= cap.limit, cap

    @invariant()
    def the_counts_are_the_models(self) -> None:
        caps = list(ALL_CAPS.values())
        # peek tells of now; the windows that holds reach into are read as they are stored
        ahead = [(cap, self.now_ms + minutes * MINUTE) for cap in caps for minutes in (30, 60, 90, 120)]
        names = [f"{cap.key}@{cap.window(at_ms).start_ms}" for cap, at_ms in ahead]

        async def look() -> tuple[list[tuple[str, int, int]], list[int]]:
            now = await self.counters.peek("b", caps, self.now_ms)
            stored = await self.client.call("HMGET", "{buyer:b}:counts", *names)
            return now, [int(count or 0) for count in stored]

        now, later = self.wait(look())
        assert now == [(cap.key, self.counted(cap, self.now_ms), cap.limit) for cap in caps]
        assert later == [self.counted(cap, at_ms) for cap, at_ms in ahead]

    def teardown(self) -> None:
        """Nothing leaks: when all holds are over and all kept places settled, the counts are the sales'."""
        self.now_ms += LONGEST_HOLD + 1
        self.wait(self._settle())

    async def _settle(self) -> None:
        for holding in self.holdings.values():
            await self.counters.release(holding.place, self.now_ms)
        await self.counters.peek("b", [BUYERS_DAY], self.now_ms)
        assert await self.client.call("EXISTS", "{buyer:b}:holds", "{buyer:b}:places") == 0
        flat = await self.client.call("HGETALL", "{buyer:b}:counts")
        stored = {name.decode(): int(count) for name, count in zip(flat[::2], flat[1::2], strict=True)}
        assert stored.pop("returns", 0) == len(self.returned) - self.untold
        sold: dict[str, int] = dict(self.left)
        for sale in self.sales:
            for cap in sale.place.caps:
                name = f"{cap.key}@{cap.window(sale.from_ms).start_ms}"
                sold[name] = sold.get(name, 0) + sale.stands_in(cap, sale.from_ms)
        kept = {name: count for name, count in sold.items() if count}
        # windows that ended more than a day ago may be forgotten
        assert stored.items() <= kept.items()
        for name in kept.keys() - stored.keys():
            cap = ALL_CAPS[name.partition("@")[0]]
            assert cap.window(int(name.partition("@")[2])).end_ms < self.now_ms - 24 * 60 * MINUTE
        self.holdings.clear()


@pytest.fixture
def machine(valkey: EmbeddedValkey) -> Iterator[type[PlacesMachine]]:
    with asyncio.Runner() as runner:
        client = Link(valkey.url, scripts.ALL, bound_ms=10_000)
        runner.run(client.open(within_ms=20_000))
        yield type("Machine", (PlacesMachine,), {"client": client, "runner": runner})
        runner.run(client.close())


def test_caps_hold_and_live_holds_are_honoured_whatever_happens(machine: type[PlacesMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
