"""Requests with a key over two workers: one effect however often they come, also when a worker is killed at it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]
import pytest

from tests.house import PERSON, PING, catalogue
from tests.servers import Client, Served, client_of, running_buyers, running_server

TMAX_MS = 4_000
DIRECT = {**PING, "lead": {**PING["lead"], **PERSON}}
DOORS = ["/ping", "/post", "/direct"]
Answer = tuple[int, dict[str, Any]]


def market(mock_url: str) -> str:
    """One order."""
    return catalogue([{"id": "a", "buyer": "a-co"}], auction={"tmax_ms": TMAX_MS}, mock_url=mock_url)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers, and a buyer that takes its time."""
    folder: Path = tmp_path_factory.mktemp("keys")
    manner = {"bid": {"price": 30}, "latency_ms": 200, "post": {"latency_ms": 200}}
    with (
        running_buyers(folder, {"a-co": manner}) as mock_url,
        running_server(
            folder, mock_url, market, workers=2, environ={"AUCTION_POST_WAIT_MS": "8000"}
        ) as served,
    ):
        yield served


def workers_of(served: Served) -> list[psutil.Process]:
    """Its workers, whoever it has now."""
    return [child for child in psutil.Process(served.process.pid).children() if "valkey" not in child.name()]


async def body_of(client: Client, door: str, sub_id: str) -> dict[str, Any]:
    if door != "/post":
        return {**(PING if door == "/ping" else DIRECT), "sub_id": sub_id}
    _, offer = await client.post("/ping", {**PING, "sub_id": sub_id})
    return {"ping_id": offer["ping_id"], "lead": PERSON}


async def count(client: Client) -> tuple[int, int]:
    """Pings and posts that the buyer was sent."""
    return len(await client.seen("a-co", "ping")), len(await client.seen("a-co", "post"))


@pytest.mark.parametrize("door", DOORS)
async def test_fifty_at_once_over_two_workers_are_one_request(served: Served, door: str) -> None:
    key = {"idempotency-key": f"fifty{door}"}
    async with client_of(served) as client:
        body = await body_of(client, door, "fifty")
        pings, posts = await count(client)
        answers: list[Answer] = await asyncio.gather(*(client.post(door, body, **key) for _ in range(50)))
        assert {status for status, _ in answers} == {200}
        assert all(answer == answers[0] for answer in answers)
        assert await count(client) == (pings + (door != "/post"), posts + (door != "/ping"))
        other = await client.post(door, {**body, "lead": {**body["lead"], "bill": 7}}, **key)
        assert (other[0], other[1]["code"]) == (409, "idempotency_conflict")


async def killed_at(client: Client, served: Served, door: str, key: dict[str, str]) -> dict[str, Any]:
    """Sends a request, and kills the workers when the buyer has been asked for it: the request."""
    body = await body_of(client, door, "killed")
    kind = "ping" if door == "/ping" else "post"
    before = await client.seen("a-co", kind)
    dying = asyncio.create_task(client.post(door, body, **key))
    await client.until_seen("a-co", kind, len(before) + 1)
    for worker in workers_of(served):
        worker.kill()
    with pytest.raises(aiohttp.ClientError):
        await dying
    return body


async def until_served(client: Client, door: str, body: Any, key: dict[str, str], *not_yet: str) -> Answer:
    """Sends it until somebody is there to answer, and says something else than `not_yet`."""
    async with asyncio.timeout(30):
        while True:
            try:
                status, answer = await client.post(door, body, **key)
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
            else:
                if answer.get("code") not in not_yet:
                    return status, answer


@pytest.mark.slow
async def test_a_ping_whose_worker_is_killed_is_asked_anew_when_its_lease_is_over(served: Served) -> None:
    key = {"idempotency-key": "killed ping"}
    async with client_of(served) as client:
        pings, posts = await count(client)
        body = await killed_at(client, served, "/ping", key)
        status, answer = await until_served(
            client, "/ping", body, key, "request_in_progress", "ping_in_progress"
        )
        assert (status, answer["status"]) == (200, "offer")
        assert await client.post("/ping", body, **key) == (status, answer)
        assert await count(client) == (pings + 2, posts)


@pytest.mark.slow
@pytest.mark.parametrize("door", ["/post", "/direct"])
async def test_a_lead_whose_worker_is_killed_is_not_offered_again_for_its_key(
    served: Served, door: str
) -> None:
    """It is under way until it is known what became of it; whatever its repetition hears, nothing is sent twice."""
    key = {"idempotency-key": f"killed {door}"}
    async with client_of(served) as client:
        _, posts = await count(client)
        body = await killed_at(client, served, door, key)
        status, answer = await until_served(client, door, body, key)
        expected = ((200, None), (409, "request_in_progress"), (409, "post_in_progress"))
        assert (status, answer.get("code")) in expected
        assert (await count(client))[1] == posts + 1
