"""Conditions in SQL mean what they mean in Python (`api.listing`), nulls and all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from auction.api.listing import Condition
from auction.ledger import audit
from auction.ledger.conditions import Asked, Wanted
from auction.ledger.engine import open_engine, transaction

VERSIONS = (1, 2, None)


@pytest.fixture
def conn(ledger_url: str) -> Iterator[Connection]:
    engine = open_engine(ledger_url)
    with transaction(engine) as one:
        for version in VERSIONS:
            told = audit.NewEntry(who="w", action="change", kind="k", entry=str(version), version=version)
            audit.record(one, [told], version or 3)
        yield one
    engine.dispose()


@pytest.mark.parametrize("values", [{1}, {1, 2}, {None}, {1, None}, {7}])
@pytest.mark.parametrize("negated", [False, True])
def test_sql_and_python_agree(conn: Connection, values: set[int | None], negated: bool) -> None:
    wanted = Wanted("version", frozenset(values), negated)
    found = audit.entries(conn, Asked((wanted,)))
    one = Condition("version", "$nin" if negated else "$in", frozenset(values))
    expected = [version for version in reversed(VERSIONS) if one.holds({"version": version})]
    assert [row.version for row in found.rows] == expected
    assert found.total == len(expected)


def test_pages_and_times(conn: Connection) -> None:
    assert [row.at_ms for row in audit.entries(conn, Asked(limit=1, skip=1)).rows] == [2]
    found = audit.entries(conn, Asked(since_ms=2, until_ms=3))
    assert ([row.at_ms for row in found.rows], found.total) == ([2], 1)
