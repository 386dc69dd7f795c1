"""What commands share: flags made of the settings, the data folder, and the ledger that a command speaks to."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from auction import settings
from auction.api.origins import read_origins
from auction.counters import address
from auction.errors import HouseError, OperatorError
from auction.ledger.engine import is_postgresql, open_engine
from auction.ledger.migrations import upgrade
from auction.ledger.sealing import keys_from_text
from auction.settings import Settings, flag_of, variable_of

Command = Callable[..., Any]
FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")

_CHECKS: settings.Checks = {
    "redis_url": address.parse,
    "allow_origins": read_origins,
    "database_url": open_engine,
    "secret_key": keys_from_text,
}


def setting(name: str, metavar: str) -> Callable[[Command], Command]:
    """The flag of a setting. It takes any text: `settings_of` reads it, and names every mistake at once."""
    return click.option(flag_of(name), metavar=metavar, help=_help(settings.ALL[name]))


def store_flags(command: Command) -> Command:
    """`--data-dir` and `--database-url`: which ledger a command speaks to."""
    return setting("data_dir", "FOLDER")(setting("database_url", "URL")(command))


class WithVariables(click.Command):
    """A command whose help also tells settings that it has no flag for: `told`, or all there are."""

    def __init__(self, *args: Any, told: Collection[str] = tuple(settings.ALL), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told = told

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Below the options."""
        flags = {parameter.name for parameter in self.params}
        with formatter.section("Set in the environment only"):
            formatter.write_dl(
                [
                    (variable_of(name), _help(known))
                    for name, known in settings.ALL.items()
                    if name in self._told and name not in flags
                ]
            )


def settings_of(**flags: Any) -> Settings:
    """Flag before environment before default. Raises `OperatorError` naming every mistake."""
    return settings.read_settings(os.environ, flags, _CHECKS)


def make_data_dir(folder: Path) -> None:
    """The data folder, for its owner alone. Raises `OperatorError` if it can't be made or written in."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file is there" if isinstance(error, FileExistsError) else str(error.strerror)
        raise _bad_data_dir(folder, f"cannot be made: {reason}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _bad_data_dir(folder, "cannot be written in")


@contextmanager
def open_ledger(chosen: Settings, *, make: bool = False) -> Iterator[Engine]:
    """The ledger of these settings, its tables up to date, until the end of the block. With `make`, a new one
    where there is none.

    Raises `OperatorError` that names the ledger and what is wrong with it, now or anywhere in the block.
    """
    if make and chosen.database_url is None:
        make_data_dir(chosen.data_dir)
    engine = open_engine(chosen.ledger_url)
    if not make and _is_missing(engine):
        raise OperatorError(
            "no_ledger",
            f"there is no ledger at {_shown(engine)}: `auction apply` or `auction serve` makes one; "
            "name another by --data-dir or --database-url",
        )
    try:
        upgrade(engine)
        yield engine
    except (SQLAlchemyError, HouseError) as error:
        raise OperatorError(
            "ledger_unusable", f"the ledger at {_shown(engine)} cannot be used: {_said(error)}"
        ) from error
    finally:
        engine.dispose()


def _help(known: settings.Setting) -> str:
    default = known.default
    shown = "" if default is None else f" [{int(default) if isinstance(default, bool) else default}]"
    return f"{known.meta.description}{shown}"


def _bad_data_dir(folder: Path, what: str) -> OperatorError:
    return OperatorError("bad_data_dir", f"the data folder {folder} {what}; name another by --data-dir")


def _is_missing(engine: Engine) -> bool:
    return not is_postgresql(engine) and not Path(engine.url.database or "").exists()


def _shown(engine: Engine) -> str:
    """Where a ledger is, without what may be secret in its URL."""
    url = engine.url
    if not is_postgresql(engine):
        return str(url.database)
    where = {name: value for name, value in url.query.items() if name in ("host", "port")}
    return url.set(drivername="postgresql", query=where).render_as_string()


def _said(error: SQLAlchemyError | HouseError) -> str:
    """The first line of the driver's own words: further lines may quote a row."""
    told = error.__cause__ if isinstance(error, HouseError) and error.__cause__ else error
    words = str(getattr(told, "orig", None) or told).strip()
    return words.splitlines()[0] if words else type(told).__name__
