"""`auction return` and `auction refused`: an operator takes a lead back, and sees what could not be taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from auction.reports.reporting import ReportRefused
from auction.reports.returning import DAY_MS
from tests.cli.conftest import Run
from tests.house import NOON_MS
from tests.reports.test_reporting import CAPS, compared, order, sold, tell, used

Stores = Callable[..., Any]
FREES = {"days": 5, "share": "50%", "frees_cap": True}


@pytest.fixture
def stores(tmp_path: Path, emptied_valkey: str, ledger_url: str, auction: Run) -> Stores:
    """Runs a command on the house's stores, beside it, at the house's time."""

    async def run(*arguments: str, counters: bool = True, **environ: str) -> Result:
        where = ["--data-dir", str(tmp_path), "--database-url", ledger_url]
        if counters:
            where += ["--redis-url", emptied_valkey]
        return await asyncio.to_thread(auction, *arguments, *where, **environ)

    return run


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command's clock is the house's."""
    monkeypatch.setattr("auction.cli.returning.SystemClock", lambda offset_ms: NoonClock())


class NoonClock:
    def now_ms(self) -> int:
        return NOON_MS + 1_000


async def test_a_lead_is_taken_back_by_hand(open_test_house: Any, stores: Stores, at_noon: None) -> None:
    house = await open_test_house([order("a", 30, returns=FREES), order("b", 20, returns=FREES)])
    first, second = await sold(house), await sold(house, sub_id="2")
    done = await stores("return", first, "--reason", "wrong_number", "--by", "olga")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"lead {first} is returned: returned by a; 30.00 credited, payout 0.00 USD\n"
    assert await used(house) == [1, 30_000_000]
    assert (await compared(house)).differences == []
    again = await stores("return", first, "--reason", "wrong_number")
    assert again.stdout == f"lead {first} was returned by a already\n"
    full = await stores("return", second, "--reason", "duplicate")
    assert full.exit_code == 2
    assert full.stderr == "Order a may return 50% of what it bought in 5 days.\n"
    forced = await stores("return", second, "--reason", "duplicate", "--force", "--order", "a")
    assert forced.exit_code == 0
    assert await used(house) == [0, 0]
    shown = (await stores("lead", first, counters=False)).stdout
    for told in (
        "operator olga",
        "returned 2026-01-01T12:00:01",
        "wrong_number",
        "its place in the caps is free",
    ):
        assert told in shown, shown
    _, view = await house.get(f"/leads/{first}")
    assert view["history"][-1]["by"] == "operator", "a seller is not told who sat there"
    nothing = await stores("refused", counters=False)
    assert nothing.stdout == "no postback was refused\n", "an operator saw it at once"


async def test_what_has_no_terms_is_returned_by_force_alone(
    open_sqlite_house: Any, tmp_path: Path, sqlite_ledger: str, auction: Run, at_noon: None
) -> None:
    house = await open_sqlite_house([order("a", 30), order("b", 20, caps=CAPS)])
    lead_id = await sold(house)
    where = ["--data-dir", str(tmp_path), "--database-url", sqlite_ledger]

    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(auction, "return", *arguments, *where)

    for arguments, said in (
        ((lead_id, "--reason", "old"), "Order a allows no returns.\n"),
        (
            (lead_id, "--reason", "old", "--order", "b"),
            f"Lead {lead_id} was not offered to that order, but to a.\n",
        ),
        ((lead_id, "--reason", "Ann Lee"), "--reason is one word such as wrong_number; was 'Ann Lee'\n"),
    ):
        refused = await run(*arguments)
        assert (refused.exit_code, refused.stderr) == (2, said)
    forced = await run(lead_id, "--reason", "old", "--force")
    assert forced.exit_code == 0, forced.output
    assert await used(house) == [1, 30_000_000], "no terms free its cap"


async def test_counters_that_are_away_undo_nothing(
    open_sqlite_house: Any, tmp_path: Path, sqlite_ledger: str, auction: Run, at_noon: None
) -> None:
    house = await open_sqlite_house([order("a", 30, returns={"days": 5, "frees_cap": True})])
    lead_id = await sold(house)
    where = ["--data-dir", str(tmp_path), "--database-url", sqlite_ledger]
    nobody = ["--redis-url", f"unix://{tmp_path}/nobody"]
    done = await asyncio.to_thread(auction, "return", lead_id, "--reason", "old", *where, *nobody)
    assert done.exit_code == 0
    assert "so its place in the caps stays taken" in done.stderr
    assert await used(house) == [1, 30_000_000]
    house.clock.move(60_000)
    await compared(house, repair=True)
    assert await used(house) == [0, 0]


async def test_what_was_refused_is_listed(open_test_house: Any, stores: Stores) -> None:
    house = await open_test_house([order("a", 30, returns=FREES), order("b", 20)])
    lead_id = await sold(house)
    house.clock.move(6 * DAY_MS)
    for status, lead in (
        ("returned", lead_id),
        ("rejected", lead_id),
        ("rejected", lead_id),
        ("delivered", "x"),
    ):
        with pytest.raises(ReportRefused):
            await tell(house, status, lead)
        house.clock.move(1_000)
    listed = (await stores("refused", counters=False)).stdout
    lines = listed.splitlines()
    assert len(lines) == 4
    for line, told in zip(
        lines[1:], ("unknown_lead", "impossible_status", "return_window_over"), strict=True
    ):
        assert told in line
        assert "a-co" in line
    assert "(none of ours)" in lines[1]
    found = (await stores("refused", "--json", "--buyer", "a-co", counters=False)).stdout.splitlines()
    shown = [msgspec.json.decode(line) for line in found]
    assert [(one["lead_id"], one["code"], one["times"]) for one in shown] == [
        (None, "unknown_lead", 1),
        (lead_id, "impossible_status", 2),
        (lead_id, "return_window_over", 1),
    ]
    assert (await stores("refused", "--buyer", "b-co", counters=False)).stdout == "no postback was refused\n"
