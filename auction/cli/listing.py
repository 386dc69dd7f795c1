"""What a command lists: an object of JSON a line for programs, a table for people, a sentence where there is nothing.

What is listed goes to standard output, and what is only said of it (that there is more) to standard error. A table is
as wide as the terminal; in a file or a pipe it is as wide as its lines are, so that `grep` finds them whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Column, Table

T = TypeVar("T", bound=msgspec.Struct)

FILE_WIDTH: Final = 1_000
AS_JSON: Final[Callable[[Callable[..., Any]], Callable[..., Any]]] = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line."
)


def show_list(
    shown: Sequence[T],
    columns: Sequence[str],
    cells: Callable[[T], Iterable[str]],
    *,
    as_json: bool,
    nothing: str,
) -> None:
    """Lists them, or says `nothing`; as JSON, nothing is no line."""
    if as_json:
        for one in shown:
            click.echo(msgspec.json.encode(one))
    elif shown:
        show_table(console(), columns, map(cells, shown))
    else:
        click.echo(nothing)


def say_cut(found: int, most: int, which: Literal["oldest", "latest"], of: str = "") -> None:
    """Where more than `most` were found: that only these are listed."""
    if found > most:
        click.echo(f"only the {which} {most:,} are shown{of}", err=True)


def show_table(to: Console, columns: Sequence[str | Column], rows: Iterable[Iterable[str]]) -> None:
    """A table without lines, a row a line."""
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(_steering_nothing, row))
    if to.is_terminal:
        to.print(table, markup=False)
        return
    with to.capture() as drawn:
        to.print(table, markup=False)
    for line in drawn.get().splitlines():  # without the spaces that fill its last column
        to.file.write(f"{line.rstrip()}\n")


def show_line(to: Console, line: str) -> None:
    """One line."""
    to.print(_steering_nothing(line), markup=False)


def console() -> Console:
    """As wide as the terminal; into a file or a pipe, as wide as the lines are."""
    return Console(emoji=False) if sys.stdout.isatty() else Console(width=FILE_WIDTH, emoji=False)


def _steering_nothing(text: str) -> str:
    """What buyers and sellers wrote may hold anything: it begins no line and commands no terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
