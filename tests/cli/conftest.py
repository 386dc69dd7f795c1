"""The command line as a user has it: in a folder of its own, with nothing set in the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import pytest
from click.testing import CliRunner, Result

from auction.cli import main
from auction.settings import PREFIX


class Run(Protocol):
    """`auction ARGUMENTS`, with these variables set."""

    def __call__(self, *arguments: str | Path, **environ: str) -> Result: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user is."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def auction(folder: Path) -> Run:
    """Runs a command. Whatever it does, it ends with an exit code and never with a traceback."""

    def run(*arguments: str | Path, **environ: str) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], env=environ)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        assert result.exit_code in ((0, 1, 2) if arguments[0] == "reconcile" else (0, 2))
        return result

    return run
