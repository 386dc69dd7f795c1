"""`auction demo`: the whole house for a minute — real stores, real sockets, mock buyers of very different manners.

It runs the same programs that an operator runs (`auction serve`, `buyers_mock`), sends leads as a seller would, and
reads its summary out of the ledger, so what it shows is what happened.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import click
from rich.console import Console

from auction.cli.demo_doors import show_doors
from auction.cli.demo_summary import print_summary
from auction.cli.explain import explained, print_ping
from auction.errors import OperatorError
from auction.ledger.engine import open_engine
from loadtest.leads import LeadMaker
from loadtest.processes import ProcessError
from loadtest.stack import Stack, running_stack

AT_ONCE = 4
ASKS_MUCH_EVERY, MUCH = 9, 45.00
"""Every so often a seller wants more for a lead than most buyers pay."""
WIDTH = 130
KEYS = {"acme": "demo-acme-key", "brightleads": "demo-brightleads-key", "formfill": "demo-formfill-key"}


@click.command()
@click.option("--leads", type=click.IntRange(5, 5_000), default=80, show_default=True, help="How many leads.")
@click.option("--seed", default=7, show_default=True, help="The same seed sends the same leads.")
def demo(leads: int, seed: int) -> None:
    """Watch real auctions, and a summary of it all.

    Starts an exchange and mock buyers in a temporary folder, sends leads as sellers would, shows the money, what each
    buyer did and one auction in full, sends one lead through each door, and ends by itself in less than a minute.
    """
    console = Console(width=max(WIDTH, Console().width), emoji=False)
    with tempfile.TemporaryDirectory(prefix="auction-demo-") as folder:
        with _demo_stack(Path(folder), seed) as stack:
            console.print(
                f"[bold]{stack.catalogue.exchange.name}[/bold] at {stack.url}, buyers at {stack.mock_url}\n"
            )
            asyncio.run(_Sellers(stack, seed, console).send(leads))
        engine = open_engine(f"sqlite:///{stack.data_dir / 'ledger.sqlite3'}")
        try:
            with engine.connect() as conn:
                shown = print_summary(console, conn)
                console.print("\n[bold]One auction in full[/bold] (auction explain PING_ID)")
                print_ping(console, *explained(conn, shown))
        finally:
            engine.dispose()
        doors = Path(folder) / "doors"
        doors.mkdir()
        with _shown_faults():
            show_doors(console, doors)


@contextmanager
def _demo_stack(folder: Path, seed: int) -> Iterator[Stack]:
    with _shown_faults(), running_stack(folder, seed=seed) as stack:
        yield stack


@contextmanager
def _shown_faults() -> Iterator[None]:
    try:
        yield
    except ProcessError as error:
        raise OperatorError("demo_failed", str(error)) from error


class _Sellers:
    """The demo's sellers: each lead is pinged, and posted if there is an offer."""

    def __init__(self, stack: Stack, seed: int, console: Console) -> None:
        self._stack = stack
        self._console = console
        self._rng = Random(seed)  # noqa: S311  (made-up people)
        self._makers = {
            campaign.id: LeadMaker(campaign.fields, self._rng) for campaign in stack.catalogue.campaigns
        }
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def send(self, leads: int) -> None:
        """All leads, campaign by campaign in turn, a few at once."""
        campaigns = list(self._makers)
        async with aiohttp.ClientSession(self._stack.url) as session:
            drawn = [self._draw(campaigns[number % len(campaigns)]) for number in range(leads)]
            await asyncio.gather(*(self._one(session, number, *lead) for number, lead in enumerate(drawn, 1)))

    def _draw(self, campaign: str) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
        maker = self._makers[campaign]
        open_to = [
            seller.id
            for seller in self._stack.catalogue.sellers
            if not seller.campaigns or campaign in seller.campaigns
        ]
        return self._rng.choice(open_to), campaign, dict(maker.ping_fields()), dict(maker.post_fields())

    async def _one(
        self,
        session: aiohttp.ClientSession,
        number: int,
        seller: str,
        campaign: str,
        known: dict[str, Any],
        person: dict[str, Any],
    ) -> None:
        async with self._gate:
            headers = {"x-api-key": KEYS[seller]}
            ping: dict[str, Any] = {"campaign": campaign, "lead": known, "sub_id": f"demo-{number}"}
            if number % ASKS_MUCH_EVERY == 0:
                ping["floor"] = MUCH
            async with session.post("/ping", json=ping, headers=headers) as response:
                offer, timing = await response.json(), response.headers.get("server-timing", "")
            line = f"{number:3}  {seller:12} {campaign:15} {known.get('state', ''):3}"
            if offer["status"] != "offer":
                why = f"no bid: {offer['reason']}" if response.ok else f"refused: {offer['code']}"
                self._say(f"{line} {why:58} {_times(timing)}")
                return
            post = {"ping_id": offer["ping_id"], "lead": person}
            async with session.post("/post", json=post, headers=headers) as response:
                sale = await response.json()
        what = f"offer {offer['payout']:7.2f} → {sale['status']}"
        if sale["status"] == "sold":
            what += f" {sale['payout']:7.2f} to {', '.join(sale['buyers'])}"
        else:
            what += f" {sale.get('reason') or sale.get('code', '')}"
        self._say(f"{line} {what:58} {_times(timing)}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _times(server_timing: str) -> str:
    """`own 0.8 ms, buyers 45.2 ms` of a `Server-Timing` header."""
    parts = (part.strip().split(";dur=") for part in server_timing.split(","))
    return ", ".join(f"{name} {float(ms):.1f} ms" for name, ms in parts) if server_timing else ""
