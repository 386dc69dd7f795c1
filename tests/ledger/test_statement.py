"""Statements run by the driver itself: values in, tuples out, and the faults that Core would raise."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, bindparam, exc, insert, literal_column, select, update

from auction.ledger.engine import open_engine, transaction
from auction.ledger.faults import is_away
from auction.ledger.schema import catalogue_versions, fingerprints, pings
from auction.ledger.statement import Statement
from tests.stores import PostgresServer

VERSION = {"version": 7, "applied_at_ms": 1, "note": "one"}
INSERT = Statement(insert(catalogue_versions))
FIND = Statement(
    select(catalogue_versions.c.version, catalogue_versions.c.note).where(
        catalogue_versions.c.version == bindparam("version")
    )
)


def test_rows_in_and_out(engine: Engine) -> None:
    with transaction(engine) as conn:
        assert INSERT.count(conn, VERSION | {"nobody": "asks for this"}) == 1
        assert FIND.first(conn, {"version": 7}) == (7, "one")
        assert FIND.first(conn, {"version": 8}) is None
        INSERT.each(conn, [VERSION | {"version": at} for at in (8, 9)])
        assert FIND.first(conn, {"version": 9}) == (9, "one")


def test_what_is_written_in_the_statement_itself(engine: Engine) -> None:
    """A value that is compared with, and a column's own words, beside what the row brings."""
    touch = Statement(
        update(catalogue_versions)
        .where(catalogue_versions.c.version == bindparam("key"), catalogue_versions.c.note == "one")
        .values(note=literal_column("'two'"), applied_at_ms=bindparam("at_ms"))
        .returning(catalogue_versions.c.note)
    )
    with transaction(engine) as conn:
        INSERT.count(conn, VERSION)
        assert touch.first(conn, {"key": 7, "at_ms": 5}) == ("two",)
        assert touch.first(conn, {"key": 7, "at_ms": 5}) is None


def test_bytes_and_booleans(engine: Engine) -> None:
    row = dict.fromkeys((column.name for column in pings.c), 0) | {
        **dict.fromkeys(("ping_id", "seller", "campaign", "lead"), "x"),
        **dict.fromkeys(("reason", "sub_id")),
        "status": "offer",
        "detail": b"\x00\xff",
        "test": True,
    }
    find = Statement(select(pings.c.detail, pings.c.test).where(pings.c.test == bindparam("test")))
    with transaction(engine) as conn:
        Statement(insert(pings)).count(conn, row)
        found = find.first(conn, {"test": True})
    assert found is not None
    assert (bytes(found[0]), bool(found[1])) == (b"\x00\xff", True)


def test_the_same_construct_in_each_database_or_one_of_its_own(engine: Engine) -> None:
    which = Statement(
        select(literal_column("'sqlite'")), on_postgresql=select(literal_column("'postgresql'"))
    )
    with engine.begin() as conn:
        assert which.first(conn, {}) == (engine.dialect.name,)


def test_a_refusal_is_raised_as_core_raises_it(engine: Engine) -> None:
    with pytest.raises(exc.IntegrityError) as refused, transaction(engine) as conn:
        INSERT.each(conn, [VERSION, VERSION | {"note": "secret"}])
    assert not is_away(refused.value)
    assert "secret" not in str(refused.value).partition("DETAIL")[0]
    with engine.begin() as conn:
        assert FIND.first(conn, {"version": 7}) is None, "all of it was rolled back"


def test_never_outside_of_a_transaction(engine: Engine) -> None:
    with engine.connect() as conn, pytest.raises(AssertionError):
        INSERT.count(conn, VERSION)


def test_a_row_without_a_value_is_a_mistake_of_ours(engine: Engine) -> None:
    with pytest.raises((KeyError, exc.ProgrammingError)), transaction(engine) as conn:
        Statement(insert(fingerprints)).count(conn, {"campaign": "solar"})


def test_a_server_that_hangs_up_is_away_and_its_connection_not_used_again(
    postgres: PostgresServer, postgres_ledger: str
) -> None:
    engine = open_engine(postgres_ledger)
    with engine.connect() as conn:
        conn.begin()
        INSERT.count(conn, VERSION)
        postgres.disconnect_all(postgres_ledger)
        with pytest.raises(exc.OperationalError) as gone:
            FIND.first(conn, {"version": 7})
        assert conn.invalidated
    assert is_away(gone.value)
    assert gone.value.connection_invalidated
    with transaction(engine) as conn:
        assert FIND.first(conn, {"version": 7}) is None
    engine.dispose()
