"""What scenarios play on: the buyers, our server and the references, each started when it is first wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from auction.market.model import Catalogue
from loadtest.bench import book, certificates, contenders
from loadtest.bench.book import Line
from loadtest.bench.building import BuildError
from loadtest.bench.buyers import Buyers, running_buyers
from loadtest.bench.certificates import Certificates
from loadtest.bench.contenders import OURS, SERVER, Contender
from loadtest.bench.generator import Load, LoadError
from loadtest.bench.machine import Cores, bound_to, cores
from loadtest.bench.rounds import BUYERS, Rounds

ORDERS = 1_000
SMALL = 300
"""Orders of the campaigns that ask other questions: how many there are is hardly felt (see `eligibility`)."""
CONNECTIONS = 16
SILENT = 3
PROBED_AT = 0.6
"""Where the cost of a ping that comes by itself is taken: the share of what 16 connections get through."""
MOST_WRONG = 0.02
"""A machine that others use makes us late now and then; more than that is no noise."""
LINES = [
    Line("plain-10", ORDERS, plain=10),
    Line("tls-10", ORDERS, tls=10),
    Line("silent-3", SMALL, plain=10 - SILENT, silent=SILENT),
    *(Line(f"plain-{count}", SMALL, plain=count) for count in (1, 5, 20, 50)),
]
"""The campaigns of our server."""
MAIN_LINE = LINES[0]


class Case(msgspec.Struct, frozen=True):
    """One kind of ping: which of our campaigns it is for, and how many buyers take part."""

    name: str
    campaign: str
    buyers: int
    tls: bool = False


MAIN = Case("10 HTTP buyers", "plain-10", 10)


class Pace(msgspec.Struct, frozen=True):
    """How long things last. What a ping costs settles within a second; rounds are repeated for the noise's sake."""

    rounds: int
    round_s: float
    spell_s: float
    """One stretch at a fixed rate, or one pass of what has no rounds."""
    counts: tuple[int, ...]
    """The numbers of buyers between which the cost of one more is sought; each has a campaign."""


FULL = Pace(rounds=3, round_s=2.0, spell_s=5.0, counts=(1, 5, 10, 20, 50))
QUICK = Pace(rounds=2, round_s=0.5, spell_s=1.0, counts=(1, 10, 50))


class Stage:
    """Made by `open_stage`. Whatever it starts ends with it."""

    def __init__(
        self,
        folder: Path,
        pace: Pace,
        stack: ExitStack,
        cores: Cores,
        buyers: Buyers,
        trust: Certificates,
        lines: Sequence[Line],
    ) -> None:
        self.folder = folder
        self.pace = pace
        self.cores = cores
        self.buyers = buyers
        self.notes: list[str] = []
        self.rounds: dict[str, list[dict[str, Any]]] = {}
        self._stack = stack
        self._trust = trust
        self._lines = lines
        self._running: dict[str, Contender | None] = {}
        self._capacity: float | None = None

    @property
    def ours(self) -> Contender:
        """Our server, with all campaigns of this stage."""
        found = self.contender(OURS)
        assert found is not None
        return found

    def contender(self, name: str) -> Contender | None:
        """The contender of this name; None where it cannot be had, which is noted."""
        if name not in self._running:
            try:
                self._running[name] = self._stack.enter_context(self._start(name))
            except BuildError as error:
                self.notes.append(f"{name} is left out: {error}")
                self._running[name] = None
        return self._running[name]

    def apart(self, line: Line) -> AbstractContextManager[Contender]:
        """Another server of ours, on a market of its own."""
        return contenders.ours(self.folder, self.catalogue([line]), self.cores, f"ours-{line.orders}")

    def catalogue(self, lines: Sequence[Line]) -> Catalogue:
        """A market of these campaigns."""
        return book.catalogue(lines, self.buyers.ports, str(self._trust.ca))

    def load(self, one: Contender, case: Case, *, tmax_ms: int = book.TMAX_MS, keep: bool = False) -> Load:
        """Pings of this case for this contender."""
        pings = one.pings(case.campaign, case.buyers, tls=case.tls, tmax_ms=tmax_ms)
        return Load(one.port, pings, expected=one.expected(case.buyers), watch=self.watched(one), keep=keep)

    def watched(self, one: Contender) -> dict[str, int]:
        """Whose CPU is taken while `one` is measured."""
        return {**one.watch, BUYERS: self.buyers.pid}

    def alternate(self, names: Sequence[str], case: Case, round_s: float | None = None) -> dict[str, Rounds]:
        """Rounds of all of them in turns, with 16 connections each. Raises `LoadError`."""
        found = {name: one for name in names if (one := self.contender(name)) is not None}
        rounds = {name: Rounds(name, [], []) for name in found}
        for _ in range(self.pace.rounds):
            for name, one in found.items():
                before = self.buyers.asked()
                taken = self.load(one, case).closed(CONNECTIONS, round_s or self.pace.round_s)
                rounds[name].taken.append(taken)
                rounds[name].asks_per_ping.append((self.buyers.asked() - before) / taken.sent)
        self.rounds[case.name] = [each.plain() for each in rounds.values()]
        _check(case, rounds)
        return rounds

    def capacity(self) -> float:
        """Pings per second that our server can take from sellers who do not wait for one another.

        Sixteen connections that each wait for an answer make the server's work come in bunches, and a ping in a bunch
        is cheaper than one by itself: the throughput seen there is more than a core can do of pings as they come.
        So it is bounded by what a ping costs at a fixed rate.
        """
        if self._capacity is None:
            closed = self.load(self.ours, MAIN).closed(CONNECTIONS, self.pace.round_s).per_second
            taken = self.load(self.ours, MAIN).at_rate(closed * PROBED_AT, self.pace.round_s)
            self._capacity = min(closed, 1e6 / taken.cpu_us(SERVER))
        return self._capacity

    def _start(self, name: str) -> AbstractContextManager[Contender]:
        if name == OURS:
            return contenders.ours(self.folder, self.catalogue(self._lines), self.cores)
        return contenders.reference(name, self.folder, self.buyers.ports, self._trust.ca, self.cores)


def _check(case: Case, rounds: dict[str, Rounds]) -> None:
    """A figure of a server that did not do the work is worth nothing."""
    for name, each in rounds.items():
        answered = sum(taken.answered for taken in each.taken)
        if not answered or each.wrong > answered * MOST_WRONG:
            raise LoadError(
                f"{case.name}: {each.wrong} of {answered} answers of {name} were wrong: {each.first_wrong}"
            )


@contextmanager
def open_stage(folder: Path, pace: Pace, lines: Sequence[Line] = LINES) -> Iterator[Stage]:
    """A stage with its buyers; `lines` are the campaigns of our server. We ourselves keep off the server's core.

    Raises `BuildError`, `ProcessError`.
    """
    shared = cores()
    with ExitStack() as stack:
        stack.enter_context(bound_to(shared.others))
        trust = certificates.make(folder)
        buyers = stack.enter_context(running_buyers(folder, trust))
        yield Stage(folder, pace, stack, shared, buyers, trust, lines)
