"""`hold`, `keep`, `sold`, `release`, `peek`: the cases by hand. All others are in test_places_model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from zoneinfo import ZoneInfo

import pytest

from auction.counters.answers import HELD, KEPT, Full
from auction.counters.counters import Counters, Place
from auction.counters.link import Link
from auction.market.windows import CapRule

UTC = ZoneInfo("UTC")
HOUR = 3_600_000
NOW = 1_700_000_000_000 // HOUR * HOUR + 10 * 60_000
HOUR_END = NOW // HOUR * HOUR + HOUR
UNTIL = NOW + 60_000

PER_HOUR = CapRule("o:o:leads:hour", "leads", "hour", 2, UTC)
PER_DAY = CapRule("o:o:leads:day", "leads", "day", 3, UTC)
SPEND = CapRule("b:spend:month", "spend", "month", 100_000_000, UTC)


def place(ping_id: str, *caps: CapRule, price_micros: int = 30_000_000) -> Place:
    return Place("b", "o", ping_id, price_micros, caps)


async def used(counters: Counters, cap: CapRule, at_ms: int = NOW) -> int:
    ((key, count, limit),) = await counters.peek("b", [cap], at_ms)
    assert (key, limit) == (cap.key, cap.limit)
    return count


async def test_a_hold_takes_a_place_in_every_cap_or_in_none(counters: Counters) -> None:
    caps = (PER_HOUR, PER_DAY, SPEND)
    assert await counters.hold(place("p1", *caps), NOW, UNTIL) == HELD
    assert await counters.hold(place("p2", *caps), NOW, UNTIL + 5) == HELD
    assert await counters.hold(place("p3", *caps), NOW, UNTIL) == Full(PER_HOUR.key, UNTIL + 1)
    assert await counters.peek("b", caps, NOW) == [
        (PER_HOUR.key, 2, 2),
        (PER_DAY.key, 2, 3),
        (SPEND.key, 60_000_000, 100_000_000),
    ]
    dear = place("p4", PER_DAY, SPEND, price_micros=40_000_001)
    assert await counters.hold(dear, NOW, UNTIL) == Full(SPEND.key, UNTIL + 1, room=40_000_000)
    assert await counters.hold(place("p4", PER_DAY, SPEND, price_micros=40_000_000), NOW, UNTIL) == HELD


async def test_a_hold_expires_by_itself(counters: Counters) -> None:
    for ping_id in ("p1", "p2"):
        await counters.hold(place(ping_id, PER_HOUR), NOW, UNTIL)
    assert isinstance(await counters.hold(place("p3", PER_HOUR), UNTIL, UNTIL + 9), Full)
    assert await used(counters, PER_HOUR, UNTIL) == 2
    assert await counters.hold(place("p3", PER_HOUR), UNTIL + 1, UNTIL + 9) == HELD
    assert await used(counters, PER_HOUR, UNTIL + 1) == 1


async def test_nobody_is_refused_because_of_dead_holds_however_many(counters: Counters) -> None:
    many = CapRule("o:o:spend:hour", "spend", "hour", 1_000, UTC)
    one_each = (place(f"p{at}", many, price_micros=1) for at in range(1_000))
    await asyncio.gather(*(counters.hold(held, NOW, UNTIL) for held in one_each))
    all_of_it = place("x", many, price_micros=1_000)
    assert isinstance(await counters.hold(all_of_it, UNTIL, UNTIL), Full)
    assert await counters.hold(all_of_it, UNTIL + 1, UNTIL + 9) == HELD
    assert await used(counters, many, UNTIL + 1) == 1_000


async def test_holding_twice_takes_one_place_and_extends_nothing(counters: Counters) -> None:
    assert await counters.hold(place("p", PER_HOUR), NOW, UNTIL) == HELD
    assert await counters.hold(place("p", PER_HOUR), NOW, UNTIL + 60_000) == HELD
    assert await used(counters, PER_HOUR) == 1
    assert await used(counters, PER_HOUR, UNTIL + 1) == 0


@pytest.mark.parametrize("room", [40, 39])
async def test_a_hold_for_more_takes_more_or_stays(counters: Counters, room: int) -> None:
    """The same ping auctioned again, by a repeat or a later turn, and the bid is higher."""
    spend = CapRule("b:spend:month", "spend", "month", room * 1_000_000, UTC)
    caps = (PER_HOUR, spend)
    assert await counters.hold(place("p1", *caps, price_micros=25_000_000), NOW, UNTIL) == HELD
    dearer = await counters.hold(place("p1", *caps, price_micros=40_000_000), NOW, UNTIL)
    fits = room == 40
    assert dearer == (HELD if fits else Full(spend.key, UNTIL + 1, room=14_000_000))
    assert await used(counters, spend) == (40_000_000 if fits else 25_000_000)
    assert await used(counters, PER_HOUR) == 1
    assert await counters.hold(place("p1", *caps, price_micros=20_000_000), NOW, UNTIL) == HELD
    assert await used(counters, spend) == (40_000_000 if fits else 25_000_000)
    assert await used(counters, spend, UNTIL + 1) == 0


async def test_a_hold_reaches_into_every_window_up_to_its_end(counters: Counters) -> None:
    until = HOUR_END + 2 * HOUR  # the first instant of the third window from here
    assert await counters.hold(place("p", PER_HOUR), NOW, until) == HELD
    for at_ms, count in ((NOW, 1), (HOUR_END, 1), (HOUR_END + HOUR, 1), (until, 1), (until + HOUR, 0)):
        assert await used(counters, PER_HOUR, at_ms) == count
        await counters.hold(place("p", PER_HOUR), NOW, until)

    # keep stays in the window it happens in, and gives the others back
    assert await counters.keep(place("p", PER_HOUR), HOUR_END) == KEPT
    counts = [await used(counters, PER_HOUR, at_ms) for at_ms in (NOW, HOUR_END, HOUR_END + HOUR, until)]
    assert counts == [0, 1, 0, 0]


async def test_a_hold_is_refused_if_the_window_it_could_end_in_is_full(counters: Counters) -> None:
    for ping_id in ("p1", "p2"):
        assert await counters.hold(place(ping_id, PER_HOUR), HOUR_END - 10, HOUR_END + 50) == HELD
        assert await counters.keep(place(ping_id, PER_HOUR), HOUR_END) == KEPT
    full = await counters.hold(place("p3", PER_HOUR), HOUR_END - 5, HOUR_END)
    assert full == Full(PER_HOUR.key, HOUR_END + HOUR)
    assert await counters.hold(place("p3", PER_HOUR), HOUR_END - 5, HOUR_END - 1) == HELD


async def test_free_at_is_when_enough_holds_expire_or_the_windows_end(counters: Counters) -> None:
    assert await counters.keep(place("kept", PER_HOUR), NOW) == KEPT
    await counters.hold(place("held", PER_HOUR), NOW, UNTIL)
    other = CapRule("b:leads:hour", "leads", "hour", 9, UTC)
    await counters.hold(place("elsewhere", other), NOW, NOW + 5)
    assert await counters.hold(place("p", PER_HOUR), NOW, UNTIL) == Full(PER_HOUR.key, UNTIL + 1)
    await counters.keep(place("held", PER_HOUR), NOW)
    assert await counters.hold(place("p", PER_HOUR), NOW, UNTIL) == Full(PER_HOUR.key, HOUR_END)

    for ping_id, price, until in (("s1", 50_000_000, UNTIL), ("s2", 40_000_000, UNTIL + 7)):
        await counters.hold(place(ping_id, SPEND, price_micros=price), NOW, until)
    fits_after_first = place("s3", SPEND, price_micros=60_000_000)
    assert await counters.hold(fits_after_first, NOW, UNTIL) == Full(SPEND.key, UNTIL + 1, room=10_000_000)
    fits_after_both = place("s4", SPEND, price_micros=60_000_001)
    assert await counters.hold(fits_after_both, NOW, UNTIL) == Full(SPEND.key, UNTIL + 8, room=10_000_000)


async def test_free_at_is_never_too_late_where_there_are_too_many_holds_to_look_at(
    counters: Counters,
) -> None:
    other = CapRule("b:leads:hour", "leads", "hour", 999, UTC)
    await asyncio.gather(*(counters.hold(place(f"e{at}", other), NOW, NOW + at) for at in range(100)))
    one = CapRule("o:o:leads:day", "leads", "day", 1, UTC)
    await counters.hold(place("last", one), NOW, UNTIL)
    full = await counters.hold(place("p", one), NOW, UNTIL)
    assert isinstance(full, Full)
    assert NOW < full.free_at_ms <= UNTIL + 1


async def test_a_runner_up_takes_a_place_or_is_refused(counters: Counters) -> None:
    assert await counters.keep(place("p1", PER_HOUR), NOW) == KEPT
    assert await counters.keep(place("p1", PER_HOUR), NOW) == KEPT
    assert await counters.keep(place("p2", PER_HOUR), NOW) == KEPT
    assert await counters.keep(place("p3", PER_HOUR), NOW) == Full(PER_HOUR.key, HOUR_END)
    assert await used(counters, PER_HOUR) == 2


async def test_a_live_hold_is_never_refused_whatever_the_catalogue_became(counters: Counters) -> None:
    assert await counters.hold(place("p", PER_HOUR), NOW, UNTIL) == HELD
    lowered = CapRule(PER_HOUR.key, "leads", "hour", 0, UTC)
    new = CapRule("b:leads:day", "leads", "day", 0, UTC)
    assert await counters.keep(place("p", lowered, new), UNTIL) == KEPT
    assert await used(counters, lowered) == 1
    assert await used(counters, new) == 1
    assert await counters.release(place("p"), UNTIL)
    assert await used(counters, lowered) == await used(counters, new) == 0


async def test_an_expired_hold_is_taken_anew(counters: Counters) -> None:
    one = CapRule("o:o:leads:hour", "leads", "hour", 1, UTC)
    await counters.hold(place("p", one), NOW, UNTIL)
    assert await counters.keep(place("p", one), UNTIL + 1) == KEPT
    assert await used(counters, one) == 1
    await counters.release(place("p", one), UNTIL + 1)
    await counters.hold(place("p", one), NOW, UNTIL)
    await counters.keep(place("q", one), UNTIL + 1)
    assert await counters.keep(place("p", one), UNTIL + 1) == Full(one.key, HOUR_END)


async def test_sold_keeps_the_counts_and_corrects_the_spend_down(counters: Counters) -> None:
    caps = (PER_HOUR, SPEND)
    await counters.hold(place("p", *caps), NOW, UNTIL)
    await counters.keep(place("p", *caps), NOW)
    assert await counters.sold(place("p", *caps), NOW, 12_340_000)
    assert not await counters.sold(place("p", *caps), NOW, 1)
    assert not await counters.release(place("p", *caps), NOW)
    assert await used(counters, PER_HOUR) == 1
    assert await used(counters, SPEND) == 12_340_000
    assert await counters.link.call("EXISTS", "{buyer:b}:places", "{buyer:b}:holds") == 0

    await counters.keep(place("q", *caps), NOW)
    assert await counters.sold(place("q", *caps), NOW, 99_000_000)  # never more than was held
    assert await used(counters, SPEND) == 42_340_000


async def test_a_hold_sold_without_having_been_kept_counts_once(counters: Counters) -> None:
    await counters.hold(place("p", PER_HOUR), HOUR_END - 1, HOUR_END + 1)
    assert await counters.sold(place("p", PER_HOUR), HOUR_END - 1, 0)
    assert await used(counters, PER_HOUR, HOUR_END - 1) == 1
    assert await used(counters, PER_HOUR, HOUR_END) == 0


@pytest.mark.parametrize("kept", [False, True])
async def test_release_gives_back_once(counters: Counters, kept: bool) -> None:
    caps = (PER_HOUR, SPEND)
    await counters.keep(place("other", *caps), NOW)
    await counters.hold(place("p", *caps), NOW, UNTIL)
    if kept:
        await counters.keep(place("p", *caps), NOW)
    assert await counters.release(place("p", *caps), NOW)
    assert not await counters.release(place("p", *caps), NOW)
    assert await used(counters, PER_HOUR) == 1
    assert await used(counters, SPEND) == 30_000_000


async def test_release_of_what_is_held_leaves_what_is_kept(counters: Counters) -> None:
    for ping_id in ("p", "q"):
        await counters.hold(place(ping_id, PER_HOUR), NOW, UNTIL)
    await counters.keep(place("q", PER_HOUR), NOW)
    released = [await counters.release_held(place(ping_id, PER_HOUR), NOW) for ping_id in ("p", "q", "none")]
    assert released == [True, False, False]
    assert await used(counters, PER_HOUR) == 1
    assert await counters.sold(place("q", PER_HOUR), NOW, 30_000_000)


async def test_no_count_goes_below_0_when_counts_were_lost(counters: Counters) -> None:
    await counters.keep(place("p", PER_HOUR, SPEND), NOW)
    await counters.link.call("DEL", "{buyer:b}:counts")
    assert await counters.release(place("p"), NOW)
    assert await used(counters, PER_HOUR) == await used(counters, SPEND) == 0
    assert await counters.link.call("KEYS", "*") == []


async def test_one_cap_for_all_orders_of_a_buyer(counters: Counters) -> None:
    buyers = CapRule("b:leads:day", "leads", "day", 2, UTC)
    for order_id in ("a", "b"):
        assert await counters.hold(Place("b", order_id, "p", 1, (buyers,)), NOW, UNTIL) == HELD
    assert isinstance(await counters.hold(Place("b", "c", "p", 1, (buyers,)), NOW, UNTIL), Full)
    assert await counters.hold(Place("other", "c", "p", 1, (buyers,)), NOW, UNTIL) == HELD


async def test_ping_caps_and_free_leads_take_nothing(counters: Counters) -> None:
    pings = CapRule("o:o:pings:day", "pings", "day", 0, UTC)
    nothing = CapRule("b:spend:day", "spend", "day", 0, UTC)
    assert await counters.hold(place("p", pings, nothing, price_micros=0), NOW, UNTIL) == HELD
    assert await counters.keep(place("p", pings, nothing, price_micros=0), NOW) == KEPT
    assert await counters.sold(place("p", pings, nothing, price_micros=0), NOW, 0)


async def test_without_caps_a_place_is_known_all_the_same(counters: Counters) -> None:
    assert await counters.hold(place("p"), NOW, UNTIL) == HELD
    assert await counters.release(place("p"), NOW)
    assert not await counters.release(place("p"), NOW)


async def test_amounts_stay_exact_up_to_the_largest(counters: Counters) -> None:
    most = 2**53 - 1
    cap = CapRule("b:spend:total", "spend", "total", most, UTC)
    top = 1_000_000_000_000
    assert await counters.keep(place("p1", cap, price_micros=most - top - 1), NOW) == KEPT
    assert await counters.hold(place("p2", cap, price_micros=top + 2), NOW, UNTIL) == Full(
        cap.key, cap.window(NOW).end_ms, room=top + 1
    )
    assert await counters.hold(place("p2", cap, price_micros=top + 1), NOW, UNTIL) == HELD
    assert await used(counters, cap) == most
    assert await counters.sold(place("p1", cap), NOW, 1)
    assert await used(counters, cap) == top + 2
    assert await counters.release(place("p2", cap), NOW)
    assert await used(counters, cap) == 1


async def test_counts_of_windows_long_past_are_forgotten(counters: Counters) -> None:
    for day in range(10):
        at_ms = NOW + day * 24 * HOUR
        assert await counters.keep(place(f"p{day}", PER_HOUR), at_ms) == KEPT
        assert await counters.link.call("HLEN", "{buyer:b}:counts") <= 3
    # its window is forgotten: nothing to give back
    assert await counters.release(place("p0", PER_HOUR), at_ms)
    assert await used(counters, PER_HOUR, NOW) == 0


async def test_two_hundred_at_once_from_four_links_get_exactly_the_cap(
    open_link: Callable[..., Awaitable[Link]], counters: Counters
) -> None:
    cap = CapRule("o:o:leads:day", "leads", "day", 5, UTC)
    many = [Counters(await open_link()) for _ in range(4)]
    answers = await asyncio.gather(
        *(many[at % 4].hold(place(f"p{at}", cap), NOW, UNTIL) for at in range(200))
    )
    assert answers.count(HELD) == 5
    assert answers.count(Full(cap.key, UNTIL + 1)) == 195
    assert await used(counters, cap) == 5
