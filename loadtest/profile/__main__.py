"""Where the CPU of a request goes, stage by stage.  python -m loadtest.profile [--post | --https] [--native]

The benchmark's own server and load (1,000 orders, 10 of them match, 10 HTTP buyers, 16 connections), first for what
a request costs, then under py-spy's samples for where that goes, then for a flame graph. Under a minute.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from loadtest.bench.building import BuildError
from loadtest.bench.contenders import SERVER, VALKEY
from loadtest.bench.generator import LoadError
from loadtest.bench.machine import this_machine
from loadtest.bench.scenarios.https import CASE as HTTPS
from loadtest.bench.sold import offers, posts_of
from loadtest.bench.stage import CONNECTIONS, FULL, LINES, MAIN, QUICK, Case, Stage, open_stage
from loadtest.bench.taken import Taken
from loadtest.processes import ProcessError
from loadtest.profile.account import Costs, by_function, by_stage, by_symbol, unplaced
from loadtest.profile.clocks import Clocks, read_clocks
from loadtest.profile.report import Profile, show
from loadtest.profile.sampling import Samples, SamplingError, read_samples, sampling

PING, POST, HTTPS_PING = "ping", "post", "ping to HTTPS buyers"
CASES: dict[str, Case] = {PING: MAIN, POST: MAIN, HTTPS_PING: HTTPS}
PLAIN_S, SAMPLED_S, NATIVE_S, DRAWN_S = 4.0, 20.0, 12.0, 7.0
OFFERS_S = 0.4
"""How long offers are gathered for one second of posts: some are left over, rather than too few."""
Spell = Callable[[], Taken]


@click.command(context_settings={"show_default": True})
@click.option("--post", "of_post", is_flag=True, help="Of a post, not of a ping.")
@click.option("--https", "over_tls", is_flag=True, help="Of a ping to buyers over TLS.")
@click.option("--native", is_flag=True, help="Frames of C code as well: slower, rougher, some 15 s more.")
@click.option("--report", "path", type=click.Path(path_type=Path), default=Path("report/profile.json"),
              help="Where the figures are saved as JSON; the flame graph goes beside it, as SVG.")  # fmt: skip
@click.option("--quick", is_flag=True, help="A tenth of the time: rough shares.")
def main(of_post: bool, over_tls: bool, native: bool, path: Path, quick: bool) -> None:
    """Show where the CPU of a ping (or post) goes, by stage and by function, and draw it."""
    if sys.platform != "linux":
        raise click.ClickException("the profile reads CPU clocks of threads as Linux has them; run it there")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    console = Console()
    path.parent.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    if of_post and over_tls:
        raise click.UsageError("--post and --https are two profiles; ask for one at a time")
    scenario = POST if of_post else HTTPS_PING if over_tls else PING
    pace = 1 / 10 if quick else 1.0
    lines = [line for line in LINES if line.id == CASES[scenario].campaign]
    with tempfile.TemporaryDirectory(prefix="profile-", dir=path.parent) as folder:
        try:
            with open_stage(Path(folder), QUICK if quick else FULL, lines) as stage:
                if over_tls and not stage.buyers.ports.tls:
                    raise LoadError("the buyers were built without OpenSSL: there is none to ask over TLS")
                profile = _Profiling(stage, scenario, Path(folder), pace).run(
                    native, path.with_suffix(".svg")
                )
        except (BuildError, LoadError, ProcessError, SamplingError, OSError) as error:
            raise click.ClickException(str(error)) from None
    profile.seconds = round(time.monotonic() - began_s, 1)
    path.write_bytes(profile.as_json())
    show(profile, console)
    console.print(f"{profile.seconds:.0f} s; saved as {path} and {path.with_suffix('.svg')}", highlight=False)


class _Profiling:
    """One profile. `pace` makes all spells shorter."""

    def __init__(self, stage: Stage, scenario: str, folder: Path, pace: float) -> None:
        self._stage = stage
        self._scenario = scenario
        self._folder = folder
        self._pace = pace
        self._pid = stage.ours.watch[SERVER]

    def run(self, native: bool, svg: Path) -> Profile:
        """Raises `LoadError`, `SamplingError`."""
        self._spell(1.0)()  # connections opened, memory taken
        taken, clocks = self._plain()
        costs = _costs(taken, clocks, self._pid)
        samples, sampled = self._sampled(SAMPLED_S)
        symbols = by_symbol(self._sampled(NATIVE_S, native=True)[0], costs) if native else []
        spell, drawn = self._spell(DRAWN_S), self._folder / "flames.svg"
        with sampling(self._pid, drawn, svg=True):
            spell()
        shutil.move(drawn, svg)
        notes = (
            [f"{wrong} answers were wrong: {taken.first_wrong[:200]!r}"]
            if (wrong := taken.wrong.total())
            else []
        )
        if files := unplaced(samples):
            notes.append(f"In no stage of loadtest/profile/stages.py: {', '.join(files)}")
        return Profile(
            machine=this_machine(),
            scenario=self._scenario,
            requests=taken.answered,
            cpu_us=costs.whole_us,
            cpu_us_under_samples=sampled.cpu_us(SERVER),
            others_us=costs.others_us,
            kernel_share=clocks.kernel_share,
            valkey_us=taken.cpu_us(VALKEY) if VALKEY in taken.cpu_s else 0.0,
            per_second=taken.per_second,
            samples=samples.total(),
            stages=by_stage(samples, costs),
            functions=by_function(samples, costs),
            symbols=symbols,
            notes=notes,
        )

    def _plain(self) -> tuple[Taken, Clocks]:
        spell, before = self._spell(PLAIN_S), read_clocks(self._pid)
        taken = spell()
        return taken, read_clocks(self._pid).since(before)

    def _sampled(self, seconds: float, *, native: bool = False) -> tuple[Samples, Taken]:
        spell, raw = self._spell(seconds), self._folder / f"samples-{native}.txt"
        with sampling(self._pid, raw, native=native):
            taken = spell()
        samples = read_samples(raw)
        if not samples:
            raise SamplingError("py-spy saw the server do nothing at all")
        return samples, taken

    def _spell(self, seconds: float) -> Spell:
        """So many seconds of load, made ready: what it needs before it does not count."""
        seconds *= self._pace
        stage = self._stage
        if self._scenario != POST:
            return lambda: stage.load(stage.ours, CASES[self._scenario]).closed(CONNECTIONS, seconds)
        posts = posts_of(stage, offers(stage, max(0.5, seconds * OFFERS_S)))
        return lambda: posts.closed(CONNECTIONS, seconds)


def _costs(taken: Taken, clocks: Clocks, pid: int) -> Costs:
    """The process's CPU per request, by what the threads' own clocks say of its parts."""
    main_share = clocks.threads[pid] / sum(clocks.threads.values())
    whole_us = taken.cpu_us(SERVER)
    return Costs(whole_us * main_share, whole_us * (1 - main_share))


if __name__ == "__main__":
    main()
