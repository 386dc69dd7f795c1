"""`auction demo`: real auctions from beginning to end, and nothing left of them."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from auction.catalogue.writing import write_catalogue
from auction.changes.applying import read_files
from auction.cli import demo_doors
from tests.cli.conftest import Run


def patient(market: Path, folder: Path) -> Path:
    """The same market, in which a machine that is busy is waited for."""
    read = read_files([market])
    buyers = tuple(replace(one, timeout_ms=10_000) for one in read.buyers)
    campaigns = tuple(replace(one, auction=replace(one.auction, tmax_ms=10_000)) for one in read.campaigns)
    path = folder / market.name
    path.write_text(write_catalogue(replace(read, buyers=buyers, campaigns=campaigns)))
    return path


def test_it_shows_leads_money_buyers_and_one_auction_in_full(
    auction: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    doors = patient(demo_doors.MARKET, tmp_path_factory.mktemp("doors"))
    monkeypatch.setattr(demo_doors, "MARKET", doors)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    result = auction("demo", "--leads", "15", AUCTION_COUNTERS_TIMEOUT_MS="5000")
    assert result.exit_code == 0, result.stderr
    told = result.stdout
    assert len(re.findall(r"^ *\d+  (acme|brightleads|formfill) ", told, re.MULTILINE)) == 15
    assert "→ sold" in told
    for campaign in ("auto-insurance", "home-security", "personal-loans", "roofing", "solar-us"):
        assert re.search(rf"│ {campaign} +│ +3 │", told), f"three leads of {campaign}"
    for buyer in ("sunrise", "voltera", "stormshield"):
        assert f"│ {buyer} " in told
    assert re.search(r"own time per ping: p50 \d+\.\d\d ms", told)
    explained, _, at_doors = told.partition("One auction in full")[2].partition("The lead routing API")
    assert re.search(r"\bwon +won\b", explained)
    answers = re.findall(r"^← (\d+) (.*)$", at_doors, re.MULTILINE)
    assert [status for status, _ in answers] == ["200", "422", "200", "200", "200", "200", "200", "200"]
    for (_, answer), word in zip(
        answers,
        ("accepted", "missing_fields", "MATCHED", '"buyer_def"', "sold", "pending", '"total": 2', '"otis"'),
        strict=True,
    ):
        assert word in answer
    assert list(folder.iterdir()) == []
    listed = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True)
    assert str(folder) not in listed.stdout


def test_a_stack_that_does_not_start_is_said_in_words(auction: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    result = auction("demo")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("/bin/false -m buyers_mock")
    assert "ended with 1 before" in result.stderr
