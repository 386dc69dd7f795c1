"""Settles what nobody knew, as an operator would who asked the buyers: by `auction settle`, from their own logs.

Where the house has no such command, nothing is settled: what is unknown stays so, and is counted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping

from auction.cli import main
from tests.faults.history import Ledger, Received
from tests.soak.stack import ROOT

AT_ONCE = 4
WITHIN_S = 30.0


def unknown_offers(ledger: Ledger) -> frozenset[tuple[str, str]]:
    """Of every lead, the orders whose answer nobody heard."""
    return frozenset((offer.lead_id, offer.order_id) for offer in ledger.offers if offer.state == "unknown")


def truth_of(received: Iterable[Received], offers: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """What the buyers' own logs say of these offers."""
    accepted = {(one.lead_id, one.order) for one in received if one.accepted}
    return {offer: "accepted" if offer in accepted else "rejected" for offer in offers}


def has_command(name: str) -> bool:
    """Whether the house has this command."""
    return name in main.commands


async def settle_all(
    environ: Mapping[str, str], verdicts: Mapping[tuple[str, str], str]
) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Tells the house what the buyers said: what was settled so, and what it refused, a sentence each."""
    places = asyncio.Semaphore(AT_ONCE)
    settled: dict[tuple[str, str], str] = {}
    refused: list[str] = []

    async def one(offer: tuple[str, str], verdict: str) -> None:
        async with places:
            lead_id, order = offer
            code, said = await command(environ, "settle", lead_id, order, verdict)
            if code == 0:
                settled[offer] = verdict
            else:
                refused.append(f"auction settle {lead_id} {order} {verdict}: {code}, {said.strip()[-300:]}")

    await asyncio.gather(*(one(offer, verdict) for offer, verdict in sorted(verdicts.items())))
    return settled, refused


async def command(environ: Mapping[str, str], *words: str) -> tuple[int, str]:
    """`auction WORDS` with these settings: exit code, and all that it said. One that hangs is ended: code -9."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "auction", *words),
        cwd=ROOT,
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
    except TimeoutError:
        process.kill()
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace")
