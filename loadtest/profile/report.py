"""What a profile says, as JSON and as tables."""

from __future__ import annotations

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from loadtest.bench.machine import Machine
from loadtest.profile.account import Part


class Profile(msgspec.Struct):
    """One profile. CPU is of one request (`scenario`: ping or post), in µs, where nobody looked."""

    machine: Machine
    scenario: str
    requests: int
    cpu_us: float
    cpu_us_under_samples: float
    others_us: float
    """Of `cpu_us`, what threads other than the loop's took."""
    kernel_share: float
    valkey_us: float
    per_second: float
    samples: int
    stages: list[Part]
    functions: list[Part]
    symbols: list[Part]
    notes: list[str]
    seconds: float = 0.0

    def as_json(self) -> bytes:
        """The whole of it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def show(profile: Profile, console: Console) -> None:
    """Tables, and how they are to be read."""
    what = profile.scenario
    console.print(_table(f"Where the CPU of a {what} goes", "stage", "what it is", profile.stages))
    console.print(_table("Functions by self time", "function (file)", "stage", profile.functions))
    if profile.symbols:
        console.print(
            _table("Innermost frames, C as well (rougher)", "symbol (library)", "", profile.symbols)
        )
    console.print(
        f"{profile.cpu_us:.0f} µs of CPU per {what} ({profile.requests} of them, {profile.per_second:.0f}/s), "
        f"{profile.kernel_share:.0%} of it in the kernel, {profile.others_us:.0f} µs on other threads than the "
        f"loop's; Valkey, a process of its own: {profile.valkey_us:.0f} µs.",
        highlight=False,
    )
    console.print(
        f"Shares are from {profile.samples} samples; under them a {what} cost {profile.cpu_us_under_samples:.0f} µs.",
        highlight=False,
    )
    for note in profile.notes:
        console.print(f"- {note}", markup=False, highlight=False)


def _table(title: str, name: str, note: str, parts: list[Part]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column(name, overflow="fold")
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("µs", justify="right", no_wrap=True)
    if note:
        table.add_column(note, style="dim")
    for part in parts:
        table.add_row(part.name, f"{part.share:.1%}", f"{part.cpu_us:.1f}", *([part.note] if note else []))
    return table
