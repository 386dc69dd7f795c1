"""The catalogue between files and the ledger: applied whole, or not at all; and by many at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import Engine

from auction import applying
from auction.applying import Applied, apply_catalogue, read_files, stored_catalogue
from auction.catalogue.changes import Changes, diff
from auction.catalogue.reading import Source, read_catalogue
from auction.errors import OperatorError
from auction.ledger.engine import open_engine
from auction.ledger.faults import CatalogueConflict
from auction.market.model import Catalogue
from tests.house import catalogue

DEMO = Path(__file__).parents[1] / "config" / "demo.yaml"


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
