"""The migrated schema is the one that the code describes, whoever migrates and however many at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, make_url, text

from auction.errors import HouseError, OperatorError
from auction.ledger import migrations
from auction.ledger.engine import open_engine, transaction
from auction.ledger.migrations import upgrade
from auction.ledger.schema import metadata
from tests.stores import PostgresServer

START = """
import sys
from auction.ledger.engine import open_engine
from auction.ledger.migrations import upgrade
sys.stdin.read()
upgrade(open_engine(sys.argv[1]))
"""


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    """Migrated here and now, not a copy."""
    opened = open_engine(empty_url)
    upgrade(opened)
    yield opened
    opened.dispose()


@contextmanager
def migrating(engine: Engine) -> Iterator[None]:
    """Has the lock, for the block."""
    with transaction(engine) as conn:
        if engine.dialect.name == "postgresql":
            conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({migrations._LOCK})")
        yield


def test_nothing_differs_from_the_metadata(engine: Engine) -> None:
    with engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_constraints_are_those_of_the_metadata(engine: Engine) -> None:
    migrated = _constraints(engine)
    with transaction(engine) as conn:
        metadata.drop_all(conn)
        metadata.create_all(conn)
    assert _constraints(engine) == migrated
    assert len(migrated) == len(metadata.tables)


def test_a_second_upgrade_changes_nothing(engine: Engine) -> None:
    with transaction(engine) as conn:
        conn.execute(text("INSERT INTO catalogue_versions VALUES (1, 2, 'kept')"))
    upgrade(engine)
    with engine.connect() as conn:
        assert conn.execute(text("SELECT note FROM catalogue_versions")).scalars().all() == ["kept"]


def test_a_user_who_may_not_make_tables_is_told_what_to_grant(
    postgres: PostgresServer, postgres_url: str
) -> None:
    postgres.execute("DROP ROLE IF EXISTS reader")
    postgres.execute("CREATE ROLE reader LOGIN")
    url = make_url(postgres_url).set(username="reader").render_as_string(hide_password=False)
    engine = open_engine(url)
    try:
        with pytest.raises(OperatorError, match="user 'reader' may not make tables here: GRANT CREATE"):
            upgrade(engine)
    finally:
        engine.dispose()
        postgres.execute("DROP ROLE reader")


def test_several_processes_start_at_once(empty_url: str) -> None:
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", START, empty_url], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    for starter in starters:  # all of them are imported and wait at the line
        assert starter.stdin is not None
        starter.stdin.close()
        starter.stdin = None
    for starter in starters:
        _, said = starter.communicate(timeout=60)
        assert starter.returncode == 0, said.decode()
    engine = open_engine(empty_url)
    assert set(inspect(engine).get_table_names()) == {*metadata.tables, "alembic_version"}
    engine.dispose()


def test_who_cannot_get_the_lock_gives_up(empty_url: str) -> None:
    engine, other = open_engine(empty_url), open_engine(empty_url)
    with migrating(engine), pytest.raises(HouseError) as caught:
        upgrade(other, wait_ms=100)
    assert caught.value.code == "ledger_unavailable"
    upgrade(other)
    other.dispose()
    engine.dispose()


def test_nobody_waits_where_nothing_is_missing(engine: Engine, empty_url: str) -> None:
    other = open_engine(empty_url)
    with migrating(engine):
        upgrade(other, wait_ms=1)
    other.dispose()


def test_the_head_is_the_last_of_all() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head() == migrations.HEAD


def test_a_ledger_of_a_later_version_is_refused(engine: Engine) -> None:
    with transaction(engine) as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(OperatorError) as caught:
        upgrade(engine)
    assert caught.value.code == "ledger_too_new"


def _constraints(engine: Engine) -> dict[str, Any]:
    look = inspect(engine)
    return {
        table: (
            sorted((found["name"], found["sqltext"]) for found in look.get_check_constraints(table)),
            sorted((found["name"], found["column_names"]) for found in look.get_unique_constraints(table)),
            sorted((found["name"], found["constrained_columns"]) for found in look.get_foreign_keys(table)),
            look.get_pk_constraint(table)["constrained_columns"],
            sorted(str(found["name"]) for found in look.get_indexes(table)),
        )
        for table in look.get_table_names()
        if table != "alembic_version"
    }
