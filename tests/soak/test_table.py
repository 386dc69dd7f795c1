"""The soak's table says whether the run was good, and what was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tests.faults.checker import Verdict
from tests.soak.table import Outcome, save, shown


def outcome(**changes: Any) -> Outcome:
    plain: dict[str, Any] = {
        "run": {"seed": 7},
        "verdict": Verdict({"leads": 12, "answered": 11}, {"lost": [], "sold twice": []}),
        "problems": [],
        "struck": {"worker kill": 3},
        "link_faults": {},
        "requests": {"posts: 200 sold": 9},
        "stack": {"house started": 2},
    }
    return Outcome(**plain | changes)


def test_a_good_run() -> None:
    assert outcome().good
    lines = shown(outcome()).splitlines()
    assert "processes struck: worker kill 3" in lines
    assert "faults on links: none" in lines
    assert ["answered", "11"] in [line.split() for line in lines]
    assert ["lost", "0"] in [line.split() for line in lines]
    assert lines[-1] == "nothing lost, nothing sold twice, no cap passed"


def test_a_bad_run_names_its_cases_and_not_too_many(tmp_path: Path) -> None:
    verdict = Verdict({"leads": 12}, {"lost": [f"lead {number}" for number in range(30)], "sold twice": []})
    bad = outcome(verdict=verdict)
    assert not bad.good
    told = shown(bad)
    assert told.endswith("FAILED")
    assert "lead 9\n" in told
    assert "lead 10\n" not in told
    assert "… and 20 more" in told
    save(bad, tmp_path / "soak.json")
    kept = msgspec.json.decode((tmp_path / "soak.json").read_bytes())
    assert len(kept["verdict"]["forbidden"]["lost"]) == 30


def test_a_process_that_did_what_it_must_not_makes_a_run_bad() -> None:
    bad = outcome(problems=["a stop took longer than 20 s"])
    assert not bad.good
    assert "a stop took longer" in shown(bad)
