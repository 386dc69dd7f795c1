"""How the databases are opened, and what an operator reads when they cannot be."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Engine, exc, text

from auction.errors import OperatorError
from auction.ledger.engine import open_engine, overwrite_what_is_erased, transaction


def test_sqlite_is_opened_durable_and_private(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db", busy_ms=1_234)
    with transaction(engine) as conn:
        conn.execute(text("CREATE TABLE t (a INTEGER)"))
        assert conn.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert conn.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert conn.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert conn.execute(text("PRAGMA wal_autocheckpoint")).scalar() == 4_000
        assert conn.execute(text("PRAGMA busy_timeout")).scalar() == 1_234
        files = list(tmp_path.iterdir())
        assert {file.name for file in files} == {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    engine.dispose()


def test_a_writing_transaction_holds_the_lock_from_its_start(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url, busy_ms=50)
    with transaction(engine), pytest.raises(exc.OperationalError, match="locked"), transaction(engine):
        pass  # pragma: no cover (never entered)
    with transaction(engine), engine.connect() as reader:
        assert reader.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_an_exception_rolls_back(engine: Engine) -> None:
    with pytest.raises(exc.IntegrityError):
        _insert_twice(engine, "gone")
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM catalogue_versions")).scalar() == 0


@pytest.mark.parametrize(
    "url", ["", "ledger.db", "sqlite://", "sqlite:///:memory:", "mysql://root:hunter2@host/name"]
)
def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(OperatorError) as caught:
        open_engine(url)
    assert caught.value.code == "bad_database_url"
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_postgresql_that_is_gone_without_a_word_is_noticed(postgres_url: str) -> None:
    """By keepalives: of what was asked and heard by its machine, no other sign would come for two hours."""
    engine = open_engine(postgres_url)
    with engine.connect() as conn:
        driver: Any = conn.connection.driver_connection
        asked = driver.info.get_parameters()
    engine.dispose()
    within_s = int(asked["keepalives_idle"]) + int(asked["keepalives_interval"]) * int(
        asked["keepalives_count"]
    )
    assert within_s <= 30
    assert int(asked["tcp_user_timeout"]) <= 10_000
    assert asked["application_name"] == "auction"


def test_no_password_in_what_is_shown(tmp_path: Path) -> None:
    engine = open_engine(f"postgresql://exchange:hunter2@/ledger?host={tmp_path}")
    with pytest.raises(exc.OperationalError) as caught:
        engine.connect()
    assert "hunter2" not in f"{caught.value!r} {engine!r} {engine.url!r}"


def test_no_values_of_rows_in_errors(engine: Engine) -> None:
    with pytest.raises(exc.IntegrityError) as caught:
        _insert_twice(engine, "jane@example.com")
    assert "jane@example.com" not in str(caught.value)


def _insert_twice(engine: Engine, note: str) -> None:
    with transaction(engine) as conn:
        for _ in range(2):
            conn.execute(text("INSERT INTO catalogue_versions VALUES (1, 2, :note)"), {"note": note})


def test_a_log_that_is_read_is_cut_later_and_nobody_waits_for_it(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with transaction(engine) as conn:
        conn.execute(text("CREATE TABLE t (a TEXT)"))
        conn.execute(text("INSERT INTO t VALUES ('zq-erased')"))
    log = Path(sqlite_url.removeprefix("sqlite:///") + "-wal")
    with engine.connect() as reader:
        assert reader.execute(text("SELECT a FROM t")).scalar() == "zq-erased"
        with transaction(engine) as conn:
            conn.execute(text("DELETE FROM t"))
        cutting = ThreadPoolExecutor(1).submit(overwrite_what_is_erased, engine, 0.3)
        longest_s = 0.0
        while not cutting.done():
            began_s = monotonic()
            with transaction(engine) as conn:
                conn.execute(text("INSERT INTO t VALUES ('b')"))
            longest_s = max(longest_s, monotonic() - began_s)
        assert not cutting.result()
        assert longest_s < 1.5, "the two seconds for which a connection of ours waits"
        assert b"zq-erased" in log.read_bytes()
    assert overwrite_what_is_erased(engine)
    assert log.read_bytes() == b""
    with engine.connect() as conn:
        assert conn.execute(text("PRAGMA busy_timeout")).scalar() == 2_000
    engine.dispose()
