"""The demo's second act: one lead through each door, on the market of config/doors.yaml.

What is shown are the requests as users of those APIs send them, and the answers as they came.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from loadtest.stack import ROOT, Stack, running_stack

MARKET = ROOT / "config" / "doors.yaml"
BUYERS = ROOT / "config" / "doors-buyers.yaml"
ANN = {"first_name": "Ann", "last_name": "Lee", "phone": "(512) 555-0142", "email": "ann@example.com"}
ESTATE = {"source": "Zillow", "contact_source": "Friend/Family Referral", "side": "Buyer", "zip": "75201"}
MOST_SHOWN = 420


def show_doors(console: Console, folder: Path) -> None:
    """Starts the market with all doors, sends a lead through each, and ends it. Raises `ProcessError`."""
    with running_stack(folder, config=MARKET, buyers=BUYERS) as stack:
        asyncio.run(_Doors(stack, console).all())


class _Doors:
    """One who speaks all of the APIs."""

    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack = stack
        self._console = console

    async def all(self) -> None:
        """Door by door."""
        async with aiohttp.ClientSession(self._stack.url) as session:
            self._session = session
            await self._routing()
            await self._distribution()
            await self._leads()
            await self._routes()

    async def _routing(self) -> None:
        self._title("The lead routing API: a form's lead, no key")
        lead = {"name": "Ann Lee", "phone": "123456789", "geo": "US", "source": "Facebook"}
        await self._ask("POST", "/api.php", None, lead)
        await self._ask("POST", "/api.php", None, {"phone": "123456789"})

    async def _distribution(self) -> None:
        self._title(
            "The lead distribution API: who is there at what price, and the lead to the buyer that was chosen"
        )
        whose = {"flo_campaign_id": "campaign_abc123", "flo_supplier_id": "supplier_xyz789"}
        key = {"x-api-key": "doors-distro-key"}
        found = await self._ask("POST", "/api/v1/ping", key, {**whose, "state": "TX"})
        chosen = {"ping_id": found["data"]["ping_id"], "buyer_id": found["data"]["buyers"][-1]["buyer_id"]}
        await self._ask("POST", "/api/v1/ingest", key, {**whose, "state": "TX", **ANN, **chosen})

    async def _leads(self) -> None:
        self._title("The leads API: sold, or kept for a buyer who may come")
        key = {"authorization": "Bearer doors-leads-key"}
        lead = {"seller": "ACME1234", "category": "Auto Insurance", "firstName": "Ann", "lastName": "Lee"}
        for state, phone in (("TX", "512-555-0142"), ("WA", "206-555-0142")):
            await self._ask("POST", "/api/leads", key, {**lead, "phone": phone, "state": state})

    async def _routes(self) -> None:
        self._title("Lead routes: Mason bids most, and the lead of this source goes to Hannah's team first")
        await self._ask("GET", "/lead-routes?$limit=1", {"authorization": "Bearer doors-hannah-key"}, None)
        key = {"x-api-key": "doors-leads-key"}
        person = {"name": "Ann Lee", "phone": ANN["phone"]}
        await self._ask("POST", "/direct", key, {"campaign": "zillow-leads", "lead": {**ESTATE, **person}})

    async def _ask(
        self, method: str, path: str, headers: dict[str, str] | None, body: dict[str, Any] | None
    ) -> Any:
        async with self._session.request(method, path, headers=headers, json=body) as response:
            answer = await response.json()
        self._say(f"→ {method} {path}" + ("" if body is None else f"  {json.dumps(body)}"))
        self._say(f"← {response.status} {json.dumps(answer)}")
        return answer

    def _title(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]")

    def _say(self, line: str) -> None:
        shown = line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}…"
        self._console.print(shown, markup=False, highlight=False, soft_wrap=True)
