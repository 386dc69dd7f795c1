"""`auction explain` and `auction lead`: one auction, one lead, in full."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from auction.changes.applying import stored_catalogue
from auction.cli.options import open_ledger, settings_of, store_flags
from auction.cli.postbacks import endpoints_of, postback_table, shown_postback
from auction.errors import OperatorError
from auction.ledger.lead_queries import find_lead, find_lead_by_ping, lead_history_of, offers_of, sales_of
from auction.ledger.pings import find_ping
from auction.ledger.postbacks import list_postbacks
from auction.ledger.records import PingRow, Sale
from auction.market.market import compile_market
from auction.market.money import to_text
from auction.ping.explain import Explained, routed
from auction.ping.explain import explain as explain_ping
from auction.ping.offer import iso_utc

FILE_WIDTH = 1_000
MOST_POSTBACKS = 100


@click.command()
@click.argument("ping_id")
@store_flags
def explain(ping_id: str, **flags: object) -> None:
    """Show one auction, and for every order why it won or not.

    An order was not asked, or asked and failed, or answered and was refused: each with its reason.
    """
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        row, orders = explained(conn, ping_id)
    print_ping(_console(), row, orders)


@click.command()
@click.argument("lead_id")
@store_flags
def lead(lead_id: str, **flags: object) -> None:
    """Show one lead's whole life: states, offers, sales, and what its seller was told.

    LEAD_ID may also be the id of its ping. Nothing is shown that names the person.
    """
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        print_lead(_console(), conn, lead_id)


def explained(conn: Connection, ping_id: str) -> tuple[PingRow, list[Explained]]:
    """A ping's row and what became of every order, on the market it was traded on. Raises `OperatorError`."""
    row = find_ping(conn, ping_id)
    if row is None:
        raise OperatorError("unknown_ping", f"there is no ping {ping_id!r} in this ledger")
    _, catalogue, _ = stored_catalogue(conn, row.market_version)
    campaign = compile_market(catalogue, row.market_version).campaigns[row.campaign]
    return row, explain_ping(row, campaign)


def print_ping(console: Console, row: PingRow, orders: Sequence[Explained]) -> None:
    """The auction as a table."""
    outcome = (
        f"offer, payout {to_text(row.payout_micros)}" if row.status == "offer" else f"no bid ({row.reason})"
    )
    console.print(f"[bold]ping {row.ping_id}[/bold]  {row.campaign}  from {row.seller}  {iso_utc(row.at_ms)}")
    console.print(f"{outcome}; own time {row.own_us / 1000:.2f} ms, buyers {row.wait_us / 1000:.1f} ms")
    if (route := routed(row)) is not None:
        console.print(f"lead route: {route}", markup=False)
    lead = ", ".join(f"{name}={value}" for name, value in row.lead.items()) or "(nothing is kept of it)"
    console.print(f"lead: {lead}", markup=False)
    table = Table(
        "order", "buyer", "tier", "outcome", "reason", "price", "ms", "why", box=None, pad_edge=False
    )
    for one in orders:
        table.add_row(
            one.order_id,
            one.buyer_id,
            str(one.tier),
            one.family.value,
            one.reason.value,
            to_text(one.price_micros) if one.price_micros else "",
            f"{one.elapsed_us / 1000:.1f}" if one.elapsed_us else "",
            escape(one.said or ""),
        )
    console.print(table)


def print_lead(console: Console, conn: Connection, lead_id: str) -> None:
    """A lead with its history, offers, sales and postbacks. Raises `OperatorError` for one that is not there."""
    found = find_lead(conn, lead_id) or find_lead_by_ping(conn, lead_id)
    if found is None:
        raise OperatorError("unknown_lead", f"there is no lead {lead_id!r} in this ledger")
    console.print(f"[bold]lead {found.lead_id}[/bold]  {found.campaign}  from {found.seller}")
    console.print(
        f"{found.state}{f' ({found.reason})' if found.reason else ''}, payout {to_text(found.payout_micros)}"
    )
    history = Table("at", "state", "detail", box=None, pad_edge=False)
    for moment in lead_history_of(conn, found.lead_id):
        history.add_row(iso_utc(moment.at_ms), moment.state, escape(_listed(moment.detail)))
    console.print(history)
    offers = Table("offer to", "order", "price", "state", "reason", "ms", box=None, pad_edge=False)
    for offer in offers_of(conn, found.lead_id):
        took_ms = "" if offer.answered_at_ms is None else str(offer.answered_at_ms - offer.sent_at_ms)
        offers.add_row(
            offer.buyer_id,
            offer.order_id,
            to_text(offer.price_micros),
            offer.state,
            escape(offer.reason or ""),
            took_ms,
        )
    console.print(offers)
    sales = Table("sold to", "order", "price", "payout", "margin", "then", box=None, pad_edge=False)
    for sale in sales_of(conn, found.lead_id):
        sales.add_row(
            sale.buyer_id,
            sale.order_id,
            to_text(sale.price_micros),
            to_text(sale.payout_micros),
            to_text(sale.margin_micros),
            escape(_then(sale)),
        )
    console.print(sales)
    endpoints = endpoints_of(conn)
    told = [
        shown_postback(one, endpoints) for one in list_postbacks(conn, MOST_POSTBACKS, lead_id=found.lead_id)
    ]
    if told:
        console.print(postback_table(told))


def _then(sale: Sale) -> str:
    """What became of a sale, in the order in which it was told."""
    told = []
    if sale.delivered_at_ms is not None:
        told.append(f"delivered {iso_utc(sale.delivered_at_ms)}")
    if sale.converted_at_ms is not None:
        value = "" if sale.value_micros is None else f", worth {to_text(sale.value_micros)}"
        told.append(f"converted {iso_utc(sale.converted_at_ms)}{value}")
    if sale.returned_at_ms is not None:
        cap = ", its place in the caps is free" if sale.cap_freed else ""
        told.append(f"returned {iso_utc(sale.returned_at_ms)} ({sale.return_reason}){cap}")
    return "; ".join(told)


def _console() -> Console:
    """As wide as the terminal; into a file or a pipe, as wide as the lines are."""
    return Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)


def _listed(detail: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {_shown(value)}" for name, value in detail.items())


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return str(value)
