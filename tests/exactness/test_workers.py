"""Two workers, one house: caps are met to the last lead, and nothing is sold twice (P1, P2, P5)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import count
from typing import Any

import pytest

from tests.exactness.conftest import HOUR_MS, Trading
from tests.exactness.views import reconcile
from tests.house import PERSON
from tests.servers import Client, client_of


async def offered(client: Client, campaign: str, number: int) -> str:
    """The id of a ping that got an offer."""
    ping = {"campaign": campaign, "lead": {"state": "TX"}, "sub_id": f"{campaign}-{number}"}
    status, answer = await client.post("/ping", ping)
    assert (status, answer["status"]) == (200, "offer"), answer
    return str(answer["ping_id"])


async def posted(client: Client, ping_id: str, **person: Any) -> dict[str, Any]:
    """The answer to a post."""
    status, answer = await client.post("/post", {"ping_id": ping_id, "lead": {**PERSON, **person}})
    assert status == 200, answer
    return answer


async def all_at_once(client: Client, campaign: str, leads: int) -> list[dict[str, Any]]:
    """All pings at once, then all posts at once: the posts' answers."""
    ping_ids = await asyncio.gather(*(offered(client, campaign, number) for number in range(leads)))
    return await asyncio.gather(*(posted(client, ping_id) for ping_id in ping_ids))


@pytest.mark.slow
async def test_across_the_end_of_an_hour_each_hour_has_its_own_places(trading: Trading) -> None:
    """Leads are pinged and posted all the time, from shortly before its end until the next hour is full as well."""
    assert time.time() < trading.hour_ends_s, "this test comes first: the hour ends soon after the start"
    answers: list[dict[str, Any]] = []
    left_over = 0  # leads of the new hour that its capped order had no place for

    async def sell_on(client: Client, seller: int) -> None:
        nonlocal left_over
        for number in count():
            if left_over >= 20:
                return
            pinged_s = time.time()
            assert pinged_s < trading.hour_ends_s + 30, "the new hour does not fill"
            ping_id = await offered(client, "hours", seller * 10_000 + number)
            answers.append(await posted(client, ping_id))
            left_over += pinged_s > trading.hour_ends_s and answers[-1]["buyers"] == ["walt"]

    async with client_of(trading.served) as client:
        await asyncio.sleep(max(0, trading.hour_ends_s - 0.6 - time.time()))
        await asyncio.gather(*(sell_on(client, seller) for seller in range(30)))
        ledger = await reconcile(client, trading.ledger_url, "hours", ["wanda", "walt"], answers)
    hours = Counter(
        sale["offered_at_ms"] // HOUR_MS for sale in ledger.sales if sale["order_id"] == "hours-capped"
    )
    before, after = sorted(hours)
    assert 0 < hours[before] <= 60
    assert hours[after] == 60
    assert len(ledger.workers) == 2


async def test_two_hundred_posts_at_once_share_five_places(trading: Trading) -> None:
    async with client_of(trading.served) as client:
        answers = await all_at_once(client, "few", 200)
        ledger = await reconcile(client, trading.ledger_url, "few", ["hannah", "hugo"], answers)
    assert ledger.sold == {"few-five": 5, "few-rest": 195}
    assert len(ledger.workers) == 2


async def test_places_that_nobody_holds_go_to_the_first_posts_that_come_to_them(trading: Trading) -> None:
    """Every lead was won by a buyer who rejects it: 200 posts ask for the runner-up's five places."""
    async with client_of(trading.served) as client:
        answers = await all_at_once(client, "second", 200)
        ledger = await reconcile(client, trading.ledger_url, "second", ["rejecter", "rita"], answers)
    assert ledger.sold == {"second-five": 5}
    assert Counter(answer.get("reason") for answer in answers) == {None: 5, "cap_full": 195}
    assert len(ledger.workers) == 2


async def test_caps_by_hour_day_and_spend_hold_together(trading: Trading) -> None:
    async with client_of(trading.served) as client:
        answers = await all_at_once(client, "caps", 120)
        ledger = await reconcile(client, trading.ledger_url, "caps", ["tina", "tom"], answers)
    assert ledger.sold == {"caps-all": 6, "caps-hour": 3, "caps-day": 1, "caps-rest": 110}


async def test_a_ping_posted_fifty_times_at_once_is_sold_once(trading: Trading) -> None:
    async with client_of(trading.served) as client:
        ping_id = await offered(client, "once", 0)
        post = {"ping_id": ping_id, "lead": PERSON}
        results = await asyncio.gather(*(client.post("/post", post) for _ in range(50)))
        answers = [answer for status, answer in results if status == 200]
        assert answers
        assert all(answer == answers[0] for answer in answers)
        refused = [(status, answer["code"]) for status, answer in results if status != 200]
        assert set(refused) <= {(409, "post_in_progress")}
        ledger = await reconcile(client, trading.ledger_url, "once", ["paula", "paul"], answers[:1])
        assert await posted(client, ping_id) == answers[0]
        other = await client.post("/post", {"ping_id": ping_id, "lead": {**PERSON, "first_name": "Bob"}})
    assert ledger.sold == {"once-first": 1}
    assert len(ledger.offers) == 1
    assert (other[0], other[1]["code"]) == (409, "used_ping")


async def test_equal_pings_at_once_are_one_auction(trading: Trading) -> None:
    """The same ping over both workers: one ping id, one offer, one place held."""
    async with client_of(trading.served) as client:
        for number in range(3):
            ids = await asyncio.gather(*(offered(client, "once", 1_000 + number) for _ in range(20)))
            assert len(set(ids)) == 1
