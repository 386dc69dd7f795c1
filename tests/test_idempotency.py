"""What a key does to the work of a request: once, kept, waited for, freed; with a store that is real, or away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any

import pytest

from auction import idempotency
from auction.clock import MovedClock
from auction.counters import scripts
from auction.counters.faults import CountersUnavailable
from auction.counters.keys import CountedKeys
from auction.counters.link import Link
from auction.errors import HouseError, SellerError
from auction.idempotency import MOST_ANSWER_BYTES, Idempotency, KeyedRequest, Reply, linked
from auction.ledger.sealing import Sealer
from tests.house import NOON_MS

SEALER = Sealer([b"k" * 32])


@pytest.fixture
async def link(emptied_valkey: str) -> AsyncIterator[Link]:
    link = Link(emptied_valkey, scripts.ALL, bound_ms=5_000)
    await link.open()
    yield link
    await link.close()


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock(NOON_MS)


@pytest.fixture
def kept(link: Link, clock: MovedClock) -> Idempotency:
    return Idempotency(CountedKeys(link, 3), SEALER, clock)


class Work:
    """Answers with its number, when it may; counts how often it was done."""

    def __init__(self, *errors: Exception, body: bytes = b"") -> None:
        self.done = 0
        self.going = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self._errors = list(errors)
        self._body = body

    async def __call__(self) -> Reply:
        self.done += 1
        self.going.set()
        await self.may_end.wait()
        if self._errors:
            raise self._errors.pop(0)
        header, passing = (b"content-type", b"application/json"), (b"server-timing", b"own")
        return Reply(200, self._body or b"answer %d" % self.done, (header,), (passing,))


def request(key: str = "k", *, wait_s: float = 20.0, **changes: Any) -> KeyedRequest:
    plain: dict[str, Any] = {
        "caller": "seller:acme",
        "key": key,
        "door": "ping",
        "body_hash": b"h" * 16,
        "give_up_s": perf_counter() + wait_s,
        "lease_ms": 1_000,
    }
    return KeyedRequest(**{**plain, **changes})


async def code_of(answer: Awaitable[Reply]) -> tuple[int, str]:
    with pytest.raises((SellerError, HouseError)) as caught:
        await answer
    return caught.value.status, caught.value.code


async def test_the_answer_is_given_again_with_the_headers_that_belong_to_it(kept: Idempotency) -> None:
    work = Work()
    first = await kept.once(request(), work)
    again = await kept.once(request(), work)
    assert first.passing == ((b"server-timing", b"own"),)
    assert not first.replayed
    assert (again.status, again.body, again.headers) == (first.status, first.body, first.headers)
    assert again.passing == ()
    assert again.replayed
    assert work.done == 1
    assert kept.outcomes == {("kept",): 1, ("replayed",): 1}


@pytest.mark.parametrize("change", [{"body_hash": b"x" * 16}, {"door": "post"}])
async def test_a_key_of_another_request_is_a_conflict(kept: Idempotency, change: dict[str, Any]) -> None:
    work = Work()
    await kept.once(request(), work)
    assert await code_of(kept.once(request(**change), work)) == (409, "idempotency_conflict")
    assert work.done == 1


async def test_callers_do_not_share_their_keys(kept: Idempotency) -> None:
    work = Work()
    for caller in ("seller:acme", "seller:rival"):
        assert not (await kept.once(request(caller=caller), work)).replayed
    assert work.done == 2


async def test_who_comes_meanwhile_waits_and_gets_the_same(kept: Idempotency) -> None:
    work = Work()
    work.may_end.clear()
    all_at_once = [asyncio.create_task(kept.once(request(), work)) for _ in range(50)]
    await work.going.wait()
    while kept.waiting < 49:  # noqa: ASYNC110  (49 others come to wait)
        await asyncio.sleep(0.001)
    work.may_end.set()
    replies = await asyncio.gather(*all_at_once)
    assert {reply.body for reply in replies} == {b"answer 1"}
    assert sorted(reply.replayed for reply in replies) == [False] + [True] * 49
    assert (work.done, kept.waiting) == (1, 0)


async def test_who_cannot_wait_longer_is_told_to_come_again(
    kept: Idempotency, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work()
    work.may_end.clear()
    first = asyncio.create_task(kept.once(request(), work))
    await work.going.wait()
    began_s = perf_counter()
    with pytest.raises(SellerError) as caught:
        await kept.once(request(wait_s=0.2), work)
    assert 0.1 < perf_counter() - began_s < 4, "not as long as others may"
    assert (caught.value.status, caught.value.code) == (409, "request_in_progress")
    assert caught.value.headers == (("retry-after", "1"),)
    monkeypatch.setattr(idempotency, "MOST_WAITING", 0)
    assert await code_of(kept.once(request(), work)) == (409, "request_in_progress")
    work.may_end.set()
    await first
    assert work.done == 1


@pytest.mark.parametrize("error", [SellerError(429, "x", "x"), HouseError("x", "x"), ValueError("a bug")])
async def test_what_is_no_answer_leaves_the_key_free(kept: Idempotency, error: Exception) -> None:
    work = Work(error)
    with pytest.raises(type(error)):
        await kept.once(request(), work)
    assert (await kept.once(request(body_hash=b"x" * 16), work)).body == b"answer 2"


async def test_work_that_is_cancelled_leaves_the_key_free(kept: Idempotency) -> None:
    work = Work()
    work.may_end.clear()
    task = asyncio.create_task(kept.once(request(), work))
    await work.going.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    work.may_end.set()
    assert (await kept.once(request(), work)).body == b"answer 2"


async def test_a_worker_that_died_is_in_the_way_until_its_lease_is_over(
    kept: Idempotency, clock: MovedClock
) -> None:
    dead, work = Work(), Work()
    dead.may_end.clear()
    asleep = asyncio.create_task(kept.once(request(), dead))
    await dead.going.wait()
    assert await code_of(kept.once(request(wait_s=0), work)) == (409, "request_in_progress")
    clock.move(1_001)
    assert (await kept.once(request(), work)).body == b"answer 1"
    dead.may_end.set()
    await asleep  # it was only frozen: its answer is given, and not kept
    assert (await kept.once(request(), work)).replayed
    assert work.done == 1


async def test_an_answer_that_is_too_long_is_given_and_not_kept(kept: Idempotency) -> None:
    work = Work(body=b"x" * MOST_ANSWER_BYTES)
    for _ in range(2):
        assert len((await kept.once(request(), work)).body) == MOST_ANSWER_BYTES
    assert work.done == 2
    assert kept.outcomes == {("too_large",): 2}


async def test_too_many_keys_are_refused_but_where_the_ledger_knows(
    kept: Idempotency, clock: MovedClock
) -> None:
    work = Work()
    for at in range(3):
        await kept.once(request(f"k{at}"), work)
    clock.move(3_600_000)
    with pytest.raises(SellerError) as caught:
        await kept.once(request("k3"), work)
    assert (caught.value.status, caught.value.code) == (429, "too_many_keys")
    assert caught.value.headers == (("retry-after", str(23 * 3_600)),)
    assert (await kept.once(request("k3", by_ledger=True), work)).body == b"answer 4"
    assert kept.outcomes[("unkept",)] == 1


async def test_a_store_that_is_away_stops_only_what_the_ledger_does_not_know(
    kept: Idempotency, link: Link
) -> None:
    work = Work()
    await link.close()
    assert await code_of(kept.once(request(), work)) == (503, "counters_unavailable")
    assert work.done == 0
    assert (await kept.once(request(by_ledger=True), work)).body == b"answer 1"


@pytest.mark.parametrize("done", [False, True])
async def test_an_answer_is_given_though_it_could_not_be_kept(
    kept: Idempotency, clock: MovedClock, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    keys: Any = kept._keys
    end: Callable[..., Awaitable[bool]] = keys.end

    async def fails(*arguments: Any) -> bool:
        if done:
            await end(*arguments)
        raise CountersUnavailable("the counters did not answer in time")

    monkeypatch.setattr(keys, "end", fails)
    work = Work()
    assert (await kept.once(request(), work)).body == b"answer 1"
    clock.move(1_001)
    assert (await kept.once(request(), work)).replayed == done


LINK = "https://x/?name=Ann"
LINKED = b'{"lead_id":"l1","redirect_url":"https://x/?name=Ann","test":true}'


@pytest.mark.parametrize(
    ("now", "told"), [(LINK, LINKED), (None, b'{"lead_id":"l1","test":true}')], ids=["known", "forgotten"]
)
async def test_a_redirect_url_is_asked_for_and_not_kept(
    link: Link, clock: MovedClock, now: str | None, told: bytes
) -> None:
    async def link_of(lead_id: str) -> str | None:
        assert lead_id == "l1"
        return now

    kept = Idempotency(CountedKeys(link, 3), SEALER, clock, links=link_of)
    work = Work(body=LINKED)

    async def linking() -> Reply:
        return linked(await work(), "l1", LINK)

    assert (await kept.once(request(), linking)).body == LINKED
    again = await kept.once(request(), linking)
    assert (again.body, again.replayed, work.done) == (told, True, 1)


async def test_a_redirect_url_that_nobody_pointed_out_is_not_kept(kept: Idempotency) -> None:
    work = Work(body=LINKED)
    for _ in range(2):
        assert (await kept.once(request(), work)).body == LINKED
    assert work.done == 2
    assert kept.outcomes == {("unkept",): 2}


async def test_nothing_that_was_said_can_be_read_in_the_store(kept: Idempotency, link: Link) -> None:
    await kept.once(request("512-555-0142"), Work(body=b'{"detail":"https://x/?name=Ann"}'))
    stored = b"".join([await link.call("DUMP", key) for key in await link.call("KEYS", "*")])
    assert len(stored) > 100
    for planted in (b"512-555-0142", b"Ann", b"detail"):
        assert planted not in stored
