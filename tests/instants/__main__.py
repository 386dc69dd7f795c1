"""A life of a lead, every instant of it or one: `python -m tests.instants sold ["dies before" "ledger: settle"]`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from auction.counters.embedded import EmbeddedValkey
from auction.counters.link import Link
from tests.instants.explorer import explore, run_once
from tests.instants.lives import LIVES, Life
from tests.instants.schedule import DUELS, Duel, play, play_once
from tests.instants.seams import Fault, Instant, Manner
from tests.instants.stage import open_stage
from tests.stores import copy_migrated, running_postgres


def main() -> int:
    """0 if nothing was wrong."""
    parser = argparse.ArgumentParser(prog="tests.instants", description=__doc__)
    parser.add_argument("life", choices=[*LIVES, "all", "duel"])
    parser.add_argument("manner", nargs="?", help="how A ends or fails; or which duel")
    parser.add_argument("instant", nargs="?")
    parser.add_argument("--on", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--switches", type=int, nargs=2, help="of a duel: how many effects of A, then of B")
    parser.add_argument("--trace", action="store_true", help="show the instants of the undisturbed life")
    told = parser.parse_args()
    logging.getLogger("auction").setLevel(logging.ERROR)
    with ExitStack() as stores:
        folder = Path(stores.enter_context(tempfile.TemporaryDirectory()))
        valkey = EmbeddedValkey(folder / "valkey")
        (folder / "valkey").mkdir()
        valkey.start()
        stores.callback(valkey.stop)
        postgres = None if told.on == "sqlite" else stores.enter_context(running_postgres())
        bad = 0
        names = [told.manner] if told.manner else [*DUELS]
        if told.life == "duel":
            lives = [DUELS[name].life for name in names]
        for life in (
            lives if told.life == "duel" else LIVES.values() if told.life == "all" else (LIVES[told.life],)
        ):
            if postgres is None:
                copy_migrated(folder / f"{life.name}.db")
                url = f"sqlite:///{folder}/{life.name}.db"
            else:
                url = postgres.new_database()
            if told.life == "duel":
                bad += asyncio.run(_played(told, DUELS[names.pop(0)], folder, valkey.url, url))
            else:
                bad += asyncio.run(_explored(told, life, folder, valkey.url, url))
        return min(bad, 1)


async def _explored(told: argparse.Namespace, life: Life, folder: Path, redis_url: str, url: str) -> int:
    await _empty(redis_url)
    began_s, counts, cases = time.monotonic(), Counter[str](), []
    async with open_stage(folder, redis_url, url, [life]) as stage:
        if told.manner and told.instant:
            cases = [await run_once(stage, life, Fault(Manner(told.manner), Instant.read(told.instant)))]
        else:
            async for case in explore(stage, life, (Manner(told.manner),) if told.manner else tuple(Manner)):
                cases.append(case)
                if told.verbose:
                    print(case.fault, "wrong" if case.wrong else "right", flush=True)
    if told.trace:
        print("\n".join(map(str, cases[0].trace)))
    for case in cases:
        counts["wrong" if case.wrong else "right"] += 1
        if case.wrong:
            print(case)
    took_s = time.monotonic() - began_s
    print(f"{life.name}: {len(cases[0].trace)} instants, {dict(counts)}, {took_s:.1f} s", flush=True)
    return counts["wrong"]


async def _played(told: argparse.Namespace, duel: Duel, folder: Path, redis_url: str, url: str) -> int:
    await _empty(redis_url)
    began_s, counts = time.monotonic(), Counter[str]()
    async with open_stage(folder, redis_url, url, [duel.life]) as stage:
        if told.switches:
            games = [(await play_once(stage, duel, *told.switches))[0]]
        else:
            games = [game async for game in play(stage, duel)]
    for game in games:
        counts["wrong" if game.wrong else "right"] += 1
        if game.wrong or told.trace:
            print(game)
    print(f"duel {duel.name}: {dict(counts)}, {time.monotonic() - began_s:.1f} s", flush=True)
    return counts["wrong"]


async def _empty(redis_url: str) -> None:
    link = Link(redis_url)
    await link.open()
    await link.call("FLUSHALL")
    await link.close()


if __name__ == "__main__":
    sys.exit(main())
