"""`auction check`, `auction apply`, `auction export`: the catalogue and its files."""

from __future__ import annotations

from pathlib import Path

import click

from auction.catalogue.changes import diff
from auction.catalogue.documents import SECTIONS
from auction.catalogue.owned_routes import with_owners_routes
from auction.catalogue.reading import write_catalogue
from auction.changes.applying import apply_catalogue, read_files, stored_catalogue
from auction.cli.options import FILES, open_ledger, settings_of, store_flags
from auction.clock import SystemClock
from auction.counted import counted
from auction.errors import OperatorError
from auction.market.model import Catalogue
from auction.settings import Settings

_ALWAYS_COUNTED = ("campaign", "seller", "buyer", "order")


@click.command()
@FILES
def check(files: tuple[Path, ...]) -> None:
    """Find every mistake in catalogue files.

    Several files make one catalogue together. Nothing is stored.
    """
    catalogue = read_files(files)
    told = []
    for section, kind in SECTIONS.items():
        many, name = len(getattr(catalogue, section)), section.replace("_", " ")
        if many or kind in _ALWAYS_COUNTED:
            told.append(counted(many, name[:-1], name))
    click.echo("ok: " + ", ".join(told))


@click.command()
@FILES
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@store_flags
def apply(files: tuple[Path, ...], dry_run: bool, **flags: object) -> None:
    """Make the stored catalogue match these files.

    The files say all there is: what they do not name is removed, but for lead routes that buyers made for
    themselves. The differences are printed, `+` for added,
    `~` for changed, `-` for removed. A running server trades on the new terms within a second; files with a
    mistake change nothing.
    """
    catalogue = read_files(files)
    settings = settings_of(**flags)
    if dry_run:
        stored = _stored(settings)
        changes = diff(stored, with_owners_routes(catalogue, stored))
        told = "dry run: nothing was changed"
    else:
        note = "apply " + " ".join(map(str, files))
        now_ms = SystemClock(settings.clock_offset_ms).now_ms()
        with open_ledger(settings, make=True) as engine:
            applied = apply_catalogue(engine, catalogue, now_ms, note)
        changes, told = applied.changes, f"version {applied.version}"
    click.echo("\n".join([*changes.lines(), told]))


@click.command()
@click.option("--version", type=int, metavar="NUMBER", help="An older version of the catalogue.")
@store_flags
def export(version: int | None, **flags: object) -> None:
    """Print the stored catalogue as a file that `apply` reads."""
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        _, catalogue, _ = stored_catalogue(conn, version)
    click.echo(write_catalogue(catalogue), nl=False)


def _stored(settings: Settings) -> Catalogue:
    """What is stored; nothing, where there is no ledger yet: a dry run does not make one."""
    try:
        with open_ledger(settings) as engine, engine.connect() as conn:
            return stored_catalogue(conn)[1]
    except OperatorError as error:
        if error.code != "no_ledger":
            raise
        return Catalogue()
