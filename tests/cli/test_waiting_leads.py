"""`auction waiting`: leads that wait for a buyer are listed, and `auction pending` says how many there are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from click.testing import Result

from tests.cli.conftest import Run
from tests.house import CAMPAIGN, KEY_HASH
from tests.privacy.planted import tells_number

SELLER = {"id": "acme", "code": "ACME1234", "keys": [KEY_HASH]}
DOOR: dict[str, Any] = {"pending_hours": 2, "doors": {"leads": {"name": "Solar"}}}
ROOFS = {**CAMPAIGN, "id": "roofs", "pending_hours": 5, "doors": {"leads": {"name": "Roofs"}}}
CLOSED = {"id": "a", "buyer": "a-co", "price": {"fixed": 20}, "filter": {"field": "state", "equals": "NY"}}
LEAD = {"seller": "ACME1234", "category": "Solar", "state": "TX", "firstName": "Ann"}


async def test_waiting_leads_are_listed_and_counted_among_what_is_pending(
    tmp_path: Path, open_test_house: Any, ledger_url: str, auction: Run
) -> None:
    async def run(*arguments: str) -> Result:
        where = ["--data-dir", str(tmp_path), "--database-url", ledger_url]
        return await asyncio.to_thread(auction, *arguments, *where)

    house = await open_test_house([CLOSED], {}, campaign=DOOR, sellers=[SELLER], more_campaigns=[ROOFS])
    assert (await run("pending")).stdout == "nothing is pending\n"
    assert (await run("waiting")).stdout == "no lead waits for a buyer\n"

    ids = []
    for number, category in enumerate(("Solar", "Roofs")):
        lead = {**LEAD, "category": category, "phone": f"512-555-010{number}"}
        status, answer = await house.post("/api/leads", lead)
        assert (status, answer["status"]) == (200, "pending")
        ids.append(answer["lead_id"])

    pending = await run("pending")
    assert pending.stdout == "nothing is pending\n2 leads wait for a buyer; `auction waiting` lists them\n"
    in_json = await run("pending", "--json")
    assert (in_json.stdout, in_json.stderr) == ("", pending.stdout.splitlines(keepends=True)[1])

    listed = (await run("waiting")).stdout
    assert [line.split()[:3] for line in listed.splitlines()[1:]] == [
        [ids[0], "solar", "acme"],
        [ids[1], "roofs", "acme"],
    ]
    (line,) = (await run("waiting", "--json", "--campaign", "roofs")).stdout.splitlines()
    one = msgspec.json.decode(line)
    assert (one["lead_id"], one["campaign"], one["tries"], one["test"]) == (ids[1], "roofs", 0, False)
    assert (one["since"], one["until"]) == ("2026-01-01T12:00:00.000Z", "2026-01-01T17:00:00.000Z")
    assert not any(tells_number(line + listed, f"512-555-010{number}") for number in range(10))

    for command, named in (("pending", "`auction waiting`"), ("waiting", "pending_hours")):
        assert named in (await asyncio.to_thread(auction, command, "--help")).stdout
