"""Two workers at the same lead, each overtaken by the other at every instant (`schedule`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.instants.schedule import DUELS, play
from tests.instants.stage import open_stage


async def played(name: str, folder: Path, redis_url: str, ledger_url: str) -> int:
    """How many orders of events there were. Fails with those that ended wrong."""
    duel = DUELS[name]
    async with open_stage(folder, redis_url, ledger_url, [duel.life]) as stage:
        games = [game async for game in play(stage, duel)]
    wrong = [game for game in games if game.wrong]
    assert not wrong, "\n".join(map(str, wrong))
    return len(games)


async def test_a_post_that_comes_to_two_workers_is_sold_once(
    tmp_path: Path, emptied_valkey: str, sqlite_ledger: str
) -> None:
    assert await played("twins", tmp_path, emptied_valkey, sqlite_ledger) > 40


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", DUELS)
async def test_all_duels_on_both_databases(
    name: str, tmp_path: Path, emptied_valkey: str, ledger_url: str
) -> None:
    await played(name, tmp_path, emptied_valkey, ledger_url)
