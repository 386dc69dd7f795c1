"""Houses with a step left out, to show that the checker finds it: `python -m tests.soak.broken BREAK serve …`.

The patch is done here, before `auction` starts; nothing in `auction/` knows of it. Workers are processes of their
own, so the crew of a broken house starts its workers through this module too.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace


def break_claim() -> None:
    """No claim, and a ledger that takes a ping's lead as often as it comes: a repeated post sells again."""
    from auction.counters.answers import Claimed
    from auction.counters.counters import Counters
    from auction.post import book

    claim, take_lead = Counters.claim, _of(book, "take_lead")
    records: dict[str, bytes] = {}

    async def always(self: Counters, ping_id: str, *arguments: Any) -> Any:
        gate: Any = await claim(self, ping_id, *arguments)
        if isinstance(gate, Claimed):
            records[ping_id] = gate.record
        return Claimed(records[ping_id]) if ping_id in records else gate

    def any_lead(conn: Any, lead: Any, new_offers: Any) -> Any:
        return take_lead(conn, replace(lead, ping_id=f"{lead.ping_id}/{lead.lead_id}"), new_offers)

    setattr(Counters, "claim", always)  # noqa: B010
    setattr(book, "take_lead", any_lead)  # noqa: B010


def break_keep() -> None:
    """Places are neither held nor kept: caps are not looked at."""
    from auction.counters.answers import HELD, KEPT
    from auction.counters.counters import Counters

    setattr(Counters, "hold", _answering(HELD))  # noqa: B010
    setattr(Counters, "keep", _answering(KEPT))  # noqa: B010


def break_settle() -> None:
    """The seller is answered, and what came of the lead is not written."""
    from auction.post.book import LeadBook

    async def not_written(self: LeadBook, settlement: Any, then: Callable[[], Any], lost: Any) -> None:
        await then()

    setattr(LeadBook, "settle", not_written)  # noqa: B010


def break_retry() -> None:
    """An offer whose answer nobody heard is repeated also where the buyer keeps no keys."""
    from auction.post.offering import Offering

    deliver = Offering._deliver

    async def repeated(self: Offering, floor: Any, draft: Any, win: Any, buyer: Any, lost: Any) -> Any:
        return await deliver(self, floor, draft, win, replace(buyer, idempotent=True), lost)

    setattr(Offering, "_deliver", repeated)  # noqa: B010


def break_payout() -> None:
    """The seller is told a cent more than it gets."""
    from auction.post import records

    post_answer = records.post_answer

    def generous(*arguments: Any) -> Any:
        answer = post_answer(*arguments)
        return answer if answer.payout is None else replace(answer, payout=answer.payout + 0.01)

    setattr(records, "post_answer", generous)  # noqa: B010


def _of(module: Any, name: str) -> Any:
    return getattr(module, name)


def _answering(answer: object) -> Any:
    def step(*_: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        future.set_result(answer)
        return future

    return step


BREAKS: dict[str, Callable[[], None]] = {
    "claim": break_claim,
    "keep": break_keep,
    "settle": break_settle,
    "retry": break_retry,
    "payout": break_payout,
}


def _break_workers_too(name: str) -> None:
    """The crew starts `-m tests.soak.broken NAME worker` in place of `-m auction worker`."""
    from auction.cli import crew

    class Starting:
        def __getattr__(self, wanted: str) -> Any:
            return getattr(asyncio, wanted)

        @staticmethod
        async def create_subprocess_exec(
            program: str, dash_m: str, module: str, *words: str, **more: Any
        ) -> Any:
            assert (dash_m, module) == ("-m", "auction")
            return await asyncio.create_subprocess_exec(
                program, "-m", "tests.soak.broken", name, *words, **more
            )

    setattr(crew, "asyncio", Starting())  # noqa: B010


def main() -> None:
    """Breaks the house, then runs it."""
    name = sys.argv.pop(1)
    BREAKS[name]()
    _break_workers_too(name)
    from auction.cli import main as auction

    auction()


if __name__ == "__main__":
    main()
