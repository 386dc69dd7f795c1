"""Keys of requests: one owner at a time, one answer, kept for a day, and never more than a caller may have."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.counters import scripts
from auction.counters.counters import DAY_MS, Counters
from auction.counters.embedded import EmbeddedValkey
from auction.counters.keys import BYTES_A_KEY, CountedKeys
from auction.counters.link import Link
from auction.request_keys import Begun, Ended, KeyUse, OfAnother, TooMany, UnderWay

NOW = 1_700_000_000_000
LEASE = 2_000
CALLER = "seller:acme"


def use(name: str = "k", says: str = "this", owner: str = "me") -> KeyUse:
    return KeyUse(CALLER, name.encode().ljust(16, b"\0"), says.encode().ljust(16, b"\xff"), owner)


@pytest.fixture
def keys(link: Link) -> CountedKeys:
    return CountedKeys(link, 100)


async def stored(link: Link) -> tuple[int, int, int, int]:
    """Keys, their ends, the bytes that are counted, and those that there are."""
    tag = f"{{{CALLER}}}:keys"
    records = await link.call("HVALS", tag)
    counted = int(await link.call("GET", f"{tag}:bytes") or 0)
    return len(records), await link.call("ZCARD", f"{tag}:ends"), counted, sum(map(len, records))


async def test_a_key_is_begun_once_and_its_answer_is_for_the_same_request(keys: CountedKeys) -> None:
    assert await keys.begin(use(), NOW, LEASE) == Begun()
    assert await keys.begin(use(owner="other"), NOW, LEASE) == UnderWay()
    assert await keys.begin(use(says="that", owner="other"), NOW, LEASE) == OfAnother()
    assert not await keys.end(use(owner="other"), NOW, b"no")
    assert await keys.end(use(), NOW, b"\x00an answer\xff")
    assert not await keys.end(use(), NOW, b"another")
    assert await keys.begin(use(owner="other"), NOW + 1, LEASE) == Ended(b"\x00an answer\xff")
    assert await keys.begin(use(says="that"), NOW + 1, LEASE) == OfAnother()


async def test_a_key_without_an_answer_is_free(keys: CountedKeys, link: Link) -> None:
    await keys.begin(use(), NOW, LEASE)
    assert await keys.end(use(), NOW, None)
    assert not await keys.end(use(), NOW, b"late")
    assert await stored(link) == (0, 0, 0, 0)
    assert await keys.begin(use(says="that", owner="other"), NOW, LEASE) == Begun()


async def test_a_key_whose_owner_died_is_free_when_its_lease_is_over(keys: CountedKeys) -> None:
    await keys.begin(use(owner="dead"), NOW, LEASE)
    assert await keys.begin(use(), NOW + LEASE, LEASE) == UnderWay()
    assert await keys.begin(use(), NOW + LEASE + 1, LEASE) == Begun()
    assert not await keys.end(use(owner="dead"), NOW + LEASE + 1, b"it woke up")
    assert await keys.end(use(), NOW + LEASE + 2, b"mine")


async def test_an_answer_is_kept_for_a_day_from_when_it_was_given(keys: CountedKeys, link: Link) -> None:
    await keys.begin(use(), NOW, LEASE)
    await keys.end(use(), NOW + 1_000, b"answer")
    assert await keys.begin(use(), NOW + 1_000 + DAY_MS, LEASE) == Ended(b"answer")
    for part in ("", ":ends", ":bytes"):
        assert await link.call("PTTL", f"{{{CALLER}}}:keys{part}") > DAY_MS - 1
    assert await keys.begin(use(says="that"), NOW + 1_001 + DAY_MS, LEASE) == Begun()


async def test_a_caller_has_so_many_keys_and_no_more_until_the_oldest_goes(link: Link) -> None:
    keys = CountedKeys(link, 3)
    for at in range(3):
        assert await keys.begin(use(f"k{at}"), NOW + at, LEASE) == Begun()
    assert await keys.begin(use("k3"), NOW + 3, LEASE) == TooMany(NOW + DAY_MS)
    assert await keys.begin(use("k1", owner="other"), NOW + 3, LEASE) == UnderWay()  # that one is known
    rival = KeyUse("seller:rival", b"k" * 16, b"p" * 16, "me")
    assert await keys.begin(rival, NOW, LEASE) == Begun()
    assert await keys.begin(use("k3"), NOW + DAY_MS + 1, LEASE) == Begun()


async def test_a_caller_has_so_many_bytes(link: Link) -> None:
    keys = CountedKeys(link, 10)
    for at in range(2):
        assert await keys.begin(use(f"k{at}"), NOW, LEASE) == Begun()
        assert await keys.end(use(f"k{at}"), NOW, b"x" * (BYTES_A_KEY * 5))
    assert await keys.begin(use("k2"), NOW, LEASE) == TooMany(NOW + DAY_MS)
    assert await keys.begin(use("k2"), NOW + DAY_MS + 1, LEASE) == Begun()


async def test_what_is_over_is_forgotten_in_good_time(keys: CountedKeys, link: Link) -> None:
    many = CountedKeys(link, 1_000)
    for at in range(300):
        await many.begin(use(f"k{at}"), NOW + at, LEASE)
        await many.end(use(f"k{at}"), NOW + at, b"answer")
    assert await many.begin(use("k299"), NOW + 299 + DAY_MS + 1, LEASE) == Begun()  # though others go first
    for at in range(5):
        await many.begin(use(f"n{at}"), NOW + 2 * DAY_MS, LEASE)
    assert (await stored(link))[0] == 5 + 1


class Model:
    """What the two steps promise."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.keys: dict[bytes, tuple[bytes, str, int, int, bytes | None]] = {}

    def begin(self, one: KeyUse, now_ms: int) -> Begun | Ended | UnderWay | OfAnother | TooMany:
        self.keys = {name: kept for name, kept in self.keys.items() if kept[3] >= now_ms}
        kept = self.keys.get(one.name)
        if kept is not None and kept[4] is None and kept[2] < now_ms:
            del self.keys[one.name]
            kept = None
        if kept is not None:
            if kept[0] != one.print_of:
                return OfAnother()
            return UnderWay() if kept[4] is None else Ended(kept[4])
        if len(self.keys) >= self.most:
            return TooMany(min(until_ms for _, _, _, until_ms, _ in self.keys.values()))
        self.keys[one.name] = (one.print_of, one.owner, now_ms + LEASE, now_ms + DAY_MS, None)
        return Begun()

    def end(self, one: KeyUse, now_ms: int, answer: bytes | None) -> bool:
        kept = self.keys.get(one.name)
        if kept is None or kept[4] is not None or kept[1] != one.owner:
            return False
        if answer is None:
            del self.keys[one.name]
        else:
            self.keys[one.name] = (kept[0], "", 0, now_ms + DAY_MS, answer)
        return True


USES = st.builds(use, st.sampled_from("abcde"), st.sampled_from(["x", "y"]), st.sampled_from(["1", "2", "3"]))
STEPS = st.tuples(
    USES,
    st.sampled_from(["begin", "begin", "answer", "free"]),
    st.sampled_from([0, 1, LEASE, LEASE + 1, DAY_MS // 2, DAY_MS + 1]),
)


def test_any_steps_in_any_order_do_what_the_model_says(valkey: EmbeddedValkey) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(STEPS, max_size=40))
    def run(steps: list[tuple[KeyUse, str, int]]) -> None:
        async def scenario() -> None:
            link = Link(valkey.url, scripts.ALL, bound_ms=10_000)
            await link.open(within_ms=20_000)
            await link.call("FLUSHALL")
            keys, model, now_ms = CountedKeys(link, 3), Model(3), NOW
            for one, step, pause_ms in steps:
                now_ms += pause_ms
                if step == "begin":
                    assert await keys.begin(one, now_ms, LEASE) == model.begin(one, now_ms)
                else:
                    answer = f"{now_ms}".encode() if step == "answer" else None
                    assert await keys.end(one, now_ms, answer) == model.end(one, now_ms, answer)
                count, ends, counted, there = await stored(link)
                assert count == ends <= 3
                assert counted == there
            await link.close()

        asyncio.run(scenario())

    run()


async def test_fifty_at_once_begin_one(counters: Counters, keys: CountedKeys) -> None:
    uses = [use(owner=str(at)) for at in range(50)]
    answers = await asyncio.gather(*(keys.begin(one, NOW, LEASE) for one in uses))
    assert answers.count(Begun()) == 1
    assert answers.count(UnderWay()) == 49
