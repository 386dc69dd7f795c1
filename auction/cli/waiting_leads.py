"""`auction waiting`: leads that nobody buys yet, when each is auctioned again, and until when it waits."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table

from auction.cli.options import open_ledger, settings_of, store_flags
from auction.clock import SystemClock
from auction.ledger.records import WaitingLead
from auction.ledger.waiting import count_waiting, waiting_leads
from auction.ping.offer import iso_utc

MOST_SHOWN = 10_000
FILE_WIDTH = 1_000


class Shown(msgspec.Struct, frozen=True):
    """One line of `auction waiting --json`."""

    lead_id: str
    campaign: str
    seller: str
    since: str
    tries: int
    next_at: str
    until: str
    test: bool


@click.command()
@click.option("--campaign", metavar="ID", help="Only those of this campaign.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@store_flags
def waiting(campaign: str | None, as_json: bool, **flags: object) -> None:
    """List leads that wait for a buyer, the oldest first.

    Nobody buys them yet. Each is auctioned again, sooner where terms change, hours open or a cap begins anew, and is
    refused when the time is over that its campaign gives it (pending_hours). Nobody has to do anything.
    """
    settings = settings_of(**flags)
    with open_ledger(settings) as engine, engine.connect() as conn:
        found = waiting_leads(conn, MOST_SHOWN + 1, campaign)
        in_all = count_waiting(conn)
    now_ms = SystemClock(settings.clock_offset_ms).now_ms()
    shown = [_shown(lead, now_ms) for lead in found[:MOST_SHOWN]]
    if as_json:
        for one in shown:
            click.echo(msgspec.json.encode(one))
    elif shown:
        _print(shown)
    else:
        click.echo("no lead waits for a buyer")
    if len(found) > MOST_SHOWN:
        click.echo(f"only the oldest {MOST_SHOWN:,} are shown, of {in_all:,} that wait in all", err=True)


def _shown(lead: WaitingLead, now_ms: int) -> Shown:
    return Shown(
        lead_id=lead.lead_id,
        campaign=lead.campaign,
        seller=lead.seller,
        since=iso_utc(lead.created_at_ms),
        tries=lead.tries,
        next_at=iso_utc(max(lead.next_at_ms, now_ms)),  # one that is due is next
        until=iso_utc(lead.until_ms),
        test=lead.test,
    )


def _print(shown: Sequence[Shown]) -> None:
    columns = ("lead", "campaign", "seller", "since", "tries", "next try", "until")
    table = Table(*columns, box=None, pad_edge=False)
    for one in shown:
        table.add_row(
            f"{one.lead_id} (test)" if one.test else one.lead_id,
            one.campaign,
            one.seller,
            one.since,
            str(one.tries),
            one.next_at,
            one.until,
        )
    (Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)).print(table, markup=False)
