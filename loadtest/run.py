"""One command: buyers, exchange, sellers, a table.  python -m loadtest.run [--users 20] [--seconds 20]

Starts the mock buyers and `auction serve` on free ports, in a folder of its own that is gone afterwards; runs
Locust against them; ends what it started. Exit code 1 if any request failed.
"""

from __future__ import annotations

import csv
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from loadtest.processes import Process, ProcessError
from loadtest.stack import DEMO_BUYERS, DEMO_MARKET, ROOT, Stack, running_stack

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LOCUST_ENDS_WITHIN_S = 60


@click.command(context_settings={"show_default": True})
@click.option("--users", type=click.IntRange(1, 10_000), default=20, help="Sellers at once.")
@click.option("--seconds", type=click.IntRange(1, 86_400), default=20, help="How long.")
@click.option("--config", type=click.Path(exists=True, path_type=Path), default=DEMO_MARKET,
              help="Catalogue file; its buyers are played by the mock.")  # fmt: skip
@click.option("--buyers", type=click.Path(exists=True, path_type=Path), default=DEMO_BUYERS,
              help="Script of the mock buyers.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), default=1, help="Worker processes of the exchange.")
@click.option("--report", type=click.Path(path_type=Path), default=Path("report/loadtest.html"),
              help="Where Locust writes its report.")  # fmt: skip
def main(users: int, seconds: int, config: Path, buyers: Path, workers: int, report: Path) -> None:
    """Load a whole exchange, and show how it went."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with tempfile.TemporaryDirectory(prefix="loadtest-") as named:
            folder = Path(named)
            with running_stack(folder, config=config, buyers=buyers, workers=workers) as stack:
                click.echo(f"{users} sellers at {stack.url} for {seconds} s")
                rows = _locust(folder, users, seconds, stack, report)
    except ProcessError as error:
        raise click.ClickException(str(error)) from None
    Console().print(table_of(rows))
    click.echo(f"report: {report}")
    total = rows[-1]
    sys.exit(1 if total.failures or not total.requests else 0)


def _locust(folder: Path, users: int, seconds: int, stack: Stack, report: Path) -> list[Row]:
    report.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
    command += ["--host", stack.url, "--users", str(users), "--spawn-rate", str(users)]
    command += ["--run-time", f"{seconds}s", "--html", str(report.resolve())]
    command += ["--csv", str(folder / "locust"), "--catalogue", str(stack.config)]
    with Process(command, folder / "locust.log", cwd=ROOT) as locust:
        code = locust.wait(seconds + LOCUST_ENDS_WITHIN_S)
        written = folder / "locust_stats.csv"
        if code not in (0, 1) or not written.exists():
            raise ProcessError(f"locust ended with {code}:\n{locust.printed()}")
    rows = rows_of(written.read_text(encoding="utf-8"))
    if rows[-1].failures:
        click.echo((folder / "locust_failures.csv").read_text(encoding="utf-8"), err=True)
    return rows


class Row(msgspec.Struct, frozen=True):
    """One line of the table: times in milliseconds."""

    name: str
    requests: int
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float


def rows_of(stats_csv: str) -> list[Row]:
    """Locust's `_stats.csv`, a row per name, all together last."""
    return [_row(line) for line in csv.DictReader(stats_csv.splitlines())]


def _row(line: Mapping[str, str]) -> Row:
    def number(column: str) -> float:
        text = line[column]
        return 0.0 if text in ("", "N/A") else float(text)

    return Row(
        name="all" if line["Name"] == "Aggregated" else line["Name"],
        requests=int(line["Request Count"]),
        failures=int(line["Failure Count"]),
        p50_ms=number("50%"),
        p95_ms=number("95%"),
        p99_ms=number("99%"),
        per_second=number("Requests/s"),
    )


def table_of(rows: list[Row]) -> Table:
    """For people."""
    table = Table(title="Answers, in milliseconds")
    table.add_column("request")
    for heading in ("requests", "failures", "per second", "p50", "p95", "p99"):
        table.add_column(heading, justify="right")
    for row in rows:
        if row is rows[-1]:
            table.add_section()
        failures = f"[red]{row.failures}[/red]" if row.failures else "0"
        times = (f"{ms:g}" for ms in (row.p50_ms, row.p95_ms, row.p99_ms))
        table.add_row(row.name, str(row.requests), failures, f"{row.per_second:.1f}", *times)
    return table


if __name__ == "__main__":
    main()
