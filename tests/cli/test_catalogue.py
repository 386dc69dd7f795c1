"""`auction check`, `apply` and `export` as a user meets them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.house import catalogue
from tests.stores import PostgresServer

DEMO = Path(__file__).parents[2] / "config" / "demo.yaml"
PAUSED = [{"id": "a", "buyer": "ann", "paused": True}]
ORDERS: list[dict[str, Any]] = [
    {"id": "a", "buyer": "ann"},
    {"id": "b", "buyer": "ben", "price": {"fixed": 12.5}},
]


@pytest.fixture
def file(folder: Path) -> Path:
    """A catalogue of two orders."""
    path = folder / "market.yaml"
    path.write_text(catalogue(ORDERS))
    return path


def test_check_counts_what_is_there_and_stores_nothing(auction: Run, folder: Path, file: Path) -> None:
    result = auction("check", file)
    assert (result.exit_code, result.stdout) == (0, "ok: 1 campaign, 1 seller, 2 buyers, 2 orders\n")
    assert os.listdir(folder) == [file.name]


def test_check_names_every_mistake_with_its_line(auction: Run, file: Path) -> None:
    file.write_text(catalogue([{"id": "a", "buyer": "ann", "caps": [{"leds": 3, "per": "day"}], "color": 1}]))
    result = auction("check", file)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) >= 2
    assert all(line.startswith(f"{file}:") for line in result.stderr.splitlines())


def test_every_file_that_cannot_be_read_is_named(auction: Run, folder: Path, file: Path) -> None:
    (folder / "latin.yaml").write_bytes("name: Zoë".encode("latin-1"))
    result = auction("check", "nope.yaml", file, folder, "latin.yaml")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "nope.yaml: cannot be read: No such file or directory",
        f"{folder}: cannot be read: Is a directory",
        "latin.yaml: is not UTF-8 text (byte 8)",
    ]


@pytest.mark.parametrize("command", ["check", "apply"])
def test_a_file_that_was_cut_short_takes_nothing_out(auction: Run, file: Path, command: str) -> None:
    auction("apply", file)
    file.write_text("# nothing but words\n")
    result = auction(command, file)
    assert (result.exit_code, result.stderr) == (
        2,
        f"{file}: no campaign, seller, buyer or order is there\n",
    )
    assert "id: a" in auction("export").stdout


def test_a_dry_run_prints_and_makes_nothing(auction: Run, folder: Path, file: Path) -> None:
    result = auction("apply", "--dry-run", file)
    assert result.exit_code == 0
    assert "+ order a" in result.stdout
    assert result.stdout.endswith("dry run: nothing was changed\n")
    assert os.listdir(folder) == [file.name]


def test_a_dry_run_compares_with_what_is_stored(auction: Run, file: Path) -> None:
    auction("apply", file)
    file.write_text(catalogue(PAUSED))
    told = auction("apply", "--dry-run", file).stdout
    assert "~ order a  paused: false -> true" in told
    assert "- order b" in told
    assert "id: b" in auction("export").stdout


def test_apply_says_what_changes_and_the_version(auction: Run, folder: Path, file: Path) -> None:
    assert auction("apply", file).stdout.endswith("version 1\n")
    assert auction("apply", file).stdout == "no changes\nversion 1\n"
    file.write_text(catalogue(PAUSED))
    assert auction("apply", file).stdout.splitlines() == [
        "~ order a  paused: false -> true",
        "- buyer ben",
        "- order b",
        "0 added, 1 changed, 2 removed",
        "version 2",
    ]
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700


def test_a_broken_file_changes_nothing(auction: Run, file: Path) -> None:
    auction("apply", file)
    before = auction("export").stdout
    file.write_text("orders: [{id: a, buyer: [}")
    assert auction("apply", file).exit_code == 2
    assert auction("export").stdout == before


@pytest.mark.parametrize("source", ["own", "demo"])
def test_what_is_exported_applies_without_a_change(auction: Run, file: Path, source: str) -> None:
    auction("apply", file if source == "own" else DEMO)
    file.write_text(auction("export").stdout)
    assert auction("apply", file).stdout == "no changes\nversion 1\n"
    assert auction("apply", file, "--data-dir", "elsewhere").stdout.endswith("version 1\n")
    assert auction("export", "--data-dir", "elsewhere").stdout == file.read_text()


def test_older_versions_can_be_exported(auction: Run, file: Path) -> None:
    auction("apply", file)
    first = auction("export").stdout
    file.write_text(catalogue(PAUSED))
    auction("apply", file)
    assert auction("export", "--version", "1").stdout == first
    result = auction("export", "--version", "7")
    assert (result.exit_code, result.stderr) == (2, "the catalogue has the versions 0 to 2, not 7\n")


@pytest.mark.parametrize(
    "command",
    [
        ("export",),
        ("explain", "x"),
        ("lead", "x"),
        ("keys", "create", "acme"),
        ("keys", "list", "acme"),
        ("keys", "revoke", "x"),
    ],
)
def test_a_mistyped_folder_is_not_made(auction: Run, folder: Path, command: tuple[str, ...]) -> None:
    result = auction(*command, "--data-dir", "dtaa")
    assert result.exit_code == 2
    assert "there is no ledger at dtaa/ledger.sqlite3: " in result.stderr
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data-dir", "/proc/nope"], "the data folder /proc/nope cannot be made: "),
        (["--data-dir", "market.yaml"], "the data folder market.yaml cannot be made: a file is there"),
        (["--database-url", "sqlite:////nope/x.db"], "the ledger at /nope/x.db cannot be used: "),
        (["--database-url", "sqlite:///market.yaml"], "the ledger at market.yaml cannot be used: "),
        (["--database-url", "nonsense"], "--database-url: is not a database URL: write sqlite:///path or "),
        (["--database-url", "mysql://u:s3cret@h/x"], "--database-url: names mysql, "),
        (
            ["--database-url", "postgresql://u:s3cret@127.0.0.1:1/x"],
            "the ledger at postgresql://u:***@127.0.0.1:1/x cannot be used: ",
        ),
        (
            ["--database-url", "postgresql://u@127.0.0.1:1/x?password=s3cret&frob=1"],
            "the ledger at postgresql://u@127.0.0.1:1/x cannot be used: ",
        ),
    ],
)
def test_stores_that_cannot_be_had_are_named(
    auction: Run, file: Path, arguments: list[str], told: str
) -> None:
    result = auction("apply", file, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(told), result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "s3cret" not in result.stderr


def test_postgresql_keeps_the_catalogue_as_well(auction: Run, file: Path, postgres_url: str) -> None:
    url = ("--database-url", postgres_url)
    assert auction("apply", file, *url).stdout.endswith("version 1\n")
    file.write_text(auction("export", *url).stdout)
    assert auction("apply", file, *url).stdout == "no changes\nversion 1\n"
    assert auction("export").exit_code == 2


def test_a_database_that_is_not_there_is_named(auction: Run, file: Path, postgres: PostgresServer) -> None:
    result = auction("apply", file, "--database-url", postgres.url("nowhere"))
    assert result.exit_code == 2
    assert 'database "nowhere" does not exist' in result.stderr
    assert str(postgres.folder) in result.stderr
