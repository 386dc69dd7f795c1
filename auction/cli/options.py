"""The flags that commands share, and the settings they make with the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine

from auction.ledger.engine import open_engine
from auction.ledger.migrations import upgrade
from auction.settings import Settings, read_settings

Command = Callable[..., Any]
FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")


def store_flags(command: Command) -> Command:
    """`--data-dir` and `--database-url`: which ledger a command speaks to."""
    command = click.option("--database-url", help="PostgreSQL or another SQLite file.")(command)
    return click.option(
        "--data-dir", type=click.Path(path_type=Path), help="Where everything is kept [data]."
    )(command)


def settings_of(**flags: Any) -> Settings:
    """Flag before environment before default. Raises `OperatorError` naming every mistake."""
    return read_settings(os.environ, flags)


def ledger_of(settings: Settings) -> Engine:
    """The ledger of these settings, its tables up to date."""
    if settings.database_url is None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = open_engine(settings.ledger_url)
    upgrade(engine)
    return engine
