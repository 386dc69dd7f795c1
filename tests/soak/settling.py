"""Settles what nobody knew, as an operator would who asked the buyers: by `auction settle`, from their own logs.

Where the house has no such command, nothing is settled: what is unknown stays so, and is counted.

Run as a program it settles many, each by a run of the command: to start a Python for each would take longer than the
soak.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping

import msgspec
from click.testing import CliRunner

from auction.cli import COMMANDS, main
from tests.faults.history import Ledger, Received
from tests.soak.stack import ROOT

WITHIN_S = 120.0
Offer = tuple[str, str]
"""A lead, and an order that it was offered to."""


def unknown_offers(ledger: Ledger) -> frozenset[Offer]:
    """Of every lead, the orders whose answer nobody heard."""
    return frozenset((offer.lead_id, offer.order_id) for offer in ledger.offers if offer.state == "unknown")


def truth_of(received: Iterable[Received], offers: Iterable[Offer]) -> dict[Offer, str]:
    """What the buyers' own logs say of these offers."""
    accepted = {(one.lead_id, one.order) for one in received if one.accepted}
    return {offer: "accepted" if offer in accepted else "rejected" for offer in offers}


def has_command(name: str) -> bool:
    """Whether the house has this command."""
    return name in COMMANDS


async def settle_all(
    environ: Mapping[str, str], verdicts: Mapping[Offer, str]
) -> tuple[dict[Offer, str], list[str]]:
    """Tells the house what the buyers said: what was settled so, and what it refused, a sentence each."""
    wanted = [(*offer, verdict) for offer, verdict in sorted(verdicts.items())]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.soak.settling"),
        cwd=ROOT,
        env={**os.environ, **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(msgspec.json.encode(wanted)), WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.communicate()
        return {}, [f"{len(wanted)} offers were not settled within {WITHIN_S:g} s"]
    settled: dict[Offer, str] = {}
    refused: list[str] = []
    for (lead_id, order, verdict), (code, told) in zip(
        wanted, msgspec.json.decode(said, type=list[tuple[int, str]]), strict=True
    ):
        if code == 0:
            settled[lead_id, order] = verdict
        else:
            refused.append(
                f"auction settle {lead_id} {order} {verdict}: exit code {code}, {told.strip()[-300:]}"
            )
    return settled, refused


def _settle_each(wanted: list[tuple[str, str, str]]) -> list[tuple[int, str]]:
    told = []
    for words in wanted:
        result = CliRunner().invoke(main, ["settle", *words])
        broken = result.exception is not None and not isinstance(result.exception, SystemExit)
        told.append((result.exit_code, repr(result.exception) if broken else result.output))
    return told


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=list[tuple[str, str, str]])
    sys.stdout.buffer.write(msgspec.json.encode(_settle_each(asked)))
