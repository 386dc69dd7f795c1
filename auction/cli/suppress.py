"""`auction suppress`: what stands in the suppression lists. Never shows a value: a list is full of people."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

import click

from auction.changes.applying import stored_catalogue
from auction.changes.suppressing import list_in
from auction.changes.suppressing import load as load_list
from auction.changes.uploading import Load
from auction.cli.options import open_ledger, settings_of, store_flags
from auction.clock import SystemClock
from auction.counted import counted
from auction.errors import OperatorError
from auction.ledger.audit import CLI
from auction.ledger.suppression_store import states
from auction.market.fields import FieldError
from auction.ping.offer import iso_utc
from auction.sealers import prints_of
from auction.suppression.loading import Way, holds
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
        wanted = Load(
            list_id=list_id,
            way=way,
            hashed=hashed,
            who=CLI,
            at_ms=SystemClock(settings.clock_offset_ms).now_ms(),
        )
        with open_ledger(settings) as engine:
            loaded = load_list(engine, prints_of(settings, engine), wanted, file, source=file.name)
        click.echo(f"{list_id}: {loaded.told()}; {_entries(loaded.entries)} now")

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
    if not catalogue.suppression_lists:
        click.echo("no suppression list is in the catalogue")
    for one in catalogue.suppression_lists:
        state = found.pop(one.id, None)
        entries = (
            f"{_entries(state.entries)} ({state.form}), {iso_utc(state.changed_at_ms)}" if state else "empty"
        )
        click.echo(
            f"{one.id}  {', '.join(one.fields)}  {', '.join(one.campaigns) or 'all campaigns'}  {entries}"
        )
    for state in found.values():
        click.echo(f"{state.list_id}  not in the catalogue: not looked into  {_entries(state.entries)}")


@suppress.command()
@click.argument("list_id", metavar="LIST")
@store_flags
def check(list_id: str, **flags: object) -> None:
    """Say whether a value stands in LIST. The value is asked for, or read from a line of standard input, so that no
    history of the shell keeps it.
    """
    settings = settings_of(**flags)
    with open_ledger(settings) as engine, engine.connect() as conn:
        _, reader = list_in(conn, list_id)
        value = click.prompt("value", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().strip()
        try:
            normal = reader(value)
        except FieldError as error:
            raise OperatorError("bad_value", str(error)) from None
        found = holds(conn, list_id, prints_of(settings, engine), str(normal))
    click.echo("suppressed" if found else "not in the list")


def _entries(many: int) -> str:
    return counted(many, "entry", "entries")
