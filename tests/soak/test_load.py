"""The soak's sellers: a steady rate whatever happens, the same body again after a failure, and all of it remembered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from tests.soak.load import Sellers


class FakeHouse:
    """Offers on every ping; refuses the first request of every lead in one way or another, and sells at the second."""

    def __init__(self) -> None:
        self.requests: defaultdict[str, list[tuple[bytes, str | None]]] = defaultdict(list)
        self.pings = 0
        self.pending = False

    async def ping(self, request: web.Request) -> web.Response:
        self.pings += 1
        return web.json_response({"ping_id": f"p{self.pings}", "status": "offer"})

    async def sell(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body: dict[str, Any] = msgspec.json.decode(raw)
        name = body["lead"]["email"]
        sent = self.requests[name]
        sent.append((raw, request.headers.get("idempotency-key")))
        if len(sent) == 1:
            return self._failing(request, len(self.requests))
        return web.json_response({"lead_id": name, "status": "pending" if self.pending else "sold"})

    def _failing(self, request: web.Request, number: int) -> web.Response:
        if number % 3 == 0:
            return web.json_response({"code": "post_in_progress"}, status=409)
        if number % 3 == 1:
            return web.json_response({"code": "ledger_unavailable"}, status=503)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@asynccontextmanager
async def fake_house() -> AsyncIterator[tuple[FakeHouse, str]]:
    house = FakeHouse()
    app = web.Application()
    app.router.add_post("/ping", house.ping)
    app.router.add_post("/post", house.sell)
    app.router.add_post("/direct", house.sell)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield house, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_what_failed_is_sent_again_as_it_was_and_everything_is_remembered() -> None:
    async with fake_house() as (house, url):
        sellers = Sellers(url, seed=7, rate=10)
        await sellers.run(4.0)
        await sellers.once_more()
    assert 30 <= len(sellers.attempts) <= 40, "a steady rate"
    assert len(house.requests) == len(sellers.attempts)
    assert {attempt.kind for attempt in sellers.attempts} == {"post", "direct"}
    for sent in house.requests.values():
        assert len(sent) >= 2, "failed, and once more at the end"
        assert len(set(sent)) == 1, "the same body under the same key"
    assert sum(len(sent) >= 3 for sent in house.requests.values()) >= 20, "and in between"
    keys = Counter(sent[0][1] for sent in house.requests.values())
    assert max(times for key, times in keys.items() if key) == 1
    for attempt in sellers.attempts:
        assert len(attempt.said) == len(house.requests[f"{attempt.name}@example.com"])
        assert attempt.answers
        assert any(said.status != 200 for said in attempt.said)
        assert all(said.sent_ms <= said.heard_ms for said in attempt.said)


async def test_the_same_seed_makes_the_same_leads() -> None:
    bodies = []
    for _ in range(2):
        async with fake_house() as (house, url):
            await Sellers(url, seed=3, rate=30).run(0.5)
            bodies.append(
                sorted(msgspec.json.decode(sent[0][0])["lead"]["phone"] for sent in house.requests.values())
            )
    assert bodies[0] == bodies[1] != []
