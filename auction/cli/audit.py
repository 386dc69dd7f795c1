"""`auction audit`: who changed what of the catalogue."""

from __future__ import annotations

import click
import msgspec

from auction.catalogue.documents import KINDS
from auction.cli.options import open_ledger, settings_of, store_flags
from auction.ledger.audit import AuditEntry, entries
from auction.ledger.conditions import Asked, Wanted
from auction.ping.offer import iso_utc


@click.command()
@click.option("--who", metavar="NAME", help="Only what NAME did: admin:ops, buyer:sunrise, cli.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only changes of this kind of entry.")
@click.option("--id", "entry", metavar="ID", help="Only changes of the entry of this id.")
@click.option(
    "--most", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many to show."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@store_flags
def audit(
    who: str | None, kind: str | None, entry: str | None, most: int, as_json: bool, **flags: object
) -> None:
    """Show who changed what of the catalogue, the latest first: by the admin API, the doors, and the command line."""
    named = {"who": who, "kind": kind, "entry": entry}
    wanted = tuple(
        Wanted(column, frozenset((value,))) for column, value in named.items() if value is not None
    )
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        found = entries(conn, Asked(wanted, most))
    for one in found.rows:
        click.echo(msgspec.json.encode(one) if as_json else _line(one))
    if not found.rows:
        click.echo("nothing was changed", err=True)


def _line(one: AuditEntry) -> str:
    version = "" if one.version is None else f"  version {one.version}"
    changes = f"  {', '.join(one.changes)}" if one.changes else ""
    return f"{iso_utc(one.at_ms)}  {one.who}  {one.action} {one.kind} {one.entry}{changes}{version}"
