"""Short soaks: a house as it is passes, houses with a step left out do not. The long one: `make soak`."""

from __future__ import annotations

from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.faults.killer import Odds
from tests.soak.run import Wish, soak
from tests.soak.table import shown

NEVER_S = 1e9
QUICK: Odds = {
    "worker": {"kill": 2, "freeze": 1},
    "valkey": {"kill": 1},
    "database": {"kill": 1},
    "second": {"kill": 1},
}
"""All that is soon there again: the house itself takes seconds to start."""


async def test_a_house_that_is_struck_all_the_time_loses_nothing(tmp_path: Path) -> None:
    """On PostgreSQL. (The broken ones below run on SQLite.)"""
    wish = Wish(
        folder=tmp_path / "soak", for_s=7.0, seed=5, rate=8.0, every_s=1.0, fault_every_s=2.0, odds=QUICK
    )
    before = set(psutil.Process().children(recursive=True))
    outcome = await soak(wish)
    assert outcome.good, shown(outcome)
    assert outcome.run["kills and freezes"] >= 3, shown(outcome)
    assert outcome.verdict.counts["answered sold"] >= 10, shown(outcome)
    assert set(psutil.Process().children(recursive=True)) <= before, "nothing is left running"
    assert (tmp_path / "soak" / "timeline.txt").read_text().strip()


@pytest.mark.parametrize(
    ("break_", "figure"),
    [("claim", "sold twice"), pytest.param("keep", "caps passed", marks=pytest.mark.slow)],
    ids=["claim", "keep"],
)
async def test_a_broken_house_is_found(tmp_path: Path, break_: str, figure: str) -> None:
    wish = Wish(
        folder=tmp_path / "soak",
        for_s=3.0,
        seed=3,
        rate=12.0,
        database="sqlite",
        workers=1,
        break_=break_,
        every_s=NEVER_S,
        fault_every_s=NEVER_S,
    )
    outcome = await soak(wish)
    assert not outcome.good
    assert outcome.verdict.forbidden[figure], shown(outcome)
