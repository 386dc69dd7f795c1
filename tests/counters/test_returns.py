"""`returned`: what a sale took is given back once, whoever tells it, and `mend` knows what was."""

from __future__ import annotations

from auction.counters.counters import MARKED_MS, Counters
from auction.counters.mending import Counted, Mended, Mending, WindowMend
from auction.counters.naming import RETURNS, mark_name
from tests.counters.test_mending import LEADS, NAMES, NOW, PRICE, SPEND, UNTIL, place, used, window

DAY_MS = 86_400_000


async def sell(counters: Counters, ping_id: str) -> None:
    one = place(ping_id)
    await counters.keep(one, NOW)
    assert await counters.sold(one, NOW, PRICE)


async def test_it_is_given_back_once(counters: Counters) -> None:
    for ping_id in ("p1", "p2"):
        await sell(counters, ping_id)
    assert await used(counters) == [2, 2 * PRICE]
    assert await counters.returned(place("p1"), NOW, NOW + 5) == 2
    assert await counters.returned(place("p1"), NOW, NOW + MARKED_MS) == 0
    assert await used(counters) == [1, PRICE]
    assert await counters.returned(place("p2"), NOW, NOW + 5) == 2
    assert await used(counters) == [0, 0]


async def test_a_window_that_is_over_is_left_alone(counters: Counters) -> None:
    await sell(counters, "p1")
    tomorrow = NOW + DAY_MS
    assert await counters.returned(place("p1"), NOW, tomorrow) == 1
    assert [count for _, count, _ in await counters.peek("b", [SPEND], tomorrow)] == [0]
    assert await used(counters) == [1, 0]


async def test_a_place_whose_sale_was_never_told_goes_whole(counters: Counters) -> None:
    """And a cap that is newer than its place had it from the ledger."""
    await counters.keep(place("p1", LEADS), NOW)
    newer = Mending([window(SPEND, 0, PRICE)], {"p1/o": "open"}, [], UNTIL)
    assert await counters.mend("b", newer, NOW) == Mended(0, 0)
    assert await used(counters) == [1, PRICE]
    assert await counters.returned(place("p1"), NOW, NOW) == 3
    assert await used(counters) == [0, 0]
    assert not await counters.sold(place("p1"), NOW, PRICE), "told late"
    assert await counters.returned(place("p1"), NOW, NOW) == 0
    assert await used(counters) == [0, 0]


async def test_a_look_tells_what_was_given_back(counters: Counters) -> None:
    await sell(counters, "p1")
    await counters.returned(place("p1"), NOW, NOW)
    look = await counters.look("b", [RETURNS, *NAMES], NOW)
    assert look.returned == {mark_name("p1/o", name) for name in NAMES}
    assert look.windows[RETURNS] == Counted(1, 0)


async def test_what_was_mended_is_not_given_back_again(counters: Counters) -> None:
    for ping_id in ("p1", "p2"):
        await sell(counters, ping_id)
    plan = Mending(
        [WindowMend(RETURNS, 0, 0, 0), window(LEADS, 2, -1)],
        {},
        [],
        UNTIL,
        [mark_name("p1/o", NAMES[0])],
        NOW + MARKED_MS,
    )
    assert plan.changes
    assert await counters.mend("b", plan, NOW) == Mended(0, 0)
    assert await used(counters) == [1, 2 * PRICE]
    assert await counters.returned(place("p1"), NOW, NOW) == 1, "the other window was not mended"
    assert await used(counters) == [1, PRICE]


async def test_a_return_between_look_and_change_stops_the_change(counters: Counters) -> None:
    """Though a sale beside it left every window as it was."""
    for ping_id in ("p1", "p2"):
        await counters.keep(place(ping_id), NOW)
    await counters.sold(place("p1"), NOW, PRICE)
    look = await counters.look("b", [RETURNS, *NAMES], NOW)
    await counters.returned(place("p1"), NOW, NOW)
    await counters.sold(place("p2"), NOW, PRICE)
    again = await counters.look("b", [RETURNS, *NAMES], NOW)
    assert [again.windows[name].sold for name in NAMES] == [look.windows[name].sold for name in NAMES]
    windows = [
        WindowMend(RETURNS, 0, look.windows[RETURNS].sold, 0),
        window(LEADS, look.windows[NAMES[0]].sold, 1),
    ]
    assert await counters.mend("b", Mending(windows, {"p2/o": "over"}, [], UNTIL), NOW) is None
    assert await used(counters) == [1, PRICE]


async def test_marks_are_forgotten(counters: Counters) -> None:
    await sell(counters, "p1")
    await counters.returned(place("p1"), NOW, NOW)
    await counters.returned(place("p9"), NOW, NOW + MARKED_MS + 1)
    marks = (await counters.look("b", [], NOW)).returned
    assert {mark.partition("/")[0] for mark in marks} == {"p9"}
