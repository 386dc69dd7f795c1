"""`open_ping`, `claim`, `finish`, `unclaim`: one post per ping; and `turn`."""

from __future__ import annotations

import asyncio
from collections import Counter

from auction.counters.answers import (
    ANOTHERS,
    EXPIRED,
    UNKNOWN,
    Anothers,
    Busy,
    Claimed,
    Done,
    Expired,
    Unknown,
)
from auction.counters.counters import DAY_MS, Counters
from auction.ping.offer import OpenPing, owned_by

NOW = 1_700_000_000_000
UNTIL = NOW + 60_000
RECORD = bytes(range(256))


async def claim(
    counters: Counters, claimant: str, body: bytes = b"body", at_ms: int = NOW
) -> Claimed | Busy | Done | Expired | Unknown | Anothers:
    return await counters.claim("p", claimant, body, at_ms, lease_ms=1_000)


async def test_a_ping_is_claimed_once(counters: Counters) -> None:
    assert await claim(counters, "a") == UNKNOWN
    assert await counters.open_ping("p", RECORD, NOW, UNTIL)
    assert await claim(counters, "a", at_ms=UNTIL) == Claimed(RECORD)
    assert await claim(counters, "a", at_ms=UNTIL) == Busy(same_body=True, lapsed=False, claimant="a")
    assert await claim(counters, "b", b"other", at_ms=UNTIL) == Busy(
        same_body=False, lapsed=False, claimant="a"
    )


async def test_another_sellers_ping_is_not_claimed_for_a_moment(counters: Counters) -> None:
    mine, theirs = owned_by("p", "acme"), owned_by("p", "acm")
    for head in (b"", b"\x9f", b"\xdc\x00\x10"):
        await counters.open_ping("p", head + mine + RECORD, NOW, UNTIL)
        for begins in (theirs, owned_by("q", "acme"), owned_by("p", "acme2"), b"x" * 400):
            assert await counters.claim("p", "thief", b"body", NOW, 1_000, begins) == ANOTHERS
        assert await counters.claim("p", "a", b"body", NOW, 1_000, mine) == Claimed(head + mine + RECORD)
        assert await counters.claim("p", "thief", b"body", NOW, 1_000, theirs) == ANOTHERS
        assert await counters.unclaim("p", "a")


def test_an_open_ping_begins_with_its_id_and_its_seller() -> None:
    assert OpenPing.__struct_fields__[:2] == ("ping_id", "seller")


async def test_a_lapsed_claim_stays_for_whoever_settles_it(counters: Counters) -> None:
    await counters.open_ping("p", RECORD, NOW, UNTIL)
    await claim(counters, "a")
    assert await claim(counters, "b", at_ms=NOW + 1_000) == Busy(same_body=True, lapsed=False, claimant="a")
    assert await claim(counters, "b", at_ms=NOW + 1_001) == Busy(same_body=True, lapsed=True, claimant="a")
    assert await claim(counters, "b", at_ms=UNTIL + 1) == Busy(same_body=True, lapsed=True, claimant="a")
    assert await counters.finish("p", "a", b"late")
    assert await claim(counters, "b", at_ms=UNTIL + 1) == Done(b"late", same_body=True)


async def test_the_answer_is_given_to_every_repeat(counters: Counters) -> None:
    await counters.open_ping("p", RECORD, NOW, UNTIL)
    await claim(counters, "a")
    assert not await counters.finish("p", "b", b"not mine")
    assert await counters.finish("p", "a", RECORD)
    assert not await counters.finish("p", "a", b"second")
    assert await claim(counters, "b") == Done(RECORD, same_body=True)
    assert await claim(counters, "b", b"other", at_ms=UNTIL * 2) == Done(RECORD, same_body=False)
    assert await counters.link.call("HEXISTS", "{ping:p}", "record") == 0


async def test_a_late_post_is_told_from_an_unknown_one(counters: Counters) -> None:
    await counters.open_ping("p", RECORD, NOW, UNTIL)
    assert await claim(counters, "a", at_ms=UNTIL + 1) == EXPIRED
    assert 600_000 < await counters.link.call("PTTL", "{ping:p}") <= 660_000


async def test_a_claim_given_up_opens_the_ping_again_while_it_lives(counters: Counters) -> None:
    await counters.open_ping("p", RECORD, NOW, UNTIL)
    await claim(counters, "a")
    assert not await counters.unclaim("p", "b")
    assert await counters.unclaim("p", "a")
    assert not await counters.unclaim("p", "a")
    assert not await counters.finish("p", "a", b"too late")
    assert await claim(counters, "b", b"other") == Claimed(RECORD)
    await counters.unclaim("p", "b")
    assert await claim(counters, "c", at_ms=UNTIL + 1) == EXPIRED
    assert not await counters.unclaim("unknown", "a")
    assert not await counters.finish("unknown", "a", b"")


async def test_a_ping_can_be_opened_anew_until_it_is_claimed(counters: Counters) -> None:
    assert await counters.open_ping("p", b"first", NOW, NOW)
    assert await counters.open_ping("p", RECORD, NOW, UNTIL)
    assert await claim(counters, "a", at_ms=UNTIL) == Claimed(RECORD)
    assert not await counters.open_ping("p", b"other", NOW, UNTIL + 9)
    await counters.finish("p", "a", b"sold")
    assert not await counters.open_ping("p", b"other", NOW, UNTIL + 9)
    assert await claim(counters, "a") == Done(b"sold", same_body=True)
    assert await counters.link.call("PTTL", "{ping:p}") > DAY_MS - 60_000


async def test_a_ping_that_is_discarded_is_unknown(counters: Counters) -> None:
    await counters.open_ping("p", RECORD, NOW, UNTIL)
    await counters.discard_ping("p")
    assert await claim(counters, "a") == UNKNOWN


async def test_a_claim_and_an_answer_are_kept_for_a_day(counters: Counters) -> None:
    await counters.open_ping("p", RECORD, NOW, UNTIL)
    await claim(counters, "a")
    assert await counters.link.call("PTTL", "{ping:p}") > DAY_MS - 60_000
    await counters.finish("p", "a", b"x", keep_ms=5_000)
    assert 0 < await counters.link.call("PTTL", "{ping:p}") <= 5_000


async def test_of_many_posts_at_once_one_gets_the_ping(counters: Counters) -> None:
    await counters.open_ping("p", RECORD, NOW, UNTIL)
    answers = await asyncio.gather(*(counters.claim("p", f"c{at}", b"body", NOW, 1_000) for at in range(50)))
    assert answers == [Claimed(RECORD)] + [Busy(same_body=True, lapsed=False, claimant="c0")] * 49


async def test_turns_go_round(counters: Counters) -> None:
    orders = ["a", "b", "c"]
    chosen = [await counters.turn("solar", orders) for _ in range(4)]
    assert chosen == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]
    # one that was away is next, a new one before all that were chosen
    assert await counters.turn("solar", ["a", "c"]) == ["c", "a"]
    assert await counters.turn("solar", ["a", "b", "c", "new"]) == ["new", "b", "a", "c"]
    assert await counters.turn("roofs", ["c", "a"]) == ["c", "a"]
    assert await counters.turn("solar", ["a"]) == ["a"]


async def test_turns_are_fair_in_any_crowd(counters: Counters) -> None:
    orders = [f"o{at}" for at in range(7)]
    turns = await asyncio.gather(*(counters.turn("solar", orders) for _ in range(70)))
    assert set(Counter(turn[0] for turn in turns).values()) == {10}
