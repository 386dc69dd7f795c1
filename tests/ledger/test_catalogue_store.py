"""Versions of the catalogue against a list of dictionaries, and the keys of sellers."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, func, select

from auction.errors import OperatorError
from auction.ledger.catalogue_store import (
    Document,
    Keys,
    add_key,
    apply,
    current_version,
    load,
    revoke_key,
)
from auction.ledger.engine import transaction
from auction.ledger.faults import CatalogueConflict
from auction.ledger.schema import catalogue_entries, catalogue_versions

Documents = dict[tuple[str, str], Document]
ONE: Documents = {("order", "a"): {"price": 1, "caps": [{"leads": 5}]}, ("exchange", "exchange"): {}}
KEY = "sha256:" + "0" * 64


def do_apply(engine: Engine, documents: Documents, expected: int | None = None) -> int:
    with transaction(engine) as conn:
        return apply(conn, documents, 1, "a note", expected)


def read(engine: Engine, version: int | None = None) -> tuple[int, Documents]:
    with engine.connect() as conn:
        number, entries, _ = load(conn, version)
    return number, {(kind, id_): document for kind, id_, document in entries}


def keys(engine: Engine) -> Keys:
    with engine.connect() as conn:
        return load(conn)[2]


def test_empty(engine: Engine) -> None:
    assert read(engine) == (0, {})
    with engine.connect() as conn:
        assert current_version(conn) == 0


documents = st.dictionaries(
    st.tuples(st.sampled_from(["order", "buyer"]), st.sampled_from(["a", "b", "c"])),
    st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 2) | st.just("\0é€"), max_size=2),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(documents, max_size=8))
def test_any_version_can_be_read_again(engine: Engine, applied: list[Documents]) -> None:
    with transaction(engine) as conn:
        conn.execute(delete(catalogue_entries))
        conn.execute(delete(catalogue_versions))
    model: list[Documents] = [{}]
    for wanted in applied:
        if wanted != model[-1]:
            model.append(wanted)
        assert do_apply(engine, wanted) == len(model) - 1
    assert read(engine) == (len(model) - 1, model[-1])
    for version, expected in enumerate(model):
        assert read(engine, version) == (version, expected)


def test_only_differences_are_written(engine: Engine) -> None:
    many: Documents = {("order", str(number)): {"price": number} for number in range(50)}
    do_apply(engine, many)
    do_apply(engine, {**many, ("order", "7"): {"price": 70}})
    with engine.connect() as conn:
        assert conn.execute(select(func.count()).select_from(catalogue_entries)).scalar() == 51


def test_the_order_of_keys_is_no_change(engine: Engine) -> None:
    assert do_apply(engine, {("order", "a"): {"x": 1, "y": {"b": 1, "a": 2}}}) == 1
    assert do_apply(engine, {("order", "a"): {"y": {"a": 2, "b": 1}, "x": 1}}) == 1


def test_an_apply_in_between_is_a_conflict(engine: Engine) -> None:
    assert do_apply(engine, ONE, expected=0) == 1
    with pytest.raises(CatalogueConflict) as caught:
        do_apply(engine, {}, expected=0)
    assert (caught.value.expected, caught.value.found) == (0, 1)
    assert do_apply(engine, {}, expected=1) == 2
    assert read(engine) == (2, {})


def test_of_several_applies_at_once_one_goes_through(engine: Engine) -> None:
    results: list[Any] = []

    def one(number: int) -> None:
        try:
            results.append(do_apply(engine, {("order", str(number)): {}}, expected=0))
        except CatalogueConflict as conflict:
            results.append(conflict)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 6
    assert [result for result in results if isinstance(result, int)] == [1]
    assert read(engine)[0] == 1


@pytest.mark.parametrize("version", [-1, 2])
def test_a_version_that_never_was(engine: Engine, version: int) -> None:
    do_apply(engine, ONE)
    with pytest.raises(OperatorError) as caught:
        read(engine, version)
    assert caught.value.code == "unknown_version"


def test_a_key_is_added_and_revoked(engine: Engine) -> None:
    do_apply(engine, ONE)
    other = "sha256:" + "1" * 64
    with transaction(engine) as conn:
        assert add_key(conn, "seller", "acme", KEY, 5) == 2
        assert add_key(conn, "seller", "acme", KEY, 6) == 2  # nothing changed
        assert add_key(conn, "seller", "acme", other, 7) == 3
    assert keys(engine) == {("seller", "acme"): [KEY, other]}
    with transaction(engine) as conn:
        assert revoke_key(conn, KEY, 8) == 4
        assert revoke_key(conn, KEY, 9) == 4
    assert keys(engine) == {("seller", "acme"): [other]}
    assert read(engine) == (4, ONE)


def test_keys_that_are_refused(engine: Engine) -> None:
    with transaction(engine) as conn:
        add_key(conn, "seller", "acme", KEY, 5)
        with pytest.raises(OperatorError) as taken:
            add_key(conn, "seller", "zeta", KEY, 6)
        with pytest.raises(OperatorError) as of_a_buyer:
            add_key(conn, "buyer", "acme", KEY, 6)
        revoke_key(conn, KEY, 7)
        with pytest.raises(OperatorError) as revoked:
            add_key(conn, "seller", "acme", KEY, 8)
        with pytest.raises(OperatorError) as unknown:
            revoke_key(conn, "sha256:" + "2" * 64, 9)
    codes = [caught.value.code for caught in (taken, of_a_buyer, revoked, unknown)]
    assert codes == ["key_taken", "key_taken", "key_revoked", "unknown_key"]
