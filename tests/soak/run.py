"""One soak from its start to its verdict.

Load and trouble run side by side for so long; then the load stops, everything is healed, the house has time to
recover, what is unknown is settled from the buyers' own logs, every lead is sent once more, and the house is told to
stop. Only then is the evidence read.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.faults.checker import check
from tests.faults.history import OPEN, History
from tests.faults.killer import Odds
from tests.soak.evidence import planted_in, read_asked, read_ledger, read_received
from tests.soak.load import PLANTED, TIMEOUT_S, Sellers
from tests.soak.market import make_market
from tests.soak.settling import has_command, settle_all, truth_of, unknown_offers
from tests.soak.stack import Database, Plan, Stack, Where, running
from tests.soak.table import Outcome
from tests.soak.trouble import EVERY_S, FAULT_EVERY_S, Trouble, blows, link_faults, odds_of

DAY_MS = 86_400_000
START_S = 6.0
RECOVER_S = 40.0
FIRST_BLOW_S = 1.0
AFTER_S = 200.0
"""What all that follows the load may take, beyond which the run is cut off."""


class Wish(Struct, frozen=True):
    """What is asked for."""

    folder: Path
    for_s: float = 600.0
    seed: int = 7
    rate: float = 12.0
    database: Database = "postgresql"
    counters: Where = "proxied"
    workers: int = 2
    break_: str | None = None
    every_s: float = EVERY_S
    fault_every_s: float = FAULT_EVERY_S
    odds: Odds | None = None
    """Who is struck how often; None: as `trouble` has it."""

    @property
    def within_s(self) -> float:
        """The hard outer limit of the whole run."""
        return self.for_s + AFTER_S + self.for_s / 4


async def soak(wish: Wish) -> Outcome:
    """Runs it. Raises `TimeoutError` when it is not over in time; whatever happens, nothing is left running."""
    if wish.folder.exists():
        shutil.rmtree(wish.folder)
    plan = Plan(
        folder=wish.folder,
        market=make_market(round(wish.rate * wish.for_s)),
        database=wish.database,
        counters=wish.counters,
        workers=wish.workers,
        seed=wish.seed,
        clock_offset_ms=_offset_ms(wish.for_s),
        break_=wish.break_,
    )
    phases = _Phases()
    async with asyncio.timeout(wish.within_s), running(plan) as stack:
        phases.over("start")
        sellers, trouble = Sellers(stack.url, wish.seed, wish.rate), Trouble(stack)
        await _load(wish, stack, sellers, trouble)
        phases.over("load")
        history = await _aftermath(stack, sellers, phases)
        encode = msgspec.json.Encoder().encode_lines
        (wish.folder / "answers.jsonl").write_bytes(encode(sellers.attempts))
        (wish.folder / "timeline.txt").write_text("\n".join(trouble.timeline) + "\n")
        files = [*stack.logs, *_at_rest(stack)]
        phones = [*sellers.phones]
        planted = await asyncio.to_thread(planted_in, files, PLANTED, phones)
        stack.problems += _bugs(stack.logs)
        history = History(
            **{**{name: getattr(history, name) for name in history.__struct_fields__}, "planted": planted}
        )
        given_up = [said for attempt in sellers.attempts for said in attempt.said if said.error == "given up"]
        return Outcome(
            run={
                "seconds": wish.for_s,
                "seed": wish.seed,
                "rate": wish.rate,
                "database": wish.database,
                "counters": wish.counters,
                "workers": wish.workers,
                "broken": wish.break_ or "nothing",
                **phases.seconds,
                "kills and freezes": trouble.kills_and_freezes,
                f"requests given up after {TIMEOUT_S:g} s": len(given_up),
            },
            verdict=check(history),
            problems=stack.problems,
            struck=dict(trouble.struck),
            link_faults=dict(trouble.faults),
            requests=dict(sellers.counts),
            stack=dict(stack.counts),
        )


async def _load(wish: Wish, stack: Stack, sellers: Sellers, trouble: Trouble) -> None:
    """Sellers and trouble at once. The last blow comes a little before the last lead."""
    troubled_s = wish.for_s - FIRST_BLOW_S
    struck = blows(wish.seed, troubled_s, wish.odds or odds_of(wish.database), wish.every_s)
    spoiled = link_faults(wish.seed, troubled_s, sorted(stack.links), wish.fault_every_s)
    watching = asyncio.create_task(stack.watch())
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sellers.run(wish.for_s))
            await asyncio.sleep(FIRST_BLOW_S)
            tasks.create_task(trouble.run(struck, spoiled))
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


class _Phases:
    """How long each phase of a run took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since_s = time.monotonic()

    def over(self, phase: str) -> None:
        """The phase is over, and the next begins."""
        now_s = time.monotonic()
        self.seconds[f"{phase}, s"] = round(now_s - self._since_s, 1)
        self._since_s = now_s


async def _aftermath(stack: Stack, sellers: Sellers, phases: _Phases) -> History:
    """Everything healed, recovered, settled and asked once more; then what there is to know of the run."""
    await stack.healed()
    phases.over("healing")
    await _recovered(stack)
    phases.over("recovery")
    unknown = unknown_offers(await asyncio.to_thread(read_ledger, stack.ledger_url))
    offset_ms, journals = stack.plan.clock_offset_ms, [stack.journal(mock) for mock in stack.mocks]
    settled: dict[tuple[str, str], str] = {}
    await sellers.once_more()
    phases.over("repeats")
    if has_command("settle"):
        verdicts = truth_of(await asyncio.to_thread(read_received, journals, offset_ms), unknown)
        settled, refused = await settle_all(stack.environ(), verdicts)
        stack.problems += refused
        await sellers.once_more()
        phases.over("settling")
    stack.expected_down = True
    await stack.stop_house()
    phases.over("stop")
    return History(
        terms=stack.plan.market.terms(),
        attempts=sellers.attempts,
        received=await asyncio.to_thread(read_received, journals, offset_ms),
        asked=await asyncio.to_thread(read_asked, journals),
        ledger=await asyncio.to_thread(read_ledger, stack.ledger_url),
        settled=settled,
        unknown=unknown,
        clock_offset_ms=offset_ms,
    )


async def _recovered(stack: Stack) -> None:
    """Until no lead is in anybody's hands any more, or the time for it is over: what is left is then the checker's."""
    until_s = time.monotonic() + RECOVER_S
    while time.monotonic() < until_s:
        ledger = await asyncio.to_thread(read_ledger, stack.ledger_url)
        if not any(lead.state in OPEN for lead in ledger.leads):
            return
        await asyncio.sleep(0.5)


def _offset_ms(for_s: float) -> int:
    """Shifts the house's clock so that a day, and an hour, ends in the middle of the load."""
    middle_ms = time.time_ns() // 1_000_000 + round((START_S + for_s * 0.45) * 1_000)
    return DAY_MS - middle_ms % DAY_MS


def _at_rest(stack: Stack) -> list[Path]:
    """Where the house and its stores keep what they know: sealed, all that names a person."""
    return [
        path
        for path in [*stack.data_dir.rglob("*"), *(stack.plan.folder / "counters").rglob("*")]
        if path.is_file()
    ]


def _bugs(logs: list[Path]) -> list[str]:
    """Errors that are nobody's but the house's, one sentence a kind."""
    found: dict[str, str] = {}
    for log in logs:
        for line in log.read_text(errors="replace").splitlines() if log.name.startswith("serve") else ():
            if '"level":"error"' in line or "Traceback" in line:
                kind = line.partition('"event":')[2][:80]
                found.setdefault(kind, f"{log.name}: {line[:1_500]}")
    return list(found.values())
