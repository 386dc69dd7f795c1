"""`look` and `mend`: what was sold is told apart from what stands in places, and changed only if nothing moved."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec
import pytest

from auction.counters.answers import HELD, KEPT, Full
from auction.counters.counters import Counters, Place
from auction.counters.link import Link
from auction.counters.mending import Counted, Entry, Mended, Mending, OpenPlace, WindowMend
from auction.market.windows import CapRule

NOW = 1_700_000_000_000
UNTIL = NOW + 60_000
LEADS = CapRule("o:o:leads:day", "leads", "day", 3, ZoneInfo("UTC"))
SPEND = CapRule("b:spend:month", "spend", "month", 100_000_000, ZoneInfo("UTC"))
PRICE = 30_000_000


def name_of(cap: CapRule) -> str:
    return f"{cap.key}@{cap.window(NOW).start_ms}"


NAMES = [name_of(LEADS), name_of(SPEND)]


def place(ping_id: str, *caps: CapRule) -> Place:
    return Place("b", "o", ping_id, PRICE, caps or (LEADS, SPEND))


def window(cap: CapRule, sold: int, more: int) -> WindowMend:
    return WindowMend(name_of(cap), cap.window(NOW).end_ms, sold, more)


def opened(ping_id: str, *caps: CapRule, take: bool = True) -> OpenPlace:
    entries = (
        Entry(
            cap.key,
            cap.kind == "spend",
            PRICE if cap.kind == "spend" else 1,
            name_of(cap),
            cap.window(NOW).end_ms,
        )
        for cap in caps
    )
    return OpenPlace(f"{ping_id}/o", take, tuple(entries))


def mending(*windows: WindowMend, **more: object) -> Mending:
    plain = Mending(list(windows), {}, [], UNTIL)
    return msgspec.structs.replace(plain, **more)


async def used(counters: Counters, at_ms: int = NOW) -> list[int]:
    return [count for _, count, _ in await counters.peek("b", [LEADS, SPEND], at_ms)]


async def test_a_look_tells_what_was_sold_from_what_stands_in_places(counters: Counters) -> None:
    for ping_id in ("held", "kept", "sold"):
        assert await counters.hold(place(ping_id), NOW, UNTIL) == HELD
    await counters.keep(place("kept"), NOW)
    await counters.sold(place("sold"), NOW, PRICE - 1)
    look = await counters.look("b", NAMES, NOW)
    assert look.windows == {NAMES[0]: Counted(3, 2), NAMES[1]: Counted(3 * PRICE - 1, 2 * PRICE)}
    assert [look.windows[name].sold for name in NAMES] == [1, PRICE - 1]
    assert look.kept == {"kept/o": {NAMES[0]: 1, NAMES[1]: PRICE}}
    assert (await counters.look("b", NAMES, UNTIL + 1)).windows[NAMES[0]] == Counted(2, 1), (
        "dead holds are none"
    )


@pytest.mark.parametrize("sold", [2, 9_007_199_254_740_993])  # no double on the way
async def test_a_window_that_lost_its_count_has_it_again_and_one_that_has_too_much_less(
    counters: Counters, link: Link, sold: int
) -> None:
    assert await counters.mend("b", mending(window(LEADS, 0, 2), window(SPEND, 0, sold)), NOW) == Mended(0, 0)
    assert await used(counters) == [2, sold]
    ends = await link.call("ZSCORE", "{buyer:b}:ends", NAMES[0])
    assert int(float(ends)) == LEADS.window(NOW).end_ms, "it is forgotten after its window"
    assert await counters.mend("b", mending(window(LEADS, 2, -2)), NOW) == Mended(0, 0)
    assert await used(counters) == [0, sold]
    assert await link.call("HKEYS", "{buyer:b}:counts") == [NAMES[1].encode()], "no count of 0 is kept"


@pytest.mark.parametrize("moved", ["sold", "kept"])
async def test_nothing_is_changed_where_something_was_sold_or_kept_since_the_look(
    counters: Counters, moved: str
) -> None:
    await counters.keep(place("before"), NOW)
    look = await counters.look("b", NAMES, NOW)
    if moved == "sold":
        await counters.sold(place("before"), NOW, PRICE)
    else:
        await counters.keep(place("since"), NOW)
    before = await used(counters)
    changes = mending(window(LEADS, 0, 1), window(SPEND, 0, PRICE), kept=dict.fromkeys(look.kept, "over"))
    assert await counters.mend("b", changes, NOW) is None
    assert await used(counters) == before


async def test_holds_that_come_and_go_are_in_nobodys_way(counters: Counters) -> None:
    await counters.hold(place("gone"), NOW, UNTIL)
    await counters.look("b", NAMES, NOW)
    await counters.release(place("gone"), NOW)
    await counters.hold(place("come"), NOW, UNTIL)
    assert await counters.mend("b", mending(window(LEADS, 0, 1), window(SPEND, 0, PRICE)), NOW) == Mended(
        0, 0
    )
    assert await used(counters) == [2, 2 * PRICE]


async def test_the_place_of_a_lead_that_was_sold_is_counted_once(counters: Counters) -> None:
    """It is sold in the ledger, and its `sold` never came: its worker died, or will send it late."""
    await counters.keep(place("p"), NOW)
    changes = mending(window(LEADS, 0, 1), window(SPEND, 0, PRICE), kept={"p/o": "over"})
    assert await counters.mend("b", changes, NOW) == Mended(1, 0)
    assert await used(counters) == [1, PRICE]
    assert not await counters.sold(place("p"), NOW, PRICE), "late"
    assert await used(counters) == [1, PRICE]


async def test_the_place_of_a_lead_that_was_refused_is_free(counters: Counters) -> None:
    await counters.keep(place("p"), NOW)
    assert await counters.mend("b", mending(window(LEADS, 0, 0), kept={"p/o": "over"}), NOW) == Mended(1, 0)
    assert await used(counters) == [0, 0]


async def test_the_place_of_a_lead_that_is_gone_is_held_for_a_while(counters: Counters) -> None:
    """Its post may be repeated: then it has its place (P3)."""
    for ping_id in ("p", "q"):
        await counters.keep(place(ping_id), NOW)
    gone = mending(kept={"p/o": "gone", "q/o": "gone"})
    assert await counters.mend("b", gone, NOW) == Mended(2, 0)
    assert await used(counters) == [2, 2 * PRICE]
    assert await counters.keep(place("p"), UNTIL) == KEPT
    assert await used(counters, UNTIL + 1) == [1, PRICE]


async def test_an_offer_that_is_out_has_its_place_again(counters: Counters) -> None:
    changes = mending(window(LEADS, 0, 0), window(SPEND, 0, 0), open=[opened("p", LEADS, SPEND)])
    assert await counters.mend("b", changes, NOW) == Mended(0, 1)
    assert await used(counters) == [1, PRICE]
    assert await counters.sold(place("p"), NOW, PRICE - 5), "it is settled as if nothing had been lost"
    assert await used(counters, NOW + 9 * 60_000) == [1, PRICE - 5]
    look = await counters.look("b", NAMES, NOW)
    again = mending(window(LEADS, 1, 0), open=[opened("p", LEADS, take=False)])
    assert await counters.mend("b", again, NOW) == Mended(0, 0)
    assert (await counters.look("b", NAMES, NOW)) == look


async def test_a_hold_of_an_offer_that_is_out_becomes_its_place(counters: Counters, link: Link) -> None:
    """The dump that was restored is older than the offer."""
    await counters.hold(place("p"), NOW, UNTIL)
    assert await counters.mend("b", mending(open=[opened("p", LEADS, SPEND)]), NOW) == Mended(0, 1)
    assert await used(counters, UNTIL + 1) == [1, PRICE]
    assert await link.call("EXISTS", "{buyer:b}:holds") == 0


async def test_a_kept_place_counts_in_a_cap_that_is_new(counters: Counters) -> None:
    await counters.keep(place("p", LEADS), NOW)
    changes = mending(window(SPEND, 0, 0), kept={"p/o": "open"}, open=[opened("p", LEADS, SPEND, take=False)])
    assert await counters.mend("b", changes, NOW) == Mended(0, 0)
    assert await used(counters) == [1, PRICE]
    await counters.release(place("p"), NOW)
    assert await used(counters) == [0, 0]


@pytest.mark.parametrize("room", [True, False])
async def test_an_offer_that_turns_out_not_to_be_out_needs_room(counters: Counters, room: bool) -> None:
    """Its place was taken because the ledger has it; `keep` comes before an offer leaves, so it had not left."""
    sold = 2 if room else 3
    changes = mending(window(LEADS, 0, sold), open=[opened("p", LEADS)])
    assert await counters.mend("b", changes, NOW) == Mended(0, 1)
    kept = await counters.keep(place("p", LEADS), NOW)
    assert kept == KEPT if room else isinstance(kept, Full)
    assert (await used(counters))[0] == 3
    if room:
        assert await counters.keep(place("p", LEADS), NOW) == KEPT


async def test_counts_that_were_lost_under_places_come_right(counters: Counters, link: Link) -> None:
    """Whatever was there: after it, a window counts what was sold and what stands in it."""
    for ping_id in ("kept", "sold"):
        await counters.keep(place(ping_id), NOW)
    await counters.hold(place("held"), NOW, UNTIL)
    await link.call("DEL", "{buyer:b}:counts")
    look = await counters.look("b", NAMES, NOW)
    assert look.windows[NAMES[0]].sold == -3
    changes = mending(
        window(LEADS, -3, 4), window(SPEND, -3 * PRICE, 4 * PRICE), kept={"kept/o": "open", "sold/o": "over"}
    )
    assert await counters.mend("b", changes, NOW) == Mended(1, 0)
    assert await used(counters) == [3, 3 * PRICE]
    assert await used(counters, UNTIL + 1) == [2, 2 * PRICE]
