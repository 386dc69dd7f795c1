"""Who is silent, in the watcher's own time."""

from __future__ import annotations

from auction.ledger.records import Worker
from auction.recovery.vigil import MOST_BEATS, Vigil

LEASE_S = 10.0


def seen(beats: int, name: str = "w") -> Worker:
    return Worker(id=name, host="here", pid=1, started_at_ms=0, beats=beats)


def watched(beats_of: list[int], every_s: float = 1.0) -> list[int]:
    """At which looks the worker was held for silent."""
    vigil = Vigil(LEASE_S, 1.0)
    return [at for at, beats in enumerate(beats_of) if vigil.look([seen(beats)], 1000 + at * every_s)]


def test_a_worker_that_beats_is_never_silent() -> None:
    assert watched(list(range(50))) == []
    assert watched([at // 9 for at in range(100)]) == []


def test_one_that_stops_is_silent_after_a_whole_lease() -> None:
    assert watched([7] * 13) == [10, 11, 12]


def test_it_counts_from_when_it_was_first_seen() -> None:
    vigil = Vigil(LEASE_S, 1.0)
    for at in range(30):
        assert vigil.look([], at) == []
    assert vigil.look([seen(3)], 30) == []
    assert vigil.look([seen(3)], 31) == []


def test_a_watcher_that_slept_gives_everybody_time_to_beat() -> None:
    """Its own sleep, or a ledger that was away for all, is nobody's silence."""
    vigil = Vigil(LEASE_S, 1.0)
    vigil.look([seen(1)], 0)
    assert vigil.look([seen(1)], 3_600) == []
    assert vigil.look([seen(1)], 3_600 + LEASE_S - MOST_BEATS - 1) == []


def test_a_clock_that_jumps_back_harms_nobody() -> None:
    vigil = Vigil(LEASE_S, 1.0)
    for at in (100, 50, 0, 1):
        assert vigil.look([seen(1)], at) == []


def test_each_is_watched_by_itself() -> None:
    vigil = Vigil(LEASE_S, 1.0)
    silent: list[str] = []
    for at in range(12):
        silent = [one.id for one in vigil.look([seen(at, "lives"), seen(0, "dead")], at)]
    assert silent == ["dead"]
