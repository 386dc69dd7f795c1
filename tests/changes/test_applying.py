"""The catalogue between files and the ledger: applied whole, or not at all; and by many at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, Engine

from auction.catalogue.changes import Changes, diff
from auction.catalogue.one_entry import EntryMistakes
from auction.catalogue.reading import Source, read_catalogue
from auction.changes import applying
from auction.changes.applying import (
    Applied,
    EntryChange,
    apply_catalogue,
    change_entry,
    read_files,
    stored_catalogue,
)
from auction.errors import OperatorError
from auction.ledger.engine import open_engine
from auction.ledger.faults import CatalogueConflict
from auction.market.model import Catalogue
from tests.house import catalogue

DEMO = Path(__file__).parents[2] / "config" / "demo.yaml"


def market(price: float) -> Catalogue:
    """One order at this price."""
    text = catalogue([{"id": "a", "buyer": "ann", "price": {"fixed": price}}])
    return read_catalogue([Source("market.yaml", text)])


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    """An empty ledger, of each kind."""
    opened = open_engine(ledger_url)
    yield opened
    opened.dispose()


def stored(engine: Engine) -> tuple[int, Catalogue]:
    """The version that holds, and what it says."""
    with engine.connect() as conn:
        version, found, _ = stored_catalogue(conn)
    return version, found


def test_what_is_applied_is_what_is_stored(engine: Engine) -> None:
    demo = read_files([DEMO])
    applied = apply_catalogue(engine, demo, 1, "test")
    version, found = stored(engine)
    assert (applied.version, version) == (1, 1)
    assert diff(found, demo).empty
    again = apply_catalogue(engine, demo, 2, "test")
    assert (again.version, again.changes.empty) == (1, True)


def test_another_change_in_between_is_seen_and_not_lost(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is second compares with what the first one made."""
    apply_catalogue(engine, market(1), 1, "before")
    others = iter([market(2)])

    def diff_while_another_applies(old: Catalogue, new: Catalogue) -> Changes:
        changes = diff(old, new)
        for other in others:
            apply_catalogue(engine, other, 2, "another")
        return changes

    monkeypatch.setattr(applying, "diff", diff_while_another_applies)
    applied = apply_catalogue(engine, market(3), 3, "second")
    assert applied.version == 3
    assert [str(change) for change in applied.changes.changed] == ["~ order a  price.fixed: 2.00 -> 3.00"]
    assert stored(engine) == (3, market(3))


def test_who_never_gets_through_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = count(10)

    def diff_while_others_apply(old: Catalogue, new: Catalogue) -> Changes:
        monkeypatch.setattr(applying, "diff", diff)
        apply_catalogue(engine, market(next(prices)), 2, "another")
        monkeypatch.setattr(applying, "diff", diff_while_others_apply)
        return diff(old, new)

    monkeypatch.setattr(applying, "diff", diff_while_others_apply)
    with pytest.raises(CatalogueConflict):
        apply_catalogue(engine, market(3), 3, "never")
    assert stored(engine) == (applying.TRIES, market(10 + applying.TRIES - 1))


def test_two_at_once_are_one_after_the_other(engine: Engine) -> None:
    together = Barrier(2)

    def apply_at_once(price: float) -> Applied:
        together.wait()
        return apply_catalogue(engine, market(price), 1, "at once")

    with ThreadPoolExecutor(2) as pool:
        versions = sorted(applied.version for applied in pool.map(apply_at_once, (1, 2)))
    assert versions == [1, 2]
    assert stored(engine)[1] in (market(1), market(2))


def test_all_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(OperatorError) as refused:
        read_files([tmp_path / "none", binary, DEMO, tmp_path])
    assert refused.value.detail.splitlines() == [
        f"{tmp_path}/none: cannot be read: No such file or directory",
        f"{binary}: is not UTF-8 text (byte 0)",
        f"{tmp_path}: cannot be read: Is a directory",
    ]


@pytest.mark.parametrize("text", ["", "# a comment", "exchange: {name: Empty}", "orders: []"])
def test_files_with_nothing_in_them_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(text)
    with pytest.raises(OperatorError) as refused:
        read_files([path])
    assert refused.value.code == "empty_catalogue"


def paused(order: Any) -> Any:
    """The order, paused."""
    return replace(order, paused=True)


def test_one_entry_is_changed(engine: Engine) -> None:
    apply_catalogue(engine, market(1), 1, "before")
    change = change_entry(engine, "order", "a", paused, 2, "pause")
    assert (change.version, change.before.paused, change.after.paused) == (2, False, True)
    version, found = stored(engine)
    assert (version, found.orders, found.buyers) == (2, (change.after,), market(1).buyers)
    assert change_entry(engine, "order", "a", paused, 3, "again").version == 2
    with engine.connect() as conn:
        assert stored_catalogue(conn, 1)[1] == market(1)
    gone = change_entry(engine, "order", "a", lambda _: None, 4, "remove")
    assert (gone.version, gone.before, gone.after) == (3, change.after, None)
    assert stored(engine)[1].orders == ()
    put = change_entry(engine, "order", "a", lambda _: change.before, 5, "put back")
    assert (put.version, put.before) == (4, None)
    assert stored(engine) == (4, market(1))


def test_a_change_that_breaks_a_rule_changes_nothing(engine: Engine) -> None:
    apply_catalogue(engine, market(1), 1, "before")
    with pytest.raises(EntryMistakes) as refused:
        change_entry(engine, "buyer", "ann", lambda _: None, 2, "remove")
    assert [each.field for each in refused.value.mistakes] == ["orders[a].buyer"]
    assert stored(engine) == (1, market(1))


def test_a_change_is_made_of_what_another_left(engine: Engine) -> None:
    """Two at once are one after the other, and neither is lost."""
    apply_catalogue(engine, market(1), 1, "before")
    others = iter([market(2)])

    def make(order: Any) -> Any:
        for other in others:
            apply_catalogue(engine, other, 2, "another")
        return paused(order)

    change = change_entry(engine, "order", "a", make, 3, "pause")
    assert (change.version, change.before) == (3, market(2).orders[0])
    assert stored(engine)[1].orders == (paused(market(2).orders[0]),)


def test_who_names_a_version_is_told_of_another(engine: Engine) -> None:
    apply_catalogue(engine, market(1), 1, "before")
    apply_catalogue(engine, market(2), 2, "another")
    with pytest.raises(CatalogueConflict) as refused:
        change_entry(engine, "order", "a", paused, 3, "late", expected_version=1)
    assert (refused.value.expected, refused.value.found) == (1, 2)
    assert change_entry(engine, "order", "a", paused, 3, "in time", expected_version=2).version == 3


def test_what_is_written_beside_a_change_stands_or_falls_with_it(engine: Engine) -> None:
    apply_catalogue(engine, market(1), 1, "before")
    seen: list[EntryChange] = []

    def broken(conn: Connection, change: EntryChange) -> None:
        seen.append(change)
        raise OperatorError("no", "not today")

    with pytest.raises(OperatorError, match="not today"):
        change_entry(engine, "order", "a", paused, 2, "pause", beside=broken)
    assert seen[0].version == 2
    assert stored(engine) == (1, market(1))
