"""The ledger's own hash key: made once, sealed, and the same over any change of the keys that seal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Engine

from auction.errors import OperatorError
from auction.ledger.engine import open_engine, transaction
from auction.ledger.house_keys import adopt_hash_key, reseal_hash_key
from auction.ledger.schema import house_keys
from auction.ledger.sealing import KEY_BYTES, Sealer, first_hash_key
from auction.ledger.taking import take_lead
from tests.ledger.rows import a_lead

OLD, NEW = b"o" * KEY_BYTES, b"n" * KEY_BYTES


def hashes(engine: Engine, *keys: bytes) -> bytes:
    sealer = Sealer(keys)
    adopt_hash_key(engine, sealer, first_hash_key(keys), 1)
    return sealer.keyed_hash("any", b"x")


def test_it_is_made_once_and_stays(engine: Engine) -> None:
    first = hashes(engine, OLD)
    assert first != Sealer([OLD]).keyed_hash("any", b"x"), "it hangs on no key of the setting"
    assert hashes(engine, NEW, OLD) == first
    with transaction(engine) as conn:
        assert reseal_hash_key(conn, Sealer([NEW, OLD]))
        assert not reseal_hash_key(conn, Sealer([NEW, OLD]))
    assert hashes(engine, NEW) == first
    with engine.connect() as conn:
        (row,) = conn.execute(house_keys.select())
    assert (row.name, row.made_at_ms, len(row.sealed)) == ("hash", 1, KEY_BYTES + 32)


def test_a_ledger_that_has_leads_goes_on_with_the_key_they_were_hashed_with(engine: Engine) -> None:
    with transaction(engine) as conn:
        take_lead(conn, a_lead(), [])
    before = Sealer([OLD]).keyed_hash("any", b"x")
    assert hashes(engine, NEW, OLD) == before


def test_a_house_without_the_right_key_does_not_start(engine: Engine) -> None:
    hashes(engine, OLD)
    with pytest.raises(OperatorError, match="put that one back") as caught:
        hashes(engine, NEW)
    assert caught.value.code == "secret_key_lost"


def test_many_that_start_at_once_have_the_same(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(partial(hashes, engine), [OLD] * 6))
    engine.dispose()
    assert len(set(found)) == 1
