"""`auction explain` and `auction lead`: one auction, one lead, in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from sqlalchemy import Connection

from auction.changes.applying import stored_catalogue
from auction.cli.listing import console, show_line, show_table
from auction.cli.naming import id_hint, lead_named
from auction.cli.options import open_ledger, settings_of, store_flags
from auction.cli.postbacks import COLUMNS, cells_of, endpoints_of, shown_postback
from auction.errors import OperatorError
from auction.ledger.lead_queries import find_lead, find_lead_by_key, lead_history_of, offers_of, sales_of
from auction.ledger.pings import find_ping
from auction.ledger.postbacks import list_postbacks
from auction.ledger.records import Lead, Offer, PingRow, Sale
from auction.market.market import compile_market
from auction.market.money import to_text
from auction.ping.explain import Explained, routed
from auction.ping.explain import explain as explain_ping
from auction.ping.offer import iso_utc

MOST_POSTBACKS = 100
_ORDERS = ("order", "buyer", "tier", "outcome", "reason", "price", "ms", "why")
_HISTORY = ("at", "state", "detail")
_OFFERS = ("offer to", "order", "price", "state", "reason", "ms")
_SALES = ("sold to", "order", "price", "payout", "margin", "then")


@click.command()
@click.argument("ping_id")
@store_flags
def explain(ping_id: str, **flags: object) -> None:
    """Show one auction, and for every order why it won or not.

    An order was not asked, or asked and failed, or answered and was refused: each with its reason. PING_ID may also be
    the id of its lead.
    """
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        row, orders = explained(conn, ping_id)
        posted = find_lead_by_key(conn, row.ping_id)
    to = console()
    print_ping(to, row, orders)
    if posted is not None:
        show_line(to, f"posted: lead {posted.lead_id} is {_standing(posted)}")


@click.command()
@click.argument("lead_id")
@store_flags
def lead(lead_id: str, **flags: object) -> None:
    """Show one lead's whole life: states, offers, sales, and what its seller was told.

    LEAD_ID may also be the id of its ping. Nothing is shown that names the person.
    """
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        print_lead(console(), conn, lead_id)


def explained(conn: Connection, ping_id: str) -> tuple[PingRow, list[Explained]]:
    """A ping's row and what became of every order, on the market it was traded on. Raises `OperatorError`."""
    row = find_ping(conn, ping_id)
    if row is None and (lead := find_lead(conn, ping_id)) is not None:
        ping_id = lead.ping_id
        row = find_ping(conn, ping_id)
    if row is None:
        raise OperatorError("unknown_ping", f"there is no ping {ping_id!r} in this ledger{id_hint(ping_id)}")
    _, catalogue, _ = stored_catalogue(conn, row.market_version)
    campaign = compile_market(catalogue, row.market_version).campaigns[row.campaign]
    return row, explain_ping(row, campaign)


def print_ping(to: Console, row: PingRow, orders: Sequence[Explained]) -> None:
    """The auction as a table."""
    outcome = (
        f"offer, payout {to_text(row.payout_micros)}" if row.status == "offer" else f"no bid ({row.reason})"
    )
    to.print(f"[bold]ping {row.ping_id}[/bold]  {row.campaign}  from {row.seller}  {iso_utc(row.at_ms)}")
    to.print(f"{outcome}; own time {row.own_us / 1000:.2f} ms, buyers {row.wait_us / 1000:.1f} ms")
    if (route := routed(row)) is not None:
        show_line(to, f"lead route: {route}")
    lead = ", ".join(f"{name}={value}" for name, value in row.lead.items()) or "(nothing is kept of it)"
    show_line(to, f"lead: {lead}")
    show_table(to, _ORDERS, map(_order, orders))


def print_lead(to: Console, conn: Connection, lead_id: str) -> None:
    """A lead with its history, offers, sales and postbacks. Raises `OperatorError` for one that is not there."""
    found = lead_named(conn, lead_id)
    to.print(f"[bold]lead {found.lead_id}[/bold]  {found.campaign}  from {found.seller}")
    show_line(to, f"{_standing(found)}, payout {to_text(found.payout_micros)}")
    moments = lead_history_of(conn, found.lead_id)
    show_table(to, _HISTORY, ((iso_utc(one.at_ms), one.state, _listed(one.detail)) for one in moments))
    if offers := offers_of(conn, found.lead_id):
        show_table(to, _OFFERS, map(_offer, offers))
    if sales := sales_of(conn, found.lead_id):
        show_table(to, _SALES, map(_sale, sales))
    if told := list_postbacks(conn, MOST_POSTBACKS, lead_id=found.lead_id):
        endpoints = endpoints_of(conn)
        show_table(to, COLUMNS, (cells_of(shown_postback(one, endpoints)) for one in told))


def _standing(lead: Lead) -> str:
    return f"{lead.state} ({lead.reason})" if lead.reason else lead.state


def _order(one: Explained) -> tuple[str, ...]:
    return (
        one.order_id,
        one.buyer_id,
        str(one.tier),
        one.family.value,
        one.reason.value,
        to_text(one.price_micros) if one.price_micros else "",
        f"{one.elapsed_us / 1000:.1f}" if one.elapsed_us else "",
        one.said or "",
    )


def _offer(one: Offer) -> tuple[str, ...]:
    took_ms = "" if one.answered_at_ms is None else str(one.answered_at_ms - one.sent_at_ms)
    price = to_text(one.price_micros)
    return (one.buyer_id, one.order_id, price, one.state, one.reason or "", took_ms)


def _sale(one: Sale) -> tuple[str, ...]:
    amounts = (to_text(amount) for amount in (one.price_micros, one.payout_micros, one.margin_micros))
    return (one.buyer_id, one.order_id, *amounts, _then(one))


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


def _listed(detail: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {_shown(value)}" for name, value in detail.items())


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return str(value)
