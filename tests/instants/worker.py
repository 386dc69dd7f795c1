"""One worker in this process: a whole `Exchange` behind its doors, whose every effect goes through seams.

Its own loops stand still: beats, looks at the others, waiting leads, the outbox. The test does one of each when it is
to be done, so that nothing happens by chance or by the machine's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from auction.api.app import App
from auction.buyers.origin import Origin
from auction.clock import MovedClock
from auction.counters.faults import CountersUnavailable
from auction.counters.link import Link
from auction.errors import BuyerError, HouseError
from auction.exchange import Exchange
from auction.ledger.faults import away
from auction.market.reasons import Reason
from auction.postbacks.calling import Answer
from auction.settings import Settings
from tests.instants.seams import Seams, counted

T = TypeVar("T")
Message = MutableMapping[str, Any]

LEASE_MS = 1_000
LOOPS = frozenset(
    {"beats", "watching", "waiting leads", "postbacks", "retention", "recalling", "rebuilding", "swapping"}
)
SETTINGS: dict[str, Any] = {
    "allow_private_buyers": True,
    "counters_timeout_ms": 10_000,
    "worker_lease_ms": LEASE_MS,
    "post_wait_ms": 1,
    "reconcile_every_s": 86_400,
}
_rebuilds: ContextVar[Seams | None] = ContextVar("rebuilds", default=None)
_to: ContextVar[str] = ContextVar("to", default="nobody")


class Clock(MovedClock):
    """The house's clock, and the one that leases go by: both stand still until they are moved."""

    def elapsed_s(self) -> float:
        """Seconds by a clock that nobody sets."""
        return self.now_ms() / 1000


class Worker:
    """Open it with `open_worker`. `gone` is shared by all workers of a house: those whose process has ended."""

    def __init__(self, name: str, exchange: Exchange, clock: Clock, gone: set[str]) -> None:
        self.name = name
        self.exchange = exchange
        self.seams = Seams()
        self.app = App(exchange)
        self._clock = clock
        self._gone = gone
        exchange.lease.elapsed = clock.elapsed_s
        exchange.lease.renew(clock.elapsed_s())
        for part, attribute in ((exchange.waiting, "_me"), (exchange.postbacks, "_worker")):
            setattr(part, attribute, f"{name} {exchange.lease.worker}")  # all have one process
        _fit(exchange, self.seams)
        setattr(exchange.watching, "_has_ended", lambda other: other.id in gone)  # noqa: B010  (all have one process)

    async def ask(
        self, method: str, path: str, body: object, headers: dict[str, str], sent: list[Message]
    ) -> None:
        """One request at this worker's door: what is answered is put into `sent`, as ASGI has it."""
        data = b"" if body is None else msgspec.json.encode(body)
        coming: list[Message] = [{"type": "http.request", "body": data, "more_body": False}]
        path, _, query = path.partition("?")
        known = {"content-type": "application/json", "content-length": str(len(data)), **headers}
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in known.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

        async def receive() -> Message:
            return coming.pop(0) if coming else {"type": "http.disconnect"}

        async def keep(message: Message) -> None:
            sent.append(message)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await keep(message)
                return
            with suppress(ConnectionError):  # what is sent to somebody who is gone is dropped
                await self.seams.through(
                    "seller: answer", partial(keep, message), partial(ConnectionError, "the seller is gone")
                )

        await self.app(scope, receive, send)

    async def rebuild(self) -> None:
        """Makes the counters good, if they are not."""
        token = _rebuilds.set(self.seams)
        try:
            await self.exchange.rebuilding.make_good()
        finally:
            _rebuilds.reset(token)

    async def beat(self) -> None:
        """It lives, and says so; or finds out that it was held for dead."""
        await self.exchange.watching._beat()

    async def look(self) -> None:
        """One look at the others; what it took up is finished when this returns."""
        await self.exchange.watching.look()
        async with asyncio.timeout(20):
            while self.exchange.recovery.running:  # noqa: ASYNC110
                await asyncio.sleep(0.0005)

    async def idle(self) -> int:
        """Waits until it owes nothing any more; steps that it owes still."""
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                while self.exchange.posts.steps_owed:  # noqa: ASYNC110
                    await asyncio.sleep(0.0005)
        return self.exchange.posts.steps_owed

    def begin(self) -> None:
        """No connection is kept from an earlier life."""
        for origin in self.exchange.delivery._origins.values():
            origin.close()

    async def shut_out(self) -> None:
        """It has found that the counters are not to be trusted."""
        async with asyncio.timeout(10):
            while self.exchange.link.up:
                self.exchange.link.look_again()
                await asyncio.sleep(0.001)

    def ended(self) -> None:
        """Its process is gone: the others of this machine see that."""
        self._gone.add(self.exchange.lease.worker)

    async def close(self, tasks: Sequence[asyncio.Task[Any]] = ()) -> None:
        """Take it apart. Of a dead one nothing is done any more."""
        if self.seams.dead or self.seams.frozen:
            self.seams.bury()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for _ in range(5):
                await asyncio.sleep(0)
            self.seams.close()
        await self.exchange.close()


async def open_worker(
    name: str, folder: Path, redis_url: str, ledger_url: str, clock: Clock, gone: set[str]
) -> Worker:
    """A worker that has joined, and whose own loops stand still."""
    exchange = Exchange(Settings(data_dir=folder, database_url=ledger_url, **SETTINGS), clock)
    await exchange.open(redis_url)
    for task in asyncio.all_tasks():
        if task.get_name() in LOOPS and not task.done():
            task.cancel()
    await asyncio.sleep(0)
    return Worker(name, exchange, clock, gone)


def _fit(exchange: Exchange, seams: Seams) -> None:
    """Puts the seams between the worker and its stores and buyers."""
    fit_link(exchange.link, seams)
    write, read = exchange.writer.write, exchange.reader.read

    def written(op: Callable[[Any], T]) -> asyncio.Task[T]:
        return _task(seams.through(f"ledger: {_said(op)}", lambda: write(op), away))

    async def asked(question: Callable[[Any], T]) -> T:
        return await seams.through(f"ledger: read {_said(question)}", lambda: read(question), away)

    setattr(exchange.writer, "write", written)  # noqa: B010
    setattr(exchange.reader, "read", asked)  # noqa: B010
    _fit_delivery(exchange, seams)
    _fit_changes(exchange, seams)
    ask_tier, call = exchange.pings._asking.ask_tier, exchange.postbacks._caller.call

    async def ask(floor: Any, campaign: Any, *rest: Any) -> None:
        if not any(order.live for order in campaign.orders):
            await ask_tier(floor, campaign, *rest)
            return
        await seams.through("buyers: asked", lambda: ask_tier(floor, campaign, *rest), away)

    async def told(url: str, *rest: Any, **more: Any) -> Any:
        try:
            return await seams.through("seller: told", lambda: call(url, *rest, **more), away)
        except HouseError:
            return Answer(0, "connection_lost")

    setattr(exchange.pings._asking, "ask_tier", ask)  # noqa: B010
    setattr(exchange.postbacks._caller, "call", told)  # noqa: B010


def fit_link(link: Link, seams: Seams) -> None:
    """A call is under way when the method returns, as ever; what it does goes through the seams."""
    call, run = link.call, link.run

    def called(*command: Any) -> asyncio.Task[Any]:
        effect = f"counters: {str(command[0]).lower()}"
        return _task(seams.through(effect, lambda: call(*command), _counters_lost))

    def ran(script: Any, reading: Any, *arguments: Any) -> asyncio.Task[Any]:
        tag = str(arguments[1])
        of = f" of {tag[7 : tag.index('}')]}" if tag.startswith("{buyer:") else ""
        effect = f"counters: {script.name}{of}"
        return _task(seams.through(effect, lambda: run(script, reading, *arguments), _counters_lost))

    setattr(link, "call", called)  # noqa: B010
    setattr(link, "run", ran)  # noqa: B010


def seamed(own_link: Any) -> Any:
    """The connections on which a worker rebuilds the counters go through its seams, too."""

    @asynccontextmanager
    async def own(redis_url: str) -> AsyncIterator[Link]:
        async with own_link(redis_url) as link:
            if (seams := _rebuilds.get()) is not None:
                fit_link(link, seams)
            yield link

    return own


def _fit_delivery(exchange: Exchange, seams: Seams) -> None:
    """A buyer is connected to, and then sent the lead; the answer is heard with the second, or not."""
    delivery = exchange.delivery
    post, carry, origin_of = delivery.post, delivery._carry, delivery._origin
    seen: set[int] = set()

    async def posted(request: Any, *rest: Any) -> Any:
        token = _to.set(urlsplit(request.url).path.split("/")[1])
        try:
            return await post(request, *rest)
        finally:
            _to.reset(token)

    def origin(target: Any) -> Origin:
        found = origin_of(target)
        if id(found) not in seen:
            seen.add(id(found))
            opened = found.open
            lost = partial(BuyerError, Reason.CONNECT_FAILED, "lost")

            async def opens(*arguments: Any) -> Any:
                return await seams.through(f"buyer {_to.get()}: connect", lambda: opened(*arguments), lost)

            setattr(found, "open", opens)  # noqa: B010
        return found

    async def carried(sending: Any, at: Any, connection: Any, *, keep: bool) -> None:
        def lost() -> Exception:
            sending.body, sending.status, sending.heard = None, 0, False
            connection.close()
            return BuyerError(Reason.CONNECTION_LOST, "lost")

        try:
            effect = f"buyer {_to.get()}: post"
            await seams.through(effect, lambda: carry(sending, at, connection, keep=keep), lost)
        except BaseException:
            connection.close()  # it may never have come so far as to be carried
            raise

    setattr(delivery, "post", posted)  # noqa: B010
    setattr(delivery, "_origin", origin)  # noqa: B010
    setattr(delivery, "_carry", carried)  # noqa: B010


def _fit_changes(exchange: Exchange, seams: Seams) -> None:
    """Changes of the catalogue are transactions on threads of their own."""
    now, run = exchange.changing.now, exchange.administration.run

    async def changed(*arguments: Any, **more: Any) -> Any:
        return await seams.through("ledger: change catalogue", lambda: now(*arguments, **more), away)

    async def ran(action: str, step: Any) -> Any:
        return await seams.through(f"ledger: {action}", lambda: run(action, step), away)

    setattr(exchange.changing, "now", changed)  # noqa: B010
    setattr(exchange.administration, "run", ran)  # noqa: B010


def _task(doing: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(doing)
    task.add_done_callback(_heard)
    return task


def _heard(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # some calls nobody waits for


def _said(op: Any) -> str:
    """What a write or a read is called: its function's name, in words."""
    while isinstance(op, partial):
        op = op.func
    name: str = getattr(op, "__qualname__", repr(op))
    return name.replace(".<locals>.<lambda>", "").rpartition(".")[2].strip("_").replace("_", " ")


def _counters_lost() -> Exception:
    return CountersUnavailable("the connection to the counters was lost")


def act(doing: Awaitable[T]) -> asyncio.Task[T]:
    """Part of the life that is looked at: what it does is counted."""

    async def acting() -> T:
        counted.set(True)
        return await doing

    return asyncio.create_task(acting())
