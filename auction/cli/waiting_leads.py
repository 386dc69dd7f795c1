"""`auction waiting`: leads that nobody buys yet, when each is auctioned again, and until when it waits."""

from __future__ import annotations

import click
import msgspec

from auction.cli.listing import AS_JSON, say_cut, show_list
from auction.cli.naming import demand_known
from auction.cli.options import open_ledger, settings_of, store_flags
from auction.clock import SystemClock
from auction.ledger.records import WaitingLead
from auction.ledger.waiting import count_waiting, waiting_leads
from auction.ping.offer import iso_utc

MOST_SHOWN = 10_000
_COLUMNS = ("lead", "campaign", "seller", "since", "tries", "next try", "until")


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
@AS_JSON
@store_flags
def waiting(campaign: str | None, as_json: bool, **flags: object) -> None:
    """List leads that wait for a buyer, the oldest first.

    Nobody buys them yet. Each is auctioned again, sooner where terms change, hours open or a cap begins anew, and is
    refused when the time is over that its campaign gives it (pending_hours). Nobody has to do anything.
    """
    settings = settings_of(**flags)
    with open_ledger(settings) as engine, engine.connect() as conn:
        found = waiting_leads(conn, MOST_SHOWN + 1, campaign)
        demand_known(conn, found, ("campaign", campaign))
        in_all = count_waiting(conn)
    now_ms = SystemClock(settings.clock_offset_ms).now_ms()
    shown = [_shown(lead, now_ms) for lead in found[:MOST_SHOWN]]
    show_list(shown, _COLUMNS, _cells, as_json=as_json, nothing="no lead waits for a buyer")
    say_cut(len(found), MOST_SHOWN, "oldest", f", of {in_all:,} that wait in all")


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


def _cells(one: Shown) -> tuple[str, ...]:
    lead = f"{one.lead_id} (test)" if one.test else one.lead_id
    return (lead, one.campaign, one.seller, one.since, str(one.tries), one.next_at, one.until)
