"""The program as a whole: what it lists without importing it, and what it does import."""

from __future__ import annotations

import inspect
import subprocess
import sys

import click
import pytest

from auction.cli import COMMANDS, HIDDEN, main
from tests.cli.conftest import Run


@pytest.mark.parametrize("name", [*COMMANDS, *HIDDEN])
def test_every_command_is_where_it_is_said_to_be(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.hidden == (name in HIDDEN)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_its_own_first_sentence(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    first = " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())
    says = COMMANDS[name].says
    assert first == says or first.startswith(f"{says} ")
    assert says.endswith(".")


def test_all_that_may_be_called_for_is_listed(auction: Run) -> None:
    listed = [
        line.split()[0]
        for line in auction("--help").output.partition("Commands:")[2].splitlines()
        if line[2:3].strip()
    ]
    assert listed == list(COMMANDS)


def test_an_unknown_command_is_refused(auction: Run) -> None:
    said = auction("sell")
    assert said.exit_code == 2
    assert "No such command" in said.output
    assert "No such command 'waitng'; did you mean 'waiting'?" in auction("waitng").stderr


@pytest.mark.parametrize(
    ("arguments", "without"),
    [(["--help"], ["sqlalchemy", "uvloop", "rich"]), (["serve", "--help"], ["alembic", "rich"])],
)
def test_what_is_not_needed_is_not_imported(arguments: list[str], without: list[str]) -> None:
    """Whoever asks for help should not wait for a database's libraries."""
    code = f"""
import sys
from auction.cli import main
try:
    main({arguments!r})
finally:
    assert not set(sys.modules) & set({without!r}), "imported"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
