"""`auction suppress`: what stands in the suppression lists. Never shows a value: a list is full of people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

import click
from sqlalchemy import Connection

from auction.applying import stored_catalogue
from auction.catalogue.suppression_rules import type_of
from auction.cli.options import open_ledger, settings_of, store_flags
from auction.clock import SystemClock
from auction.errors import OperatorError
from auction.exchange import prints_of
from auction.ledger.suppression_store import states
from auction.market.fields import FieldError, Reader, compile_field
from auction.market.model import Catalogue, FieldSpec, SuppressionList
from auction.ping.offer import iso_utc
from auction.suppression.loading import Gathered, Way, gather, hash_reader, holds, store, value_reader
from auction.suppression.prints import Form

Command = Callable[..., Any]
FORM = click.option(
    "--hashed",
    type=click.Choice(["sha256", "md5"]),
    help="The lines are hashes (hex) of normalised values: +15125550142, ann@example.com.",
)


@click.group()
def suppress() -> None:
    """Fill and look into suppression lists.

    A lead with a value that stands in a list of its campaign is refused before anybody is asked to buy it. Which
    fields are looked up is said in the catalogue (`suppression_lists`). A running server follows within a second.
    """


def _loading(way: Way, told: str) -> Command:
    @click.argument("list_id", metavar="LIST")
    @click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
    @FORM
    @store_flags
    def load(list_id: str, file: TextIO, hashed: Form | None, **flags: object) -> None:
        settings = settings_of(**flags)
        with open_ledger(settings) as engine:
            with engine.connect() as conn:
                _, reader = _list_in(conn, list_id)
            prints, form = prints_of(settings, engine), hashed or "sha256"
            read = hash_reader(prints, hashed) if hashed else value_reader(prints, reader, form)
            gathered = gather(file, read)
            if not gathered.lines or gathered.bad == gathered.lines:
                raise OperatorError("nothing_to_load", f"{file.name}: {_told(gathered)}; nothing was changed")
            now_ms = SystemClock(settings.clock_offset_ms).now_ms()
            state = store(engine, list_id, form, gathered, way, now_ms)
        click.echo(f"{list_id}: {_told(gathered)}; {state.entries:,} entries now")

    load.__doc__ = told
    return load


suppress.command(name="load")(
    _loading(
        "replace",
        "Make LIST hold what stands in FILE, one a line, and nothing else (`-`: from standard input).",
    )
)
suppress.command(name="add")(_loading("add", "Put what stands in FILE into LIST, besides what is there."))
suppress.command(name="remove")(_loading("remove", "Take what stands in FILE out of LIST."))


@suppress.command(name="list")
@store_flags
def list_(**flags: object) -> None:
    """Show all lists: their fields, entries, and when they were changed."""
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        catalogue, found = stored_catalogue(conn)[1], states(conn)
    for one in catalogue.suppression_lists:
        state = found.pop(one.id, None)
        entries = (
            f"{state.entries:,} entries ({state.form}), {iso_utc(state.changed_at_ms)}" if state else "empty"
        )
        click.echo(
            f"{one.id}  {', '.join(one.fields)}  {', '.join(one.campaigns) or 'all campaigns'}  {entries}"
        )
    for state in found.values():
        click.echo(f"{state.list_id}  not in the catalogue: not looked into  {state.entries:,} entries")


@suppress.command()
@click.argument("list_id", metavar="LIST")
@store_flags
def check(list_id: str, **flags: object) -> None:
    """Say whether a value stands in LIST. The value is asked for, so that no history of the shell keeps it."""
    settings = settings_of(**flags)
    with open_ledger(settings) as engine, engine.connect() as conn:
        _, reader = _list_in(conn, list_id)
        value = click.prompt("value", hide_input=True)
        try:
            normal = reader(value)
        except FieldError as error:
            raise OperatorError("bad_value", str(error)) from None
        found = holds(conn, list_id, prints_of(settings, engine), str(normal))
    click.echo("suppressed" if found else "not in the list")


def _list_in(conn: Connection, list_id: str) -> tuple[SuppressionList, Reader]:
    """A list of the catalogue, and the reader of its values. Raises `OperatorError`."""
    catalogue: Catalogue = stored_catalogue(conn)[1]
    for one in catalogue.suppression_lists:
        if one.id == list_id:
            return one, compile_field(FieldSpec(name="value", type=type_of(one, catalogue.campaigns)))
    known = ", ".join(one.id for one in catalogue.suppression_lists) or "none: add one to the catalogue"
    raise OperatorError("unknown_list", f"there is no suppression list {list_id!r}; known: {known}")


def _told(gathered: Gathered) -> str:
    told = f"{gathered.lines:,} lines read"
    if gathered.bad:
        more = ", …" if gathered.bad > len(gathered.bad_lines) else ""
        told += f", {gathered.bad:,} passed over (line {', '.join(map(str, gathered.bad_lines))}{more})"
    return told
