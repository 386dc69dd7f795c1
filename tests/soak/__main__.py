"""`python -m tests.soak`: load, kills, freezes and faults for so long, then a table.

The exit code is 1 where a figure that must be 0 is not, and 3 where the run had to be cut off.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Literal, cast

import click

from tests.faults.killer import Own
from tests.soak.broken import BREAKS
from tests.soak.run import Wish, soak
from tests.soak.table import save, shown
from tests.soak.trouble import EVERY_S


@click.command(context_settings={"show_default": True})
@click.option("--seconds", type=click.FloatRange(2, 86_400), default=600.0, help="How long the load lasts.")
@click.option("--seed", type=int, default=7, help="Gives the leads, the blows and the faults again.")
@click.option("--rate", type=click.FloatRange(0.1, 1_000), default=12.0, help="New leads a second.")
@click.option("--database", type=click.Choice(["postgresql", "sqlite"]), default="postgresql")
@click.option(
    "--counters", type=click.Choice(["proxied", "embedded"]), default="proxied", help="Which Valkey."
)
@click.option("--workers", type=click.IntRange(1, 16), default=2)
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 3_600),
    default=EVERY_S,
    help="Seconds from blow to blow.",
)
@click.option("--break", "break_", type=click.Choice(sorted(BREAKS)), help="A house with a step left out.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("report/soak"))
def main(
    seconds: float,
    seed: int,
    rate: float,
    database: str,
    counters: str,
    workers: int,
    every_s: float,
    break_: str | None,
    folder: Path,
) -> None:
    """Soak a house of its own, and see whether it lost, sold twice, or passed a cap."""
    wish = Wish(
        folder=folder.resolve(),
        for_s=seconds,
        seed=seed,
        rate=rate,
        database=cast(Literal["sqlite", "postgresql"], database),
        counters=cast(Literal["proxied", "embedded"], counters),
        workers=workers,
        break_=break_,
        every_s=every_s,
    )
    with _cut_off_after(wish.within_s + 60):
        try:
            outcome = asyncio.run(soak(wish))
        except TimeoutError:
            click.echo(f"the run was not over within {wish.within_s:g} s: see {folder}", err=True)
            sys.exit(3)
    told = shown(outcome)
    (folder / "table.txt").write_text(told + "\n")
    save(outcome, folder / "soak.json")
    click.echo(told)
    sys.exit(0 if outcome.good else 1)


class _cut_off_after:  # noqa: N801  (reads as a word)
    """Ends everything that was started, and this process, where even the run's own limit does not hold."""

    def __init__(self, limit_s: float) -> None:
        self._timer = threading.Timer(limit_s, self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        ended = Own().kill_all()
        sys.stderr.write(f"cut off: {ended} processes ended\n")
        os._exit(3)


if __name__ == "__main__":
    main()
