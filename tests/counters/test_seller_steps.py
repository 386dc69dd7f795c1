"""`admit`, `remember`, `forget`: a seller's rate, and its repeated pings."""

from __future__ import annotations

import asyncio

from auction.counters.answers import Admitted, Limited, Repeat, Running
from auction.counters.counters import Counters
from auction.market.sellers import Rate

NOW = 1_700_000_000_000
MINUTE = 60_000
RATE = Rate(limit=3, per_ms=MINUTE)
END = NOW // MINUTE * MINUTE + MINUTE
ODD = bytes(range(256))
"""An answer of every byte: also those that mean something to Lua."""


async def test_the_rate_counts_down_and_starts_anew_with_the_next_window(counters: Counters) -> None:
    def admit(at_ms: int) -> asyncio.Future[Admitted | Limited | Repeat | Running]:
        return counters.admit("acme", RATE, None, "p", at_ms, 1_000)

    first = [await admit(NOW) for _ in range(5)]
    assert first == [
        Admitted(3, 2, END),
        Admitted(3, 1, END),
        Admitted(3, 0, END),
        Limited(3, 0, END, END - NOW),
        Limited(3, 0, END, END - NOW),
    ]
    assert await admit(END - 1) == Limited(3, 0, END, 1)
    assert await admit(END) == Admitted(3, 2, END + MINUTE)
    assert await counters.admit("other", RATE, None, "p", NOW, 1_000) == Admitted(3, 2, END)


async def test_a_limit_may_change_at_any_time(counters: Counters) -> None:
    for _ in range(6):
        await counters.admit("acme", RATE, None, "p", NOW, 1_000)
    raised = Rate(limit=4, per_ms=MINUTE)
    # what was refused was not counted: one more fits
    assert await counters.admit("acme", raised, None, "p", NOW, 1_000) == Admitted(4, 0, END)
    lowered = Rate(limit=2, per_ms=MINUTE)
    assert await counters.admit("acme", lowered, None, "p", NOW, 1_000) == Limited(2, 0, END, END - NOW)


async def test_without_a_limit_everything_is_admitted(counters: Counters) -> None:
    for _ in range(5):
        assert await counters.admit("acme", None, None, "p", NOW, 1_000) == Admitted(None, None, None)


async def test_a_repeat_runs_then_gets_the_answer_until_it_ends(counters: Counters) -> None:
    async def admit(ping_id: str, at_ms: int) -> Admitted | Limited | Repeat | Running:
        return await counters.admit("acme", None, b"\x00\xff", ping_id, at_ms, lease_ms=1_000)

    assert await admit("p1", NOW) == Admitted(None, None, None)
    assert await admit("p2", NOW + 1_000) == Running(None, None, None, "p1")
    assert await counters.remember("acme", b"\x00\xff", "p1", ODD, NOW + 1_000, NOW + 5_000)
    assert await admit("p3", NOW + 5_000) == Repeat(None, None, None, ODD)
    assert await admit("p4", NOW + 5_001) == Admitted(None, None, None)
    assert await admit("p5", NOW + 5_001) == Running(None, None, None, "p4")


async def test_another_ping_or_seller_is_no_repeat(counters: Counters) -> None:
    for seller, fingerprint in (("acme", b"a"), ("acme", b"b"), ("other", b"a")):
        answer = await counters.admit(seller, None, fingerprint, "p", NOW, 1_000)
        assert answer == Admitted(None, None, None)


async def test_a_repeat_counts_in_the_rate_and_can_be_limited(counters: Counters) -> None:
    assert await counters.admit("acme", RATE, b"f", "p1", NOW, 1_000) == Admitted(3, 2, END)
    assert await counters.admit("acme", RATE, b"f", "p2", NOW, 1_000) == Running(3, 1, END, "p1")
    assert await counters.remember("acme", b"f", "p1", b"", NOW, NOW + 60_000)
    assert await counters.admit("acme", RATE, b"f", "p3", NOW, 1_000) == Repeat(3, 0, END, b"")
    assert await counters.admit("acme", RATE, b"f", "p4", NOW, 1_000) == Limited(3, 0, END, END - NOW)


async def test_a_lapsed_marker_is_taken_over_and_its_first_owner_changes_nothing(counters: Counters) -> None:
    async def admit(ping_id: str, at_ms: int) -> Admitted | Limited | Repeat | Running:
        return await counters.admit("acme", None, b"f", ping_id, at_ms, lease_ms=1_000)

    await admit("slow", NOW)
    assert await admit("new", NOW + 1_001) == Admitted(None, None, None)
    assert not await counters.remember("acme", b"f", "slow", b"late", NOW + 1_001, NOW + 9_000)
    assert not await counters.forget("acme", b"f", "slow")
    assert await admit("again", NOW + 1_002) == Running(None, None, None, "new")


async def test_a_lapsed_marker_that_nobody_took_is_still_its_owners(counters: Counters) -> None:
    await counters.admit("acme", None, b"f", "slow", NOW, 1_000)
    assert await counters.remember("acme", b"f", "slow", b"late", NOW + 3_000, NOW + 9_000)
    answer = await counters.admit("acme", None, b"f", "p", NOW + 3_000, 1_000)
    assert answer == Repeat(None, None, None, b"late")


async def test_forget_lets_the_same_ping_in_again(counters: Counters) -> None:
    await counters.admit("acme", None, b"f", "p1", NOW, 1_000)
    assert not await counters.forget("acme", b"f", "p2")
    assert await counters.forget("acme", b"f", "p1")
    assert not await counters.forget("acme", b"f", "p1")
    assert not await counters.remember("acme", b"f", "p1", b"x", NOW, NOW + 9)
    assert await counters.admit("acme", None, b"f", "p2", NOW, 1_000) == Admitted(None, None, None)


async def test_of_many_equal_pings_at_once_one_is_auctioned(counters: Counters) -> None:
    calls = [counters.admit("acme", None, b"f", f"p{at}", NOW, 1_000) for at in range(50)]
    answers = await asyncio.gather(*calls)
    assert answers == [Admitted(None, None, None)] + [Running(None, None, None, "p0")] * 49


async def test_every_key_has_an_end(counters: Counters) -> None:
    await counters.admit("acme", RATE, b"f", "p", NOW, 1_000)
    await counters.admit("acme", RATE, b"g", "q", NOW, 1_000)
    await counters.remember("acme", b"g", "q", b"x", NOW, NOW + 9_000)
    keys = await counters.link.call("KEYS", "*")
    assert len(keys) == 3
    for key in keys:
        assert await counters.link.call("PTTL", key) > 0
