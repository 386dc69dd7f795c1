"""What befalls a soak follows from its seed, and in ten minutes it is enough."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import pytest

from tests.faults.proxy import CloseAtOnce, Garbage, NeverAnswer, Oversize, Refuse
from tests.soak.trouble import blows, link_faults, odds_of

LINKS = ["database", "first", "second", "valkey"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_ten_minutes_kill_and_freeze_more_than_a_hundred_times(
    seed: int, database: Literal["sqlite", "postgresql"]
) -> None:
    odds = odds_of(database)
    struck = blows(seed, 600, odds)
    assert struck == blows(seed, 600, odds)
    assert struck != blows(seed + 100, 600, odds)
    assert sum(blow.act != "term" for blow in struck) >= 115
    times = Counter((blow.victim, blow.act) for blow in struck)
    assert times["worker", "kill"] >= 30
    assert all(times[victim, "kill"] for victim in ("house", "valkey", "first", "second"))
    assert times["database", "freeze"]
    assert bool(times["database", "kill"]) is (database == "postgresql")


def test_every_link_suffers_and_bytes_are_changed_on_the_way_down_alone() -> None:
    faults = link_faults(7, 3_600, LINKS)
    assert faults == link_faults(7, 3_600, LINKS)
    assert {one.link for one in faults} == set(LINKS)
    assert len({type(one.fault) for one in faults}) == 11
    for one in faults:
        assert 0 <= one.at_s <= 3_600
        assert one.for_s <= 3
        if isinstance(one.fault, Garbage | Oversize):
            assert one.ways == ("down",)
        if isinstance(one.fault, Refuse | CloseAtOnce | NeverAnswer):
            assert one.ways == ()
