"""Sellers at a steady rate, whatever becomes of their requests (an open loop), and a memory of all they were told.

A lead is pinged and posted, or sent as one with an `Idempotency-Key`. What fails is sent again with the same body, as
a seller would: after a moment, then after longer ones. Some are posted twice at once, some again when they were
answered, some too late, some never. When the run is over every lead is sent once more: its answer is still the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from random import Random
from typing import Any

import aiohttp
import msgspec

from tests.faults.history import Attempt, Said
from tests.house import KEY
from tests.soak.market import CAMPAIGNS, HOLD_S

TIMEOUT_S = 10.0
"""A seller waits no longer, and sends the same again. (A post may take longer where a store stands still after its
buyer was asked: what came of it is then written as soon as it can be.)"""
FIRST_PAUSE_S, LONGEST_PAUSE_S, TRIES = 0.3, 4.0, 12
MOST_ATTEMPTS = 500
PLANTED = "qxz"
"""Begins every name and every address of mail: what names a person, and can be looked for."""
AT_ONCE_AT_THE_END, TRIES_AT_THE_END = 16, 3
ONCE_MORE_S = 60.0
"""How long everything may be sent again for."""
STATES = ("TX", "CA", "NY", "FL", "OH")


class Sellers:
    """The load on one house. `attempts` grows as it runs; `counts` tells what each kind of request was answered."""

    def __init__(self, url: str, seed: int, rate: float) -> None:
        self.attempts: list[Attempt] = []
        self.counts: Counter[str] = Counter()
        self.phones: list[str] = []
        self._url = url
        self._rate = rate
        self._rng = Random(f"sellers:{seed}")
        self._bodies: dict[str, bytes] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._number = 0

    async def run(self, for_s: float) -> None:
        """New leads for so long; then those under way have a moment to come to an end."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with self._session() as session:
            while (next_s := began_s + self._number / self._rate) < began_s + for_s:
                await asyncio.sleep(max(0.0, next_s - loop.time()))
                self._number += 1
                if len(self._running) >= MOST_ATTEMPTS:
                    self.counts["leads not begun"] += 1
                    continue
                task = asyncio.create_task(self._sell(session, self._number))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            self._closing.set()
            await asyncio.gather(*self._running)

    async def once_more(self) -> None:
        """Every lead that was sent is sent again, as it was, while there is time: what has no answer then is the
        checker's to tell."""
        places = asyncio.Semaphore(AT_ONCE_AT_THE_END)
        until_s = time.monotonic() + ONCE_MORE_S

        async def again(session: aiohttp.ClientSession, attempt: Attempt) -> None:
            async with places:
                for _ in range(TRIES_AT_THE_END):
                    if time.monotonic() > until_s:
                        return
                    said = await self._send(session, attempt)
                    if not said.undecided:
                        break
                    await asyncio.sleep(0.5)

        attempts = [one for one in self.attempts if _is_lead(one)]
        async with self._session() as session:
            await asyncio.gather(*(again(session, attempt) for attempt in attempts))

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(TIMEOUT_S)
        headers = {"x-api-key": KEY, "content-type": "application/json"}
        return aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers)

    async def _sell(self, session: aiohttp.ClientSession, number: int) -> None:
        """One lead. What it draws is drawn here, so that the seed gives the same leads whatever happens."""
        rng = Random(self._rng.random())
        campaign = rng.choice(tuple(CAMPAIGNS))
        name, sub_id = f"{PLANTED}{number:06d}", f"s{number}"
        known = {"state": rng.choice(STATES), "bill": rng.randrange(50, 400)}
        person = {
            "first_name": f"{PLANTED.title()}{number:06d}",
            "phone": f"+1{rng.randrange(201, 989)}555{number % 10_000:04d}",
            "email": f"{name}@example.com",
        }
        self.phones.append(person["phone"])
        way, think_s = rng.random(), rng.uniform(0, 1.0)
        if way < 0.2:
            body = {"campaign": campaign, "lead": {**known, **person}, "sub_id": sub_id}
            attempt = self._attempt(Attempt(name, "direct", campaign), body)
            await self._until_answered(session, attempt, twice=way < 0.03)
        else:
            ping_id = await self._ping(session, {"campaign": campaign, "lead": known, "sub_id": sub_id})
            if ping_id is None or way < 0.25:  # nobody bid, or the person went away
                return
            await self._pause(HOLD_S * rng.uniform(0.8, 1.4) if way < 0.29 else think_s)
            body = {"ping_id": ping_id, "lead": person}
            attempt = self._attempt(Attempt(name, "post", campaign, ping_id), body)
            await self._until_answered(session, attempt, twice=way < 0.4)
        if way > 0.8 and not self._closing.is_set():
            await asyncio.sleep(think_s)
            await self._send(session, attempt)

    async def _ping(self, session: aiohttp.ClientSession, body: dict[str, Any]) -> str | None:
        """The id of an offer. A ping that failed is tried twice more."""
        for _ in range(3):
            said = await self._request(session, "/ping", msgspec.json.encode(body), {})
            if said.status == 200:
                self.counts[f"pings: {said.body['status']}"] += 1
                return str(said.body["ping_id"]) if said.body["status"] == "offer" else None
            self.counts[f"pings: {_why(said)}"] += 1
            await asyncio.sleep(FIRST_PAUSE_S)
        return None

    async def _until_answered(self, session: aiohttp.ClientSession, attempt: Attempt, *, twice: bool) -> None:
        """Sent until it is answered, or the run ends. `twice`: the first time it is sent twice at once."""
        pause_s = FIRST_PAUSE_S
        for number in range(TRIES):
            sends = [self._send(session, attempt) for _ in range(2 if twice and not number else 1)]
            said = await asyncio.gather(*sends)
            if not all(one.undecided for one in said) or self._closing.is_set():
                return
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _pause(self, for_s: float) -> None:
        """So long, or until the run closes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await self._closing.wait()

    def _attempt(self, attempt: Attempt, body: dict[str, Any]) -> Attempt:
        self._bodies[attempt.name] = msgspec.json.encode(body)
        self.attempts.append(attempt)
        return attempt

    async def _send(self, session: aiohttp.ClientSession, attempt: Attempt) -> Said:
        headers = (
            {"idempotency-key": f"key-{attempt.name[len(PLANTED) :]}"} if attempt.kind == "direct" else {}
        )
        said = await self._request(session, f"/{attempt.kind}", self._bodies[attempt.name], headers)
        attempt.said.append(said)
        self.counts[f"{attempt.kind}s: {_why(said)}"] += 1
        return said

    async def _request(
        self, session: aiohttp.ClientSession, path: str, body: bytes, headers: dict[str, str]
    ) -> Said:
        sent_ms = _now_ms()
        try:
            async with session.post(self._url + path, data=body, headers=headers) as response:
                answer = await response.read()
                return Said(
                    sent_ms, _now_ms(), response.status, msgspec.json.decode(answer, type=dict[str, Any])
                )
        except (aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
            name = "given up" if isinstance(error, TimeoutError) else type(error).__name__
            return Said(sent_ms, _now_ms(), None, error=name)


def _is_lead(attempt: Attempt) -> bool:
    """A direct lead that nobody bid on may find a bidder the next time: it is another question then."""
    return bool(attempt.answers) or not any(said.status == 200 for said in attempt.said)


def _why(said: Said) -> str:
    if said.status is None:
        return str(said.error)
    return f"{said.status} {said.body.get('status') if said.status == 200 else said.body.get('code')}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
