"""Every instant of a lead's life, one after the other: a worker dies there, freezes, oversleeps, or the effect fails.

At the end of each the answers to the seller, the buyers' journals, the ledger, the counters and the outbox are held
against each other (`verdict`). The suite walks through the shortest lives; `make slow` through all, on both databases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.instants.explorer import Case, explore
from tests.instants.lives import BACK, LIVES, SOLD, TOLD_NO, Life
from tests.instants.seams import Manner
from tests.instants.stage import open_stage

Walk = Callable[[Life], Awaitable[list[Case]]]
IN_THE_SUITE = (SOLD, BACK, TOLD_NO)


async def walked(life: Life, folder: Path, redis_url: str, ledger_url: str) -> list[Case]:
    """Every case of a life. Fails with those that are wrong."""
    async with open_stage(folder, redis_url, ledger_url, [life]) as stage:
        cases = [case async for case in explore(stage, life)]
    wrong = [case for case in cases if case.wrong]
    assert not wrong, "\n".join(map(str, wrong))
    return cases


@pytest.mark.parametrize("life", IN_THE_SUITE, ids=lambda life: life.name)
async def test_nothing_is_lost_or_sold_twice(
    life: Life, tmp_path: Path, emptied_valkey: str, sqlite_ledger: str
) -> None:
    cases = await walked(life, tmp_path, emptied_valkey, sqlite_ledger)
    assert {case.fault.manner for case in cases if case.fault is not None} == set(Manner)


async def test_a_post_passes_every_seam(tmp_path: Path, emptied_valkey: str, sqlite_ledger: str) -> None:
    """The instants of the plainest life, as documentation; an effect that went past the seams would be missing."""
    async with open_stage(tmp_path, emptied_valkey, sqlite_ledger, [SOLD]) as stage:
        plain = await anext(explore(stage, SOLD))
    assert sorted(map(str, plain.trace)) == sorted(
        [
            "counters: admit",
            "counters: hold of sold-a",
            "counters: open_ping",
            "counters: remember",
            "seller: answer",
            "counters: claim",
            "ledger: take lead",
            "counters: forget",
            "counters: keep of sold-a",
            "buyer sold-a: connect",
            "buyer sold-a: post",
            "ledger: settle",
            "counters: finish",
            "counters: sold of sold-a",
            "seller: answer #2",
        ]
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
async def test_all_lives_on_both_databases(
    life: Life, tmp_path: Path, emptied_valkey: str, ledger_url: str
) -> None:
    await walked(life, tmp_path, emptied_valkey, ledger_url)
