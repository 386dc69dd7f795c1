"""What the page of names (`naming`) says of the keys is what the steps leave in the server."""

from __future__ import annotations

import re
from functools import partial

import pytest

from auction.counters import naming
from auction.counters.counters import DAY_MS, MARKED_MS, Counters
from auction.counters.keys import CountedKeys
from auction.counters.leasing import PingCounts
from auction.market.sellers import Rate
from tests.counters.test_allowances import cap, want
from tests.counters.test_keys import LEASE, use
from tests.counters.test_mending import NOW, PRICE, UNTIL, place

PRINT = bytes(32)
LINE = re.compile(r"^(\{\S+) +(hash|zset|string) ", re.MULTILINE)
ENDLESS = {"{campaign:C}:turns", "{house}"}
BUYERS = {f"{{buyer:B}}:{part}" for part in ("counts", "ends", "holds", "places", "returned")}


def on_the_page() -> dict[str, str]:
    """The keys by their pattern, each with its type."""
    assert naming.__doc__ is not None
    return dict(LINE.findall(naming.__doc__))


def pattern_of(key: str) -> str:
    """The one line of the page that this key is of. The more a line says, the better it fits."""
    fits = [
        pattern
        for pattern in on_the_page()
        if re.fullmatch(re.sub(r"(?<![a-z])[A-Z]+", "[^{}]+", re.escape(pattern)), key)
    ]
    assert fits, f"{key} is not on the page"
    return min(fits, key=lambda pattern: len(re.findall("[A-Z]+", pattern)))


@pytest.fixture
async def used(counters: Counters) -> Counters:
    """Counters on which every step that writes was done, and a house's own keys."""
    rate, admit = Rate(10, 60_000), partial(counters.admit, "acme", now_ms=NOW, lease_ms=LEASE)
    await admit(rate, PRINT, "p1")
    await counters.remember("acme", PRINT, "p1", b"answer", NOW, UNTIL)
    await admit(None, bytes(16), "p2")
    await counters.admit_post("acme", rate, NOW)
    await counters.admit_request("seller:acme", "002:key", rate, NOW)
    await counters.adopt("keyed", "p1")
    await counters.open_ping("p1", b"record", NOW, UNTIL)
    await counters.claim("p1", "lead", b"body", NOW, LEASE)
    for ping_id in ("p1", "p2", "p3"):
        await counters.hold(place(ping_id), NOW, UNTIL)
    await counters.keep(place("p1"), NOW)
    await counters.sold(place("p1"), NOW, PRICE)
    await counters.keep(place("p2"), NOW)
    await counters.returned(place("p1"), NOW, NOW)
    await counters.bought("solar", (PRINT,), ("o",), NOW, DAY_MS)
    await counters.turn("solar", ("o", "p"))
    await PingCounts(counters.link).lease("b", [want(cap("o:o:pings:hour", 100), now_ms=NOW)], NOW)
    await CountedKeys(counters.link, 10).begin(use(), NOW, LEASE)
    for name in (naming.HOUSE, naming.RECALLED):
        await counters.link.call("HSET", name, "field", "value")
    for name in (naming.REBUILD, naming.RECONCILE, naming.RECALLING, naming.READY):
        await counters.link.call("SET", name, "1")
    return counters


async def test_every_key_in_the_server_is_on_the_page_and_every_line_of_it_is_in_the_server(
    used: Counters,
) -> None:
    keys = [key.decode() for key in await used.link.call("KEYS", "*")]
    assert {pattern_of(key): (await used.link.call("TYPE", key)).decode() for key in keys} == on_the_page()


async def test_what_is_to_go_does_go(used: Counters) -> None:
    keys = [key.decode() for key in await used.link.call("KEYS", "*")]
    stay = {pattern_of(key) for key in keys if await used.link.call("PTTL", key) == -1}
    mine = {pattern for pattern in stay if not pattern.startswith("{house}:")}
    assert mine == ENDLESS | BUYERS  # a buyer's lose what is in them, and so themselves
    later = NOW + MARKED_MS + DAY_MS + 2 * 31 * DAY_MS
    await used.release(place("p2"), NOW)
    await used.returned(place("p9"), NOW, later)
    await PingCounts(used.link).lease("b", [want(cap("o:o:pings:hour", 100), now_ms=later)], later)
    left = await used.link.call("HKEYS", "{buyer:b}:counts")
    assert {name for name in map(bytes.decode, left) if name != naming.RETURNS} == {
        naming.window_name("o:o:pings:hour", later // 3_600_000 * 3_600_000)
    }


def test_names_are_taken_apart_as_they_were_put_together() -> None:
    assert naming.cap_key_of(naming.window_name("o:a@b:leads:day", 17)) == "o:a@b:leads:day"
    assert naming.window_name("k", 17) != naming.window_name("k", 18) != naming.window_name("l", 18)


def test_a_steps_keys_have_one_tag() -> None:
    """Else it would not run on a Cluster."""
    steps = [naming.of_buyer("b"), naming.of_buyer_with_returns("b"), naming.request_keys("seller:acme")]
    steps += [
        (2, naming.pings_key("acme", 1, 1), naming.marker_key("acme", PRINT)),
        (2, naming.HOUSE, naming.REBUILD),
    ]
    for number, *keys in steps:
        assert number == len(keys)
        assert len({str(key).partition("}")[0] for key in keys}) == 1
