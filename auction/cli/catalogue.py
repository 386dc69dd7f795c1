"""`auction check`, `auction apply`, `auction export`: the catalogue and its files."""

from __future__ import annotations

from pathlib import Path

import click

from auction.applying import apply_catalogue, read_files, stored_catalogue
from auction.catalogue.reading import write_catalogue
from auction.cli.options import FILES, ledger_of, settings_of, store_flags
from auction.clock import SystemClock
from auction.ledger.engine import transaction


@click.command()
@FILES
def check(files: tuple[Path, ...]) -> None:
    """Find every mistake in catalogue files; change nothing."""
    catalogue = read_files(files)
    click.echo(
        f"ok: {len(catalogue.campaigns)} campaigns, {len(catalogue.sellers)} sellers, "
        f"{len(catalogue.buyers)} buyers, {len(catalogue.orders)} orders"
    )


@click.command()
@FILES
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@store_flags
def apply(files: tuple[Path, ...], dry_run: bool, **flags: object) -> None:
    """Make the catalogue match these files, and print the differences.

    A running server trades on the new terms within a second. A file with a mistake changes nothing.
    """
    catalogue = read_files(files)
    settings = settings_of(**flags)
    engine = ledger_of(settings)
    note = "apply " + " ".join(str(path) for path in files)
    now_ms = SystemClock(settings.clock_offset_ms).now_ms()
    applied = apply_catalogue(engine, catalogue, now_ms, note, dry_run=dry_run)
    for line in applied.changes.lines():
        click.echo(line)
    if dry_run:
        click.echo("dry run: nothing was changed")
    else:
        click.echo(f"version {applied.version}")


@click.command()
@click.option("--version", type=int, help="An older version of the catalogue.")
@store_flags
def export(version: int | None, **flags: object) -> None:
    """Print the stored catalogue as a file that `apply` reads."""
    with transaction(ledger_of(settings_of(**flags))) as conn:
        _, catalogue, _ = stored_catalogue(conn, version)
    click.echo(write_catalogue(catalogue), nl=False)
