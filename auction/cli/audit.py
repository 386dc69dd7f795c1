"""`auction audit`: who changed what of the catalogue."""

from __future__ import annotations

import click
import msgspec
from sqlalchemy import Connection

from auction.catalogue.documents import KINDS, Kind
from auction.catalogue.mistakes import unknown_name
from auction.changes.applying import stored_catalogue
from auction.cli.listing import AS_JSON
from auction.cli.naming import ids_of
from auction.cli.options import open_ledger, settings_of, store_flags
from auction.errors import OperatorError
from auction.ledger.audit import CLI, AuditEntry, entries
from auction.ledger.conditions import Asked, Wanted
from auction.ping.offer import iso_utc


@click.command()
@click.option("--who", metavar="NAME", help="Only what NAME did: admin:ops, buyer:sunrise, cli.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only changes of this kind of entry.")
@click.option("--id", "entry", metavar="ID", help="Only changes of the entry of this id.")
@click.option(
    "--most", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many to show."
)
@AS_JSON
@store_flags
def audit(
    who: str | None, kind: Kind | None, entry: str | None, most: int, as_json: bool, **flags: object
) -> None:
    """Show who changed what of the catalogue, the latest first: by the admin API, the doors, and the command line."""
    named = {"who": who, "kind": kind, "entry": entry}
    wanted = tuple(
        Wanted(column, frozenset((value,))) for column, value in named.items() if value is not None
    )
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        found = entries(conn, Asked(wanted, most)).rows
        if not found:
            _demand_known(conn, who, kind, entry)
    if found or as_json:
        for one in found:
            click.echo(msgspec.json.encode(one) if as_json else _line(one))
    else:
        click.echo("nothing was changed")


def _demand_known(conn: Connection, who: str | None, kind: Kind | None, entry: str | None) -> None:
    """Raises `OperatorError` for one who, and an entry that, there is not."""
    catalogue = stored_catalogue(conn)[1]
    callers = [
        CLI,
        *(f"admin:{one.id}" for one in catalogue.admins),
        *(f"buyer:{one.id}" for one in catalogue.buyers),
    ]
    if who is not None and who not in callers:
        raise OperatorError("unknown_caller", unknown_name("caller", who, callers))
    known = {id_ for each in ([kind] if kind else KINDS) for id_ in ids_of(catalogue, each)}
    if entry is not None and entry not in known:
        raise OperatorError("unknown_entry", unknown_name((kind or "entry").replace("_", " "), entry, known))


def _line(one: AuditEntry) -> str:
    version = "" if one.version is None else f"  version {one.version}"
    changes = f"  {', '.join(one.changes)}" if one.changes else ""
    name = one.kind if one.kind == one.entry else f"{one.kind} {one.entry}"  # there is one exchange
    return f"{iso_utc(one.at_ms)}  {one.who}  {one.action} {name}{changes}{version}"
