"""One life, once: the seller's requests and the operator's steps, with what befalls worker A on the way.

A seller does what sellers do: it sends the same again until it has an answer, first at once and then when some time
has passed. What it heard, and what was said to it after it had hung up, is kept for the verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
from sqlalchemy import text

from auction.errors import HouseError
from auction.ledger.takeover import unknown_offers
from auction.post.settling import Said as SettledAs
from auction.post.settling import SettlementRefused
from tests.faults.history import Attempt, Received, Said
from tests.house import KEY
from tests.instants.market import ADMIN_KEY, key_of
from tests.instants.seams import Fault, Instant
from tests.instants.stage import Stage
from tests.instants.worker import Worker, act

PATIENCE_MS = 16_000
"""How long a seller waits at last before it sends again: claims and keys of who died have lapsed by then."""
TRIES = 8
LET_GO_MS = 61_000
MICROS = 1_000_000
DONE = frozenset({"sold", "rejected", "pending", "waiting", "delivered", "converted", "returned"})

Step = Callable[[Worker], Awaitable[Any]]


class Run:
    """What a life (`lives`) has to speak with."""

    def __init__(self, stage: Stage, life: Any, fault: Fault | None) -> None:
        self.stage = stage
        self.life = life
        self.fault = fault
        self.name = f"r{stage.runs:06d}"
        self.attempts: list[Attempt] = []
        self.settled: dict[tuple[str, str], str] = {}
        self.unknown: frozenset[tuple[str, str]] = frozenset()
        self.trace: list[Instant] = []
        self.struck = False
        self.contested = False
        """Whether two workers are at it at once: then it may end in any way that it may end at all."""
        self.notes: list[str] = []
        """What went wrong in a way of its own: sentences for the verdict."""
        self._bodies: dict[str, tuple[str, object, dict[str, str]]] = {}
        self.overheard: list[Attempt] = []
        """What was answered to sellers who had hung up, where a key may hold another answer by then."""
        self._late: list[tuple[asyncio.Task[Any], list[Any], Attempt | None, int]] = []
        self._taken_over = False
        self.began_ms = stage.clock.now_ms()

    # -- what a life does ----------------------------------------------------------------------------

    async def ping(self, **more: Any) -> str:
        """An offer's ping id."""
        lead = {"state": "TX", "bill": self.stage.runs}
        body = {"campaign": self.life.name, "lead": lead, "sub_id": self.name, **more}
        said = await self._until_decided("/ping", body, {})
        assert said.body.get("status") == "offer", f"no offer: {said.status} {said.body}"
        return str(said.body["ping_id"])

    async def post(self, ping_id: str) -> Said:
        """The lead of this ping, until it is answered."""
        return await self.until_answered(self.a_post(ping_id))

    async def direct(self) -> Said:
        """Ping and post in one, under a key, until it is answered."""
        return await self.until_answered(self.a_direct())

    def a_post(self, ping_id: str) -> Attempt:
        """The lead of this ping, to be sent."""
        attempt = Attempt(self._person_name(), "post", self.life.name, ping_id)
        return self._new(attempt, "/post", {"ping_id": ping_id, "lead": self._person(attempt.name)}, {})

    def a_direct(self) -> Attempt:
        """A whole lead, to be sent under a key."""
        attempt = Attempt(self._person_name(), "direct", self.life.name)
        lead = {"state": "TX", "bill": self.stage.runs, **self._person(attempt.name)}
        body = {"campaign": self.life.name, "lead": lead, "sub_id": self.name}
        return self._new(attempt, "/direct", body, {"idempotency-key": f"key-{attempt.name}"})

    async def until_answered(self, attempt: Attempt) -> Said:
        """Sent until it is answered."""
        path, body, headers = self._bodies[attempt.name]
        return await self._until_decided(path, body, headers, attempt)

    async def send_once(self, worker: Worker, attempt: Attempt) -> None:
        """Sent once, to this worker."""
        path, body, headers = self._bodies[attempt.name]
        said, _ = await self._send(worker, "POST", path, body, headers, attempt)
        attempt.said.append(said)

    async def whole_lead(self, named: dict[str, Any]) -> Said:
        """A lead at a door that keeps it where nobody bids."""
        attempt = Attempt(self._person_name(), "direct", self.life.name)
        body = {**named, **self._person(attempt.name)}
        body["firstName"] = body.pop("first_name")
        self._new(attempt, "/api/leads", body, {"idempotency-key": f"key-{attempt.name}"})
        return await self.until_answered(attempt)

    async def states(self) -> list[str]:
        """Of this life's leads."""
        asked = text("SELECT state FROM leads WHERE created_at_ms >= :began_ms ORDER BY lead_id")
        read = self.stage.b.exchange.reader.read
        return await read(lambda conn: list(conn.execute(asked, {"began_ms": self.began_ms}).scalars()))

    async def untold(self) -> int:
        """Events of this life that no endpoint has heard yet."""
        asked = text(
            "SELECT (SELECT COUNT(*) FROM outbox WHERE addressed_at_ms IS NULL) +"
            " (SELECT COUNT(*) FROM postbacks WHERE state IN ('behind', 'waiting'))"
        )
        return int(await self.stage.b.exchange.reader.read(lambda conn: conn.execute(asked).scalar_one()))

    async def tell(self, buyer: str, by: Worker | None = None, **told: Any) -> Said:
        """A buyer tells something of the lead, until it is heard; or tells it this worker, once."""
        if by is not None:
            said, _ = await self._send(by, "POST", "/postback", told, {"x-api-key": key_of(buyer)}, None)
            return said
        return await self._until_decided("/postback", told, {"x-api-key": key_of(buyer)})

    async def admin(self, method: str, path: str, body: object, key: str, by: Worker | None = None) -> Said:
        """An operator changes something, under a key, until it is answered; or asks this worker, once."""
        known = {"x-api-key": ADMIN_KEY, "idempotency-key": key}
        if by is not None:
            said, _ = await self._send(by, method, "/admin" + path, body, known, None)
            return said
        return await self._until_decided("/admin" + path, body, known, method=method)

    async def from_here(self) -> None:
        """What was before belongs to the life, but nothing befalls A in it."""
        self.stage.a.seams.begin(self.fault)

    async def step(self, step: Step, pause_ms: int = 0) -> None:
        """Something that a worker does by itself: by A, and where A stops or fails (`HouseError`), by B, until it is
        done; with so long a pause before another try."""
        for nth in range(TRIES):
            worker = self._turn(nth)
            task = act(step(worker))
            if await self._ends(worker, task):
                with suppress(HouseError):
                    task.result()
                    return
            else:
                self._late.append((task, [], None, 0))
            await self._wait_for(nth)
            await self.stage.move(pause_ms)
        raise AssertionError("a step that no worker could do")

    def late_tasks(self) -> list[asyncio.Task[Any]]:
        """What was asked of a worker that died over it: nobody listens for it any more."""
        mine = [task for task, *_ in self._late]
        self._late.clear()
        return mine

    def lead_id(self) -> str:
        """The lead that the seller was told of."""
        return next(str(one.answers[-1].lead_id) for one in self.attempts if one.answers)

    # -- the end -------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """From here on A's effects are counted."""
        self.stage.a.seams.begin(self.fault if self.life.from_the_start else None)
        self.stage.b.seams.begin(None)

    async def finish(self) -> None:
        """Whoever slept wakes up, what is unknown is settled by what the buyers say, and all are asked once more."""
        stage, a = self.stage, self.stage.a
        await stage.good_again()
        await a.seams.quiet()  # what nobody waits for may be under way still
        self.struck = a.seams.struck
        a.seams.disarm()
        if a.seams.stopped.is_set() and not self._taken_over:
            await self._take_over()
        if a.seams.frozen and not (self.fault is not None and self.fault.manner.oversleeps):
            await self._wake()
        await self._until_nothing_is_open()
        await self._settle()
        if a.seams.frozen:
            await self._wake()
            await self._until_nothing_is_open()
            await self._settle()
        self.trace = list(a.seams.trace)
        await stage.move(PATIENCE_MS)
        for worker in stage.living:
            for attempt in self.attempts:
                await self._once_more(worker, attempt)
        if a.seams.dead:
            await stage.bury(a, [task for task, *_ in self._late])
        await stage.move(600_000)
        await stage.compare()
        if self.life.check is not None:
            self.notes += await self.life.check(self)

    def received(self) -> list[Received]:
        """What the buyers wrote down of posts."""
        found = []
        for entry in self.stage.mock.stage.log._entries:
            if entry.kind != "post":
                continue
            body, decision = msgspec.json.decode(entry.body), entry.play.decision
            found.append(
                Received(
                    at_ms=self.stage.clock.now_ms(),
                    buyer=entry.buyer,
                    order=body["order"],
                    campaign=body["campaign"],
                    lead_id=body["lead_id"],
                    key=None if entry.key is None else entry.key.decode(),
                    price_micros=round(body["price"] * MICROS),
                    name=body["lead"]["email"].partition("@")[0],
                    answered="nothing" if decision is None else decision.outcome,
                )
            )
        return found

    async def _wake(self) -> None:
        """A goes on; when it can do no more by itself, it beats, and finds out."""
        a = self.stage.a
        a.seams.wake()
        await a.seams.quiet()
        await a.beat()
        await self._let_end()
        await self.stage.good_again()

    async def _let_end(self) -> None:
        """What A had begun comes to its end, and what it says then is heard though nobody waits for it."""
        for task, sent, attempt, sent_ms in self._late:
            done, _ = await asyncio.wait({task}, timeout=20)
            if not done:
                self.notes.append("a request that A had begun before it slept never ended")
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                continue
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, HouseError):
                self.notes.append(f"what A had begun broke: {error!r}")
            if attempt is not None and len(sent) == 2:
                said = self._said(sent, sent_ms)
                if "idempotency-key" in self._bodies[attempt.name][2]:
                    self.overheard.append(msgspec.structs.replace(attempt, said=[said]))
                else:
                    attempt.said.append(said)
        self._late.clear()

    async def _until_nothing_is_open(self) -> None:
        """A lead that somebody lost sight of is found again after a while."""
        stage = self.stage
        for _ in range(4):
            for worker in stage.living:
                await worker.look()
            if not await stage.open_leads():
                break
            await stage.move(LET_GO_MS)
            for worker in stage.living:
                worker.exchange.watching._looks = 0
        for worker in stage.living:
            if owed := await worker.idle():
                self.notes.append(f"{worker.name} owes {owed} steps, and comes to no end with them")

    async def _settle(self) -> None:
        """Offers that are unknown are settled by what their buyers wrote down."""
        b = self.stage.b
        taken = {(one.lead_id, one.order) for one in self.received() if one.accepted}
        unknown = await b.exchange.reader.read(lambda conn: unknown_offers(conn, 100))
        mine = {(one.lead_id, one.order_id) for one in unknown if one.campaign == self.life.name}
        self.unknown |= mine
        for lead_id, order_id in sorted(mine):
            said = SettledAs(accepted=(lead_id, order_id) in taken, by="operator", order_id=order_id)
            try:
                await b.exchange.settling.settle(lead_id, said)
                self.settled[lead_id, order_id] = "accepted" if said.accepted else "rejected"
            except SettlementRefused as refused:
                self.notes.append(f"{order_id} of lead {lead_id} cannot be settled: {refused.detail}")

    async def _once_more(self, worker: Worker, attempt: Attempt) -> None:
        path, body, headers = self._bodies[attempt.name]
        said, _ = await self._send(worker, "POST", path, body, headers, attempt)
        attempt.said.append(said)
        if said.undecided:
            self.notes.append(f"{attempt.name}, asked once more at {worker.name}: {said.status} {said.body}")

    # -- one request ---------------------------------------------------------------------------------

    def _new(self, attempt: Attempt, path: str, body: object, headers: dict[str, str]) -> Attempt:
        self.attempts.append(attempt)
        self._bodies[attempt.name] = (path, body, headers)
        return attempt

    async def _until_decided(
        self,
        path: str,
        body: object,
        headers: dict[str, str],
        attempt: Attempt | None = None,
        method: str = "POST",
    ) -> Said:
        for nth in range(TRIES):
            worker = self._turn(nth)
            said, stopped = await self._send(worker, method, path, body, headers, attempt)
            if attempt is not None:
                attempt.said.append(said)
            if not said.undecided and said.status:
                return said
            if stopped and attempt is not None:  # most sellers try again at once
                hasty, _ = await self._send(self.stage.b, method, path, body, headers, attempt)
                attempt.said.append(hasty)
                if not hasty.undecided:
                    return hasty
            await self._wait_for(nth)
        raise AssertionError(f"{path} has no answer after {TRIES} tries: {said.status} {said.body}")

    async def _send(
        self,
        worker: Worker,
        method: str,
        path: str,
        body: object,
        headers: dict[str, str],
        attempt: Attempt | None,
    ) -> tuple[Said, bool]:
        """What was heard; and whether the worker stopped over it."""
        sent_ms, sent = self.stage.clock.now_ms(), list[Any]()
        task = act(worker.ask(method, path, body, {"x-api-key": KEY} | headers, sent))
        if await self._ends(worker, task):
            task.result()
            return self._said(sent, sent_ms), False
        self._late.append((task, sent if len(sent) < 2 else [], attempt, sent_ms))
        return self._said(sent, sent_ms), True

    async def _ends(self, worker: Worker, task: asyncio.Task[Any]) -> bool:
        """Whether it came to its end before the worker stopped."""
        stopped = asyncio.create_task(worker.seams.stopped.wait())
        try:
            async with asyncio.timeout(30):
                await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        return task.done()

    def _said(self, sent: list[Any], sent_ms: int) -> Said:
        now_ms = self.stage.clock.now_ms()
        if len(sent) < 2:
            return Said(sent_ms, now_ms, None, error="no answer")
        data = sent[1]["body"]
        body = msgspec.json.decode(data) if data else {}
        if "price" in body:  # as one of the doors has it
            body |= {"payout": body["price"], "buyers": body["buyer_ids"]}
        return Said(sent_ms, now_ms, sent[0]["status"], body)

    def _turn(self, nth: int) -> Worker:
        """A, as long as it answers; where it failed, B has the next turn."""
        a, b = self.stage.a, self.stage.b
        return b if a.seams.stopped.is_set() or nth % 2 else a

    async def _wait_for(self, nth: int) -> None:
        """Time passes until the next try, and with it what the workers do by themselves."""
        if self.stage.a.seams.stopped.is_set() and not self._taken_over:
            await self._take_over()
        else:
            await self.stage.move(PATIENCE_MS if nth else 1_000)
            await self.stage.let_marks_lapse()
            for worker in self.stage.living:
                await worker.look()

    async def _take_over(self) -> None:
        self._taken_over = True
        await self.stage.take_over(self.stage.a)
        await self.stage.move(PATIENCE_MS)

    def _person_name(self) -> str:
        return f"{self.name}-{len(self.attempts)}"

    def _person(self, name: str) -> dict[str, str]:
        number = self.stage.runs * 4 + len(self.attempts)
        phone = f"512-{200 + number // 10_000 % 700}-{number % 10_000:04d}"
        return {"first_name": "Ann", "phone": phone, "email": f"{name}@example.com"}
