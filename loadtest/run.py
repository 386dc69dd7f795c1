"""One command: buyers, exchange, sellers, a table.  python -m loadtest.run [--shape steady|spike|soak]

Starts the mock buyers and `auction serve` on free ports, in a folder of its own that is gone afterwards; runs
Locust against them in a shape; ends what it started. Exit code 1 if a goal was missed or a request failed that
may not, naming which.
"""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
import msgspec
import psutil  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from auction.catalogue.yaml_source import Source
from auction.counted import counted
from loadtest.goals import GoalMistakes, Goals, missed, read_goals
from loadtest.processes import Process, ProcessError
from loadtest.rows import Results, busiest_second, rows_of
from loadtest.shapes import KINDS, TIMES, USERS, Shape, make_shape
from loadtest.stack import DEMO_BUYERS, DEMO_MARKET, ROOT, Stack, running_stack
from loadtest.table import table_of, uses_table
from loadtest.watch import Use, Watch, family

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
GOALS = Path(__file__).with_name("goals.yaml")
LOCUST_STARTS_WITHIN_S, LOCUST_ENDS_WITHIN_S, WORKERS_END_WITHIN_S = 30.0, 60.0, 3.0
WIDE_CAPS = 10_000
WIDTH = 130
BUSY = 0.9
"""Sellers or buyers that keep their cores this busy may be what is measured."""
EXCHANGE, VALKEY, BUYERS, SELLERS = "exchange", "its Valkey", "mock buyers", "sellers (Locust)"
_SHAPES_TEXT = "; ".join(f"{name}: {kind.text} ({kind.seconds} s)" for name, kind in KINDS.items())
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Load(msgspec.Struct, frozen=True):
    """What is to be run."""

    shape: Shape
    users: int
    times: int
    processes: int
    report: Path


@click.command(context_settings={"show_default": True})
@click.option("--shape", "kind", type=click.Choice(list(KINDS)), default="steady", help=_SHAPES_TEXT + ".")
@click.option("--users", type=click.IntRange(1, 10_000), default=USERS, help="Sellers at once, usually.")
@click.option("--seconds", type=click.IntRange(1, 86_400), help="How long.  [default: the shape's]")
@click.option("--times", type=click.IntRange(2, 100), default=TIMES, help="As many sellers in a burst.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, help="Processes of Locust.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, help="Worker processes of the exchange.")
@click.option("--goals", "goals_file", type=_FILE, default=GOALS, help="Goals by shape and request.")
@click.option("--config", type=_FILE, default=DEMO_MARKET, help="Catalogue; the mock plays its buyers.")
@click.option("--buyers", type=_FILE, default=DEMO_BUYERS, help="Script of the mock buyers.")
@click.option("--keep-caps", is_flag=True, help="Leave caps as they are; without it they never fill.")
@click.option("--report", type=click.Path(path_type=Path), default=Path("report/loadtest.html"),
              help="Where Locust writes its report.")  # fmt: skip
def main(
    kind: str,
    users: int,
    seconds: int | None,
    times: int,
    processes: int,
    workers: int,
    goals_file: Path,
    config: Path,
    buyers: Path,
    keep_caps: bool,
    report: Path,
) -> None:
    """Load a whole exchange, and hold how it went against goals."""
    goals = _goals(goals_file).get(kind, Goals())
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    load = Load(make_shape(kind, users, seconds, times), users, times, processes, report)
    caps_times = 1 if keep_caps else WIDE_CAPS
    try:
        with tempfile.TemporaryDirectory(prefix="loadtest-") as named:
            folder = Path(named)
            start = partial(running_stack, folder, config=config, buyers=buyers, workers=workers)
            with start(caps_times=caps_times) as stack:
                click.echo(f"{kind}: {_sellers(load)} at {stack.url} for {load.shape.seconds:g} s")
                results, uses = _locust(folder, load, stack)
                outcomes = _outcomes(stack.url)
    except ProcessError as error:
        raise click.ClickException(str(error)) from None
    sys.exit(_show(load, goals, results, uses, outcomes))


def _goals(file: Path) -> dict[str, Goals]:
    try:
        return read_goals(Source(str(file), file.read_text(encoding="utf-8")))
    except (GoalMistakes, UnicodeDecodeError) as error:
        raise click.ClickException(f"goals that cannot be used:\n{error}") from None


def _sellers(load: Load) -> str:
    """`20, 160 sellers` of a spike."""
    most = f"; {load.processes} processes" if load.processes > 1 else ""
    return ", ".join(dict.fromkeys(str(phase.users) for phase in load.shape.phases)) + " sellers" + most


def _locust(folder: Path, load: Load, stack: Stack) -> tuple[Results, list[Use]]:
    """Runs it to its end. Raises `ProcessError` also where the load test itself broke."""
    load.report.parent.mkdir(parents=True, exist_ok=True)
    written = folder / "results.json"
    shape = load.shape
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
    command += ["--host", stack.url, "--html", str(load.report.resolve()), "--results", str(written)]
    command += ["--shape", shape.name, "--users", str(load.users), "--seconds", f"{shape.seconds:g}"]
    command += ["--times", str(load.times), "--catalogue", str(stack.config)]
    if load.processes > 1:
        port = str(_free_port())
        command += ["--processes", str(load.processes), "--master-bind-host", "127.0.0.1"]
        command += ["--master-bind-port", port, "--master-port", port]
        command += ["--expect-workers-max-wait", f"{LOCUST_STARTS_WITHIN_S:g}"]
    with _shaping(Process(command, folder / "locust.log", cwd=ROOT)) as locust:
        with Watch(partial(_parts, stack, locust.pid)) as watch:
            code = locust.wait(shape.seconds + LOCUST_ENDS_WITHIN_S)
        if code not in (0, 1) or not written.exists():
            raise ProcessError(f"locust ended with {code}:\n{locust.printed()}")
    results = msgspec.json.decode(written.read_bytes(), type=Results)
    if results.broken:
        raise ProcessError("the sellers broke:\n" + "\n".join(results.broken))
    return results, watch.uses()


@contextmanager
def _shaping(starting: Process) -> Iterator[Process]:
    """Locust, from when its users begin. Its workers end with it: a master that is told to end leaves them behind."""
    with starting as locust:
        workers: list[psutil.Process] = []
        try:
            locust.wait_for_line("Shape test updating", LOCUST_STARTS_WITHIN_S)
            workers = family(locust.pid)[1:]
            yield locust
        finally:
            workers = workers or family(locust.pid)[1:]
            locust.end()
            for worker in psutil.wait_procs(workers, timeout=WORKERS_END_WITHIN_S)[1]:
                worker.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _parts(stack: Stack, locust_pid: int) -> dict[str, list[psutil.Process]]:
    """Who is who of the run's processes: whatever is no Python below the exchange is its Valkey."""
    parts: dict[str, list[psutil.Process]] = {EXCHANGE: [], VALKEY: []}
    for process in family(stack.exchange_pid):
        parts[EXCHANGE if _is_python(process) else VALKEY].append(process)
    return {**parts, BUYERS: family(stack.mock_pid), SELLERS: family(locust_pid)}


def _is_python(process: psutil.Process) -> bool:
    try:
        return "python" in process.name()
    except psutil.Error:
        return False


def _outcomes(url: str) -> list[str]:
    """What became of pings and posts, as the exchange has counted it: `pings: 612 offer, 9 no_bid`."""
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310 (our own http)
            families = text_string_to_metric_families(answer.read().decode())
    except OSError as error:
        return [f"the exchange does not tell its metrics: {error}"]
    counts = {"auction_pings": ("pings", "outcome"), "auction_leads": ("posts", "state")}
    lines = []
    for one in families:
        if one.name in counts:
            what, label = counts[one.name]
            totals = Counter[str]()
            for sample in one.samples:
                if sample.name.endswith("_total"):
                    totals[sample.labels[label]] += int(sample.value)
            shown = (f"{count} {name}" for name, count in totals.most_common() if count)
            lines.append(f"{what}: {', '.join(shown) or 'none'}")
    return lines


def _show(load: Load, goals: Goals, results: Results, uses: list[Use], outcomes: list[str]) -> int:
    """Prints how it went; then the exit code."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    rows = rows_of(results.counted, load.shape)
    console.print(table_of(rows, goals))
    console.print(uses_table(uses))
    console.print(
        f"busiest second: {counted(busiest_second(results.counted), 'request')}; {'; '.join(outcomes)}"
    )
    cores = {BUYERS: 1, SELLERS: load.processes}
    for use in uses:
        if use.name in cores and use.busiest_cpu >= BUSY * cores[use.name]:
            console.print(
                f"[yellow]{use.name} kept their cores busy: times may be theirs, not the exchange's[/yellow]"
            )
    console.print(f"report: {load.report}")
    for fault in results.faults:
        console.print(f"failed {counted(fault.times, 'time')}: {fault.name}: {fault.why}", markup=False)
    exchange = next(use for use in uses if use.name == EXCHANGE)
    sentences = missed(rows, goals, exchange.last_mb - exchange.first_mb)
    for sentence in sentences:
        console.print(f"missed: {sentence}", markup=False)
    return 1 if sentences else 0


if __name__ == "__main__":
    main()
