"""`auction suppress`: filled from files, told without a value."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from auction.cli import main
from tests.cli.conftest import Run
from tests.house import catalogue

LISTS = [{"id": "dnc", "fields": ["phone"], "campaigns": ["solar"]}]


@pytest.fixture(autouse=True)
def stored(auction: Run, folder: Path) -> None:
    text = catalogue([{"id": "a", "buyer": "ann"}], suppression_lists=LISTS)
    (folder / "market.yaml").write_text(text)
    assert auction("apply", "market.yaml").exit_code == 0
    (folder / "numbers").write_text("512-555-0101\n\nnobody\n+15125550102\n")


def test_a_list_is_loaded_added_to_and_taken_from(auction: Run, folder: Path) -> None:
    loaded = auction("suppress", "load", "dnc", "numbers")
    assert loaded.stdout == "dnc: 3 lines read, 1 passed over (line 3); 2 entries now\n"
    (folder / "hashes").write_text(sha256(b"+15125550103").hexdigest())
    assert auction("suppress", "add", "dnc", "hashes", "--hashed", "sha256").stdout.endswith(
        "3 entries now\n"
    )
    (folder / "one").write_text("(512) 555 0103")
    assert auction("suppress", "remove", "dnc", "one").stdout.endswith("2 entries now\n")
    assert auction("suppress", "list").stdout.startswith("dnc  phone  solar  2 entries (sha256), 20")
    kept = b"".join(path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file())
    assert b"5550101" not in kept
    assert sha256(b"+15125550101").digest() not in kept


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("load", "dnx", "numbers"), "there is no suppression list `dnx`; did you mean `dnc`?\n"),
        (("load", "dnc", "none"), "none: 0 lines read; nothing was changed\n"),
        (("add", "dnc", "numbers", "--hashed", "md5"), "nothing was changed\n"),
    ],
)
def test_what_cannot_be_loaded_changes_nothing(
    auction: Run, folder: Path, arguments: tuple[str, ...], told: str
) -> None:
    (folder / "none").write_text("\n\n")
    result = auction("suppress", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert auction("suppress", "list").stdout == "dnc  phone  solar  empty\n"


def test_a_value_is_read_from_a_line_where_nobody_can_be_asked(auction: Run) -> None:
    assert auction("suppress", "load", "dnc", "numbers").exit_code == 0
    for value, told in (("(512) 555-0101", "suppressed\n"), ("512-555-0104", "not in the list\n")):
        result = CliRunner().invoke(main, ["suppress", "check", "dnc"], input=f"{value}\n")
        assert (result.exit_code, result.output) == (0, told)
    nothing = CliRunner().invoke(main, ["suppress", "check", "dnc"], input="")
    assert (nothing.exit_code, nothing.output) == (2, "expected a phone number such as +15125550101\n")


def test_where_there_is_no_list_that_is_said(auction: Run, folder: Path) -> None:
    (folder / "none.yaml").write_text(catalogue([{"id": "a", "buyer": "ann"}]))
    assert auction("apply", "none.yaml").exit_code == 0
    assert auction("suppress", "list").stdout == "no suppression list is in the catalogue\n"
