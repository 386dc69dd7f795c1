"""Who bought what, told to the counters again by the ledger: after they were lost, and where a rule on duplicates is
new, or reaches further back than before.

Pings are looked up there (`ping/inbound.py`). Whoever sells a lead says so at once; this is for what was sold
before. The counters themselves say what they were told, and how far back (`RECALLED`), and lose that with the rest: of
all workers one notices, and tells them all there is. It takes its time, since nothing hangs on it: at the post the
ledger has the word, and until then a duplicate is merely auctioned.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial

from auction import log
from auction.clock import Clock
from auction.counters.counters import Counters
from auction.counters.link import Link
from auction.counters.naming import RECALLED, RECALLING
from auction.errors import HouseError
from auction.ledger.duplicates import bought_since
from auction.ledger.reader import Reader
from auction.market.campaigns import CampaignMarket
from auction.market.market import Market
from auction.reconcile.own_link import own_link

TICK_S = 2.0
PAGE = 500
MARK_MS = 30_000
"""Who has not told a page for so long is dead, and another may begin."""


class Recalling:
    """One worker's. Counts the sales that it `recalled`."""

    def __init__(self, redis_url: str, reader: Reader, clock: Clock, market: Callable[[], Market]) -> None:
        self.recalled = 0
        self._redis_url = redis_url
        self._reader = reader
        self._clock = clock
        self._market = market
        self._task: asyncio.Task[None] | None = None

    def start(self, link: Link) -> None:
        """Look now and then, over `link`, from now on."""
        self._task = asyncio.create_task(self._keep(link), name="recalling")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self, link: Link) -> None:
        """Tells the counters what they were not told yet, if nobody else is at it. Raises `HouseError`."""
        rules = {
            f"{campaign.id}:{sameness.name}": (campaign, sameness.keep_ms)
            for campaign in self._market().campaigns.values()
            if campaign.duplicates is not None
            for sameness in campaign.duplicates.samenesses
            if sameness.at_ping
        }
        if not rules:
            return
        told = await link.call("HMGET", RECALLED, *rules)
        reaches_ms = {name: int(told_ms or 0) for name, told_ms in zip(rules, told, strict=True)}
        for name, (_, keep_ms) in rules.items():
            if reaches_ms[name] > keep_ms:  # what is sold from now on is forgotten sooner
                await link.call("HSET", RECALLED, name, keep_ms)
        missing = [name for name, (_, keep_ms) in rules.items() if reaches_ms[name] < keep_ms]
        mark = secrets.token_hex(8).encode()
        if not missing or not await link.call("SET", RECALLING, mark, "NX", "PX", MARK_MS):
            return
        async with own_link(self._redis_url) as own:
            for campaign in {rules[name][0].id: rules[name][0] for name in missing}.values():
                await self._recall(own, campaign)
            if await own.call("GET", RECALLING) != mark:  # a rebuild took it: what was told may be lost again
                return
            for name in missing:
                await own.call("HSET", RECALLED, name, rules[name][1])
            await own.call("DEL", RECALLING)

    async def _recall(self, link: Link, campaign: CampaignMarket) -> None:
        assert campaign.duplicates is not None
        counters, now_ms, before = Counters(link), self._clock.now_ms(), self.recalled
        keep_ms = max(sameness.keep_ms for sameness in campaign.duplicates.samenesses)
        after: bytes | None = b""
        while after is not None:
            page = partial(
                bought_since, campaign=campaign.id, since_ms=now_ms - keep_ms, after=after, most=PAGE
            )
            rows, after = await self._reader.read(page)
            calls = [
                counters.bought(
                    campaign.id,
                    (row.print_of,),
                    (row.order_id,),
                    row.at_ms,
                    max(1, row.at_ms + keep_ms - now_ms),
                )
                for row in rows
            ]
            for call in calls:
                await call
            self.recalled += len(rows)
            await link.call("PEXPIRE", RECALLING, MARK_MS)
        log.event("duplicates_recalled", campaign=campaign.id, sales=self.recalled - before)

    async def _keep(self, link: Link) -> None:
        while True:
            try:
                if link.up:
                    await self.look(link)
            except HouseError as error:
                log.warning("duplicates_not_recalled", code=error.code)
            except Exception:
                log.bug("duplicates_not_recalled")
            await asyncio.sleep(TICK_S)
