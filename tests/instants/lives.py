"""The lives of leads that every instant of is tried: what is traded, what the seller and the buyers do, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import text

from auction.forgetting import words_of
from auction.ledger.faults import away
from auction.ledger.forgetting import forget_leads
from tests.instants.run import Run
from tests.instants.seams import Fault, Instant, Manner
from tests.instants.stage import HOUR_MS
from tests.instants.worker import Worker

TAKES: dict[str, Any] = {}
REFUSES: dict[str, Any] = {"post": {"accept": 0}}
LOST: dict[str, Any] = {"post": {"faults": {"reset": 1}}}
"""Takes the lead, and its answer never comes."""
BROKEN: dict[str, Any] = {"post": {"faults": {"error_500": 1}}}
"""Decides nothing, and nobody can tell."""
MINUTE_MS = 60_000


class Life(msgspec.Struct, frozen=True):
    """`name` is its campaign, too. `manners` are its buyers, as the mock plays them, `buyers` what else the catalogue
    has of them; `ends` are the states that its lead may end in, the first of them if nothing befalls anybody.

    `lose_first` are buyers whose first answer gets lost.
    """

    name: str
    live: Callable[[Run], Awaitable[None]]
    manners: Mapping[str, Mapping[str, Any]]
    orders: Sequence[Mapping[str, Any]]
    ends: tuple[str, ...] = ("sold", "rejected")
    buyers: Mapping[str, Mapping[str, Any]] = {}
    campaign: Mapping[str, Any] = {}
    lose_first: tuple[str, ...] = ()
    from_the_start: bool = True
    """Else the life says itself from where on something may befall A (`Run.from_here`)."""
    check: Callable[[Run], Awaitable[list[str]]] | None = None
    """What else must hold at its end."""


def order(buyer: str, fixed: float = 30, **more: Any) -> dict[str, Any]:
    """An order at a fixed price, named after its buyer."""
    return {"id": f"{buyer}-o", "buyer": buyer, "price": {"fixed": fixed}, **more}


async def pinged_and_posted(run: Run) -> None:
    """The usual way."""
    await run.post(await run.ping())


async def in_one(run: Run) -> None:
    """A whole lead, under a key."""
    await run.direct()


async def posted_and_returned(run: Run) -> None:
    """Sold, and given back later."""
    said = await run.post(await run.ping())
    await run.from_here()
    await run.tell("back-a", lead_id=said.body["lead_id"], status="returned", reason="wrong_number")


async def lost_and_told(run: Run) -> None:
    """The buyer's answer was lost; later it tells it."""
    said = await run.post(await run.ping())
    await run.from_here()
    buyer = run.life.orders[0]["buyer"]
    status = "accepted" if run.received()[0].accepted else "rejected"
    await run.tell(buyer, lead_id=said.body["lead_id"], status=status)


async def forgotten(run: Run) -> None:
    """The person asks to be forgotten; the money stays right."""
    lead_id = (await run.post(await run.ping())).body["lead_id"]
    await run.from_here()

    async def forget(worker: Worker) -> None:
        exchange = worker.exchange
        words = words_of(exchange._sealer)
        at_ms = exchange.clock.now_ms()
        await exchange.writer.write(
            partial(forget_leads, lead_ids=[lead_id], words=words, at_ms=at_ms, duplicates_too=True)
        )

    await run.step(forget)


async def waited(run: Run) -> None:
    """The one cap is full, so the second lead waits; in the next hour there is room."""
    await run.direct()
    category = {"category": "waits", "seller": "ACME1234"}
    lead = {"state": "TX", "bill": str(run.stage.runs)}
    said = await run.whole_lead(category | lead)
    assert said.body.get("status") == "pending", f"it does not wait: {said.status} {said.body}"
    await run.stage.move(HOUR_MS)
    await run.from_here()

    async def look(worker: Worker) -> None:
        await worker.exchange.waiting.look()
        await worker.idle()
        if "waiting" in await run.states():
            raise away()

    await run.step(look, pause_ms=2 * MINUTE_MS)


async def left(run: Run) -> None:
    """A third worker died over a lead. What befalls A now befalls it while it finishes that lead."""
    attempt = run.a_post(await run.ping())
    await run.stage.die_over(
        Fault(Manner.DIES_AFTER, Instant(f"buyer {run.life.name}-a: post")), run, attempt
    )
    await run.from_here()

    async def look(worker: Worker) -> None:
        # at each tenth look it counts, too, and looks for what it let go of itself: only where that is needed
        worker.exchange.watching._looks = 0 if run.stage.a.seams.struck else 1
        await worker.look()
        if await run.stage.open_leads():
            raise away()

    await run.step(look, pause_ms=MINUTE_MS)
    await run.until_answered(attempt)


async def told(run: Run) -> None:
    """Sold and then given back: the seller's endpoint hears of both."""
    lead_id = (await run.post(await run.ping())).body["lead_id"]
    await run.tell("told-a", lead_id=lead_id, status="returned", reason="wrong_number")
    await run.from_here()

    async def tell(worker: Worker) -> None:
        postbacks = worker.exchange.postbacks
        for _ in range(4):  # of one lead the next event is put on its way when the one before is heard
            postbacks._ask_at_s = 0
            await postbacks.look()
            while postbacks.running or postbacks._lanes.queued:  # noqa: ASYNC110
                await asyncio.sleep(0.0005)
        if await run.untold():
            raise away()

    await run.step(tell, pause_ms=7 * MINUTE_MS)


async def heard_in_order(run: Run) -> list[str]:
    """Each event at least once, the first time in its order."""
    heard = list(dict.fromkeys(one["s"] for one in run.stage.told if one["l"] == run.lead_id()))
    return [] if heard == ["sold", "returned"] else [f"the seller heard {heard}"]


async def pinged(run: Run) -> None:
    """A ping with buyers who bid; nobody posts it."""
    await run.ping()


async def changed(run: Run, by: Worker | None = None) -> None:
    """An operator makes a seller, under a key."""
    name = f"new-{run.name}"
    said = await run.admin("POST", "/sellers", {"id": name}, f"key-{run.name}", by=by)
    if said.status != 201 or said.body.get("id") != name:
        run.notes.append(f"the change was answered {said.status} {said.body}")


async def changed_once(run: Run) -> list[str]:
    """The change is there, was made once, and is answered so by everybody who is asked again."""
    for worker in run.stage.living:
        await changed(run, worker)
    entry = f"new-{run.name}"
    count = text("SELECT COUNT(*) FROM audit WHERE entry = :entry")
    read = run.stage.b.exchange.reader.read
    times = await read(lambda conn: conn.execute(count, {"entry": entry}).scalar_one())
    return [] if times == 1 else [f"{entry} was made {times} times"]


async def rebuilt(run: Run) -> None:
    """A lead is sold when the counters are lost; a worker rebuilds them from the ledger."""
    await run.post(await run.ping())
    await run.stage.lose_counters()
    await run.from_here()

    async def rebuild(worker: Worker) -> None:
        await worker.rebuild()

    await run.step(rebuild)
    await run.stage.good_again()


SOLD = Life(
    "sold", pinged_and_posted, {"sold-a": TAKES, "sold-b": TAKES}, [order("sold-a"), order("sold-b", 20)]
)
SECOND = Life(
    "second",
    pinged_and_posted,
    {"second-a": REFUSES, "second-b": TAKES},
    [order("second-a"), order("second-b", 20)],
)
NOBODY = Life(
    "nobody",
    pinged_and_posted,
    {"nobody-a": REFUSES, "nobody-b": REFUSES},
    [order("nobody-a"), order("nobody-b", 20)],
    ends=("rejected",),
)
ASKED_AGAIN = Life(
    "again",
    pinged_and_posted,
    {"again-a": TAKES, "again-b": TAKES},
    [order("again-a"), order("again-b", 20)],
    buyers={"again-a": {"idempotent": True}, "again-b": {"idempotent": True}},
    lose_first=("again-a",),
)
UNKNOWN = Life(
    "unknown",
    pinged_and_posted,
    {"unknown-a": LOST, "unknown-b": TAKES},
    [order("unknown-a"), order("unknown-b", 20)],
)
SHARED = Life(
    "shared",
    pinged_and_posted,
    {"shared-a": TAKES, "shared-b": LOST, "shared-c": TAKES},
    [order("shared-a"), order("shared-b", 25), order("shared-c", 20)],
    campaign={"auction": {"mode": "shared", "max_buyers": 2}},
)
DIRECT = Life(
    "direct", in_one, {"direct-a": TAKES, "direct-b": TAKES}, [order("direct-a"), order("direct-b", 20)]
)
LEFT = Life("left", left, {"left-a": TAKES}, [order("left-a")], ends=("sold",), from_the_start=False)
LEFT_AGAIN = Life(
    "leftagain",
    left,
    {"leftagain-a": REFUSES, "leftagain-b": TAKES},
    [order("leftagain-a"), order("leftagain-b", 20)],
    buyers={"leftagain-a": {"idempotent": True}},
    from_the_start=False,
)
WAITS = Life(
    "waits",
    waited,
    {"waits-a": TAKES},
    [order("waits-a", caps=[{"leads": 1, "per": "hour"}])],
    campaign={"pending_hours": 5, "doors": {"leads": {"name": "waits"}}},
    from_the_start=False,
)
BACK = Life(
    "back",
    posted_and_returned,
    {"back-a": TAKES},
    [order("back-a", returns={"days": 14, "share": "100%", "frees_cap": True})],
    ends=("returned",),
    from_the_start=False,
)
TOLD_YES = Life("yes", lost_and_told, {"yes-a": LOST}, [order("yes-a")], ends=("sold",), from_the_start=False)
TOLD_NO = Life(
    "no", lost_and_told, {"no-a": BROKEN}, [order("no-a")], ends=("rejected",), from_the_start=False
)
FORGOTTEN = Life(
    "forgotten",
    forgotten,
    {"forgotten-a": TAKES},
    [order("forgotten-a")],
    ends=("sold",),
    from_the_start=False,
)
FORGOTTEN_PENDING = Life(
    "unsettled",
    forgotten,
    {"unsettled-a": LOST},
    [order("unsettled-a")],
    ends=("sold",),
    from_the_start=False,
)
TOLD = Life(
    "told",
    told,
    {"told-a": TAKES},
    [order("told-a", returns={"days": 14, "share": "100%"})],
    ends=("returned",),
    from_the_start=False,
    check=heard_in_order,
)
BIDS = Life(
    "bids",
    pinged,
    {"bids-a": {"bid": {"price": 30}}, "bids-b": {"bid": {"price": 20}}},
    [order("bids-a", price={"live": True}), order("bids-b", price={"live": True})],
    ends=(),
)
CHANGED = Life("changed", changed, {"changed-a": TAKES}, [order("changed-a")], ends=(), check=changed_once)
REBUILT = Life(
    "rebuilt", rebuilt, {"rebuilt-a": TAKES}, [order("rebuilt-a")], ends=("sold",), from_the_start=False
)

LIVES: dict[str, Life] = {
    life.name: life
    for life in (
        *(
            SOLD,
            SECOND,
            NOBODY,
            ASKED_AGAIN,
            UNKNOWN,
            SHARED,
            DIRECT,
            LEFT,
            LEFT_AGAIN,
            WAITS,
            BACK,
            TOLD_YES,
            TOLD_NO,
        ),
        *(FORGOTTEN, FORGOTTEN_PENDING, TOLD, BIDS, CHANGED, REBUILT),
    )
}
