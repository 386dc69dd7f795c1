"""Tells sellers what became of their leads: from the ledger's outbox, by one worker of the house.

A look, again and again: events that are new get a row for each endpoint that wants them, and rows whose time has come
are put into their host's lane (`lanes`), where they are sent and what came of it is written down (`waits`). All that
is to be done stands in the ledger, so whoever has the chore next goes on with it, after a `kill -9` too. What was sent
when a worker died may be sent again, with the same id: at least once, and in the order of each lead.

A house in which nothing is to be told looks, and writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from random import random
from time import monotonic

import msgspec
from sqlalchemy import Connection

from auction import log
from auction.clock import Clock
from auction.errors import HouseError
from auction.ledger.catalogue_store import current_version
from auction.ledger.forgetting import leave_chore, take_chore
from auction.ledger.outbox import Event, any_new, mark_addressed, new_events
from auction.ledger.postbacks import (
    Due,
    Tried,
    address,
    any_unfinished,
    count_unfinished,
    due_endpoints,
    due_postbacks,
    give_up_overdue,
    record_try,
)
from auction.ledger.reader import Reader
from auction.ledger.sealing import Sealer
from auction.ledger.writer import Writer
from auction.market.market import Market
from auction.market.personal import names_somebody, repeats
from auction.postbacks.calling import Answer, Caller
from auction.postbacks.endpoints import Endpoint, Endpoints
from auction.postbacks.lanes import LaneLimits, Lanes
from auction.postbacks.payload import body_of, macro_values
from auction.postbacks.waits import judge
from auction.tally import counts

CHORE = "postbacks"
LEASE_MS, RENEW_BELOW_MS = 20_000, 15_000
TIMEOUT_S = 10.0
"""How long one try may take. None begins that could outlast the lease."""
LOOK_EVERY_S, LEAST_PAUSE_S, ASK_EVERY_S = 0.5, 0.02, 2.0
"""Between looks; between looks when a lane ran dry; between asking for the chore that another has."""
CLOSE_WITHIN_S = 2.0
EVENTS_A_BATCH, MOST_BATCHES, HOSTS_A_LOOK = 100, 20, 64
STALE_MS = 60_000
"""How long an event waits for a market as new as the catalogue: then it is told by the one that we have."""
DAY_MS = 86_400_000
OVERDUE_MS = 4 * DAY_MS
"""To an endpoint that fails, what waits for its turn since so long is given up with it: no queue grows for ever."""
COUNT_EVERY_S = 5.0
MOST_EXCERPT = 200
REMOVED, OVERDUE, NO_SECRET, BUG = "endpoint_removed", "overdue", "no_secret", "internal_error"


class Postbacks:
    """Sends postbacks while this worker has the chore. Counts those `delivered`, tries that `failed` (by why), those
    `given_up`, and looks that failed (`troubles`); knows how many are `waiting`, and the age of the oldest."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        sealer: Sealer,
        market: Callable[[], Market],
        clock: Clock,
        worker: str,
        environ: Mapping[str, str],
        *,
        allow_private: bool = False,
        limits: LaneLimits | None = None,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._sealer = sealer
        self._market = market
        self._clock = clock
        self._worker = worker
        self._environ = environ
        self._caller = Caller(allow_private=allow_private)
        self._nudged = asyncio.Event()
        self._lanes = Lanes(self._send, self._nudged.set, clock, limits or LaneLimits())
        self._endpoints = Endpoints(-1, market().catalogue, environ)
        self._task: asyncio.Task[None] | None = None
        self._leads_until_s = 0.0
        self._ask_at_s = 0.0
        self._count_at_s = 0.0
        self.delivered = self.given_up = self.troubles = 0
        self.failed = counts()  # (why,)
        self.waiting = 0
        self.oldest_s = 0.0

    @property
    def running(self) -> int:
        """Calls to endpoints at this moment."""
        return self._lanes.running

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._look_always(), name="postbacks")

    async def close(self) -> None:
        """Stop; what is left is sent by the next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._lanes.close(CLOSE_WITHIN_S)
        if self._leads():
            self._leads_until_s = 0.0
            with contextlib.suppress(HouseError, TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    await self._writer.write(partial(leave_chore, name=CHORE, holder=self._worker))

    async def look(self) -> None:
        """One look: what is new is addressed, what is due put on its way. Raises `HouseError`."""
        new, unfinished = await self._reader.read(_what_is_there)
        if not (new or unfinished):
            self.waiting, self.oldest_s = 0, 0.0
            return
        if not await self._take_the_lead():
            return
        self._follow_market()
        for _ in range(MOST_BATCHES if new else 0):
            if not await self._address_new():
                break
        await self._put_due()
        await self._count()

    async def _take_the_lead(self) -> bool:
        now_s = monotonic()
        if self._leads_until_s - now_s > RENEW_BELOW_MS / 1_000:
            return True
        if not self._leads() and now_s < self._ask_at_s:
            return False
        self._ask_at_s = now_s + ASK_EVERY_S
        ask = partial(
            take_chore, name=CHORE, holder=self._worker, now_ms=self._clock.now_ms(), for_ms=LEASE_MS
        )
        if await self._writer.write(ask):
            self._leads_until_s = now_s + LEASE_MS / 1_000
            return True
        self._leads_until_s = 0.0
        self._lanes.forget_queued()
        self.waiting, self.oldest_s = 0, 0.0  # told by the worker that sends
        return False

    def _leads(self) -> bool:
        return monotonic() < self._leads_until_s

    def _follow_market(self) -> None:
        market = self._market()
        if market.version == self._endpoints.version:
            return
        self._endpoints = Endpoints(market.version, market.catalogue, self._environ)
        self._lanes.keep_only({endpoint.host for endpoint in self._endpoints.by_id.values()})
        for fault in self._endpoints.faults:
            log.warning("postbacks_wait", detail=fault)

    async def _address_new(self) -> bool:
        """A batch of events gets its postbacks. Whether there may be more."""
        version, events = await self._reader.read(_new_events)
        now_ms = self._clock.now_ms()
        if version > self._endpoints.version:  # it may name endpoints that we do not know yet
            events = [event for event in events if event.at_ms < now_ms - STALE_MS]
        if not events:
            return False
        plan = [(event, self._endpoints.told(event.seller, event.state)) for event in events]
        await self._writer.write(partial(_address, plan=plan, now_ms=now_ms))
        return True

    async def _put_due(self) -> None:
        now_ms, looked = self._clock.now_ms(), 0
        for endpoint_id in await self._reader.read(partial(due_endpoints, now_ms=now_ms)):
            endpoint = self._endpoints.by_id.get(endpoint_id)
            if endpoint is None:
                await self._give_up(endpoint_id, now_ms, REMOVED, now_ms + 1)
                continue
            room = self._lanes.room(endpoint.host)
            if not room:
                continue
            if self._lanes.is_failing(endpoint.host):
                await self._give_up(endpoint_id, now_ms, OVERDUE, now_ms - OVERDUE_MS)
            most = room + self._lanes.queued
            ask = partial(due_postbacks, endpoint=endpoint_id, now_ms=now_ms, most=most)
            self._lanes.about_to_read()
            self._lanes.put(endpoint.host, await self._reader.read(ask), room)
            looked += 1
            if looked == HOSTS_A_LOOK:
                self._nudged.set()
                break

    async def _give_up(self, endpoint_id: str, now_ms: int, error: str, before_ms: int) -> None:
        step = partial(
            give_up_overdue,
            endpoint=endpoint_id,
            before_ms=before_ms,
            error=error,
            now_ms=now_ms,
            most=EVENTS_A_BATCH,
        )
        given_up = await self._writer.write(step)
        if given_up:
            self.given_up += given_up
            log.warning("postbacks_given_up", endpoint=endpoint_id, why=error, postbacks=given_up)

    async def _send(self, due: Due) -> bool:
        """One try, and what came of it written down. Whether the endpoint answered well."""
        endpoint = self._endpoints.by_id.get(due.endpoint)
        if endpoint is None or self._leads_until_s - monotonic() < TIMEOUT_S:
            return True  # the next look says who sends it, and where to
        answer, excerpt = await self._attempt(endpoint, due)
        now_ms = self._clock.now_ms()
        tried = judge(
            due.tries + 1,
            now_ms,
            random(),  # noqa: S311  (no secret hangs on it)
            status=answer.status,
            error=answer.error,
            retry_after=answer.retry_after,
            answer=excerpt,
        )
        self._tally(due, tried)
        await self._until_written(partial(record_try, due=due, tried=tried, at_ms=now_ms))
        return 0 < answer.status < 500  # whatever else it says, it is there, and quick

    async def _attempt(self, endpoint: Endpoint, due: Due) -> tuple[Answer, str | None]:
        """One call. Whatever breaks is a try that failed, so that nothing is tried in a circle."""
        try:
            answer = await self._call(endpoint, due)
            return answer, self._excerpt(due, answer.body)
        except Exception:
            log.bug("postback_failed", event_id=due.event_id)
            return Answer(0, BUG), None

    def _tally(self, due: Due, tried: Tried) -> None:
        if tried.state == "delivered":
            self.delivered += 1
            return
        self.failed[(tried.error or f"http_{tried.status}",)] += 1
        if tried.state == "given_up":
            self.given_up += 1
            log.warning(
                "postback_given_up", event_id=due.event_id, endpoint=due.endpoint, status=tried.status
            )

    async def _call(self, endpoint: Endpoint, due: Due) -> Answer:
        if endpoint.signed and endpoint.signer is None:
            return Answer(0, NO_SECRET)
        currency = self._market().house.currency
        url = endpoint.url.fill(macro_values(due, currency))
        if endpoint.signer is None:
            return await self._caller.call(url, TIMEOUT_S)
        body = body_of(due, currency)
        headers = endpoint.signer.headers(due.event_id, self._clock.now_ms() // 1_000, body)
        return await self._caller.call(url, TIMEOUT_S, body=body, headers=headers)

    async def _until_written(self, step: Callable[[Connection], object]) -> None:
        """A try that is not written down would be made again: it is kept until the ledger takes it."""
        pause_s = 0.1
        while True:
            try:
                await self._writer.write(step)
                return
            except HouseError:
                self.troubles += 1
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 2.0)

    def _excerpt(self, due: Due, body: bytes) -> str | None:
        """The beginning of an answer, for whoever looks why it failed; nothing that names the person of the lead."""
        text = " ".join(body[: 4 * MOST_EXCERPT].decode("utf-8", "replace").split())[:MOST_EXCERPT]
        if not text or not text.isprintable() or not due.sealed or names_somebody(text):
            return None
        try:
            personal = msgspec.json.decode(self._sealer.open(due.sealed, due.lead_id.encode()))
        except HouseError:
            return None
        return None if repeats(text, (due.ping_fields | personal).values()) else text

    async def _count(self) -> None:
        if monotonic() < self._count_at_s:
            return
        self._count_at_s = monotonic() + COUNT_EVERY_S
        self.waiting, since_ms = await self._reader.read(count_unfinished)
        age_ms = 0 if since_ms is None else self._clock.now_ms() - since_ms
        self.oldest_s = max(0, age_ms) / 1_000

    async def _look_always(self) -> None:
        while True:
            began_s = monotonic()
            self._nudged.clear()
            try:
                await self.look()
            except HouseError as error:
                self.troubles += 1
                log.warning("postbacks_look_failed", code=error.code)
            except Exception:
                self.troubles += 1
                log.bug("postbacks_look_failed")
            took_s = monotonic() - began_s
            await asyncio.sleep(max(LEAST_PAUSE_S, took_s))  # long looks are made less often
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._nudged.wait()


def _what_is_there(conn: Connection) -> tuple[bool, bool]:
    return any_new(conn), any_unfinished(conn)


def _new_events(conn: Connection) -> tuple[int, list[Event]]:
    return current_version(conn), new_events(conn, EVENTS_A_BATCH)


def _address(conn: Connection, plan: list[tuple[Event, list[str]]], now_ms: int) -> None:
    for event, endpoints in plan:
        address(conn, event, endpoints, now_ms)
    mark_addressed(conn, [event for event, _ in plan], now_ms)
