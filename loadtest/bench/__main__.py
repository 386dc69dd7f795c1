"""What a ping costs, and everything that hangs on it.  python -m loadtest.bench [SCENARIO...] [--only NAME] [--quick]

Runs our server and bare fan-outs in turns on one core, with the same buyers, and prints what each costs beside what it
should. Figures are no verdict: the exit code is 0 unless something broke.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from loadtest.bench.building import BuildError
from loadtest.bench.figures import Figure, Report
from loadtest.bench.generator import LoadError
from loadtest.bench.machine import Cores, Machine, this_machine
from loadtest.bench.scenarios import LONG, SCENARIOS
from loadtest.bench.stage import FULL, QUICK, Stage, open_stage
from loadtest.bench.table import show
from loadtest.processes import ProcessError

MEASURED = (
    "What is compared is the server's own CPU time per ping (user + system, its process clock), not throughput: a slow "
    "buyer or generator lowers throughput, and leaves that nearly as it is. How busy each was stands in the table of "
    "rounds, and asks/ping shows that all did the same work."
)
LIGHT = (
    "The buyers are one epoll loop that answers at once, the generator is another. Every ping differs from every "
    "other, so that none is answered as a repeat."
)
QUIET_LOAD = 0.5
BROKEN = (LoadError, ProcessError, OSError)


def _told() -> str:
    """Each scenario and the first sentence of its module, for the help."""
    lines = []
    for name, run in SCENARIOS.items():
        said = (sys.modules[run.__module__].__doc__ or "").partition(".")[0].replace("\n", " ")
        lines.append(f"  {name:12}{said}{' (only where it is named)' if name in LONG else ''}")
    return "\b\nScenarios:\n" + "\n".join(lines)


@click.command(context_settings={"show_default": True, "max_content_width": 120}, epilog=_told())
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)), metavar="[SCENARIO]...")
@click.option("--only", "only", multiple=True, type=click.Choice(list(SCENARIOS)), metavar="SCENARIO",
              help="The same as naming it; may be given several times.")  # fmt: skip
@click.option("--quick", is_flag=True, help="Under a minute: short rounds, rougher figures.")
@click.option("--report", "path", type=click.Path(path_type=Path), default=Path("report/bench.json"),
              help="Where the figures are saved as JSON.")  # fmt: skip
def main(names: tuple[str, ...], only: tuple[str, ...], quick: bool, path: Path) -> None:
    """Measure the SCENARIOs that are named, or all but the long ones."""
    if sys.platform != "linux":
        raise click.ClickException(
            "the benchmark reads CPU clocks and binds cores as Linux does; run it there"
        )
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    console = Console()
    path.parent.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    machine = this_machine()
    # beside the report, and not in the system's temp: that may be memory, where a commit costs nothing
    with tempfile.TemporaryDirectory(prefix="bench-", dir=path.parent) as folder:
        try:
            with open_stage(Path(folder), QUICK if quick else FULL) as stage:
                chosen = [*names, *only] or [name for name in SCENARIOS if name not in LONG]
                figures, broke = _run(stage, chosen, console)
                notes = [*how_it_was_made_sure(stage.cores), *_disturbed(machine), *stage.notes]
                report = Report(machine, quick, figures, stage.rounds, notes)
        except (BuildError, *BROKEN) as error:
            raise click.ClickException(str(error)) from None
    report.seconds = round(time.monotonic() - began_s, 1)
    path.write_bytes(report.as_json())
    show(report, console)
    console.print(f"{report.seconds:.0f} s; saved as {path}")
    sys.exit(1 if broke else 0)


def _run(stage: Stage, names: list[str], console: Console) -> tuple[list[Figure], bool]:
    """All figures; a scenario that breaks is noted, and the others go on."""
    figures: list[Figure] = []
    broke = False
    for name in names:
        began_s = time.monotonic()
        try:
            figures += SCENARIOS[name](stage)
        except BROKEN as error:
            stage.notes.append(f"{name} broke: {error}")
            broke = True
        console.print(f"{name:12} {time.monotonic() - began_s:5.1f} s", highlight=False)
    return figures, broke


def how_it_was_made_sure(cores: Cores) -> list[str]:
    """Why it is the server that was measured."""
    if cores.apart:
        server, others = (", ".join(map(str, sorted(which))) for which in (cores.server, cores.others))
        where = f"The server alone was on core {server}; buyers, load generator and Valkey on {others}."
    else:
        where = "There is one core for all: what is compared is CPU time, but caches are shared."
    return [where, MEASURED, LIGHT]


def _disturbed(machine: Machine) -> list[str]:
    if machine.load_before < QUIET_LOAD:
        return []
    return [
        f"The machine was not idle: its load was {machine.load_before:g} before the start. Ratios bear that best."
    ]


if __name__ == "__main__":
    main()
