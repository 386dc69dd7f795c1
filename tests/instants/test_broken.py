"""The walk finds what is broken: for each break an instant at which the whole house is right and the broken is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.instants.broken import BREAKS, broken
from tests.instants.explorer import Case, run_once
from tests.instants.lives import SECOND, SOLD, Life
from tests.instants.seams import Fault, Instant, Manner
from tests.instants.stage import open_stage

FOUND_AT: dict[str, tuple[Life, Manner | None, str, str]] = {
    "claim": (SOLD, None, "", "sold twice"),
    "keep": (SOLD, None, "", "the counters 0"),
    "settle": (SOLD, None, "", "lost"),
    "payout": (SOLD, None, "", "payouts that differ"),
    "retry": (SOLD, Manner.FAILS_DONE, "buyer sold-a: post", "who keeps no keys"),
    "unknown-is-no": (SOLD, Manner.FAILS_DONE, "buyer sold-a: post", "sold twice"),
    "lease-asked-early": (SOLD, Manner.OVERSLEEPS_BEFORE, "buyer sold-a: connect", "lost"),
    "no-lease": (SOLD, Manner.OVERSLEEPS_BEFORE, "counters: keep of sold-a", "lost"),
    "outbox-beside-the-move": (SOLD, Manner.DIES_AFTER, "ledger: settle", "its seller is told []"),
    "nothing-is-stray": (SOLD, Manner.DIES_AFTER, "ledger: take lead", "unfinished"),
    "nobody-takes-over-in-the-ledger": (SOLD, Manner.DIES_AFTER, "ledger: take lead", "unfinished"),
    "claim-never-lapses": (SOLD, Manner.DIES_AFTER, "counters: claim", "never answered"),
    "nobody-compares": (SOLD, Manner.OVERSLEEPS_BEFORE, "counters: keep of sold-a", "is kept still"),
    "hold-not-given-back": (SECOND, None, "", "is kept still"),
    "intent-after-the-offer": (SECOND, None, "", "the ledger has no offer"),
    "intent-not-withdrawn": (SECOND, Manner.FAILS_DONE, "ledger: add offers", "is sent still"),
}
ALWAYS_RIGHT = "no-fence-at-the-answer"
"""Found by no instant: a lead that another has finished is not `offered` any more, which is the second lock on it."""


def at(name: str) -> tuple[Life, Fault | None]:
    """Where this break is found."""
    life, manner, instant, _ = FOUND_AT[name]
    return life, None if manner is None else Fault(manner, Instant.read(instant))


async def lived(name: str, folder: Path, redis_url: str, ledger_url: str) -> Case:
    """The life in which this break is found."""
    life, fault = at(name)
    async with open_stage(folder, redis_url, ledger_url, [life]) as stage:
        return await run_once(stage, life, fault)


@pytest.mark.parametrize("name", FOUND_AT)
async def test_the_walk_finds_what_is_broken(
    name: str, tmp_path: Path, emptied_valkey: str, sqlite_ledger: str
) -> None:
    with broken(name):
        case = await lived(name, tmp_path, emptied_valkey, sqlite_ledger)
    told = FOUND_AT[name][3]
    assert any(told in one for one in case.wrong), str(case)
    assert "this one alone" in str(case) or case.fault is None


async def test_at_the_same_instants_the_whole_house_is_right(
    tmp_path: Path, emptied_valkey: str, sqlite_ledger: str
) -> None:
    places = {(life.name, fault): (life, fault) for life, fault in map(at, FOUND_AT)}
    async with open_stage(tmp_path, emptied_valkey, sqlite_ledger, [SOLD, SECOND]) as stage:
        for life, fault in places.values():
            case = await run_once(stage, life, fault)
            assert not case.wrong, str(case)


def test_every_break_has_its_place() -> None:
    assert {*FOUND_AT, ALWAYS_RIGHT} == set(BREAKS)
