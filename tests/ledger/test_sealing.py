"""What is sealed opens again with its key and for its lead only; what is hashed cannot be compared."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.errors import HouseError, OperatorError
from auction.ledger.sealing import KEY_BYTES, Sealer, keys_from_text

OLD, NEW = b"o" * KEY_BYTES, b"n" * KEY_BYTES


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_was_sealed_opens(plain: bytes, about: bytes) -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(plain, about)
    assert sealer.open(sealed, about) == plain
    assert sealer.seal(plain, about) != sealed
    assert len(plain) < 8 or plain not in sealed


@given(st.data())
def test_any_changed_bit_is_noticed(data: st.DataObject) -> None:
    sealer = Sealer([NEW])
    sealed = bytearray(sealer.seal(b"jane@example.com", b"lead-1"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(HouseError):
        sealer.open(bytes(sealed), b"lead-1")


def test_it_does_not_open_for_another_lead_or_cut_short() -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(b"jane@example.com", b"lead-1")
    for broken, about in ((sealed, b"lead-2"), (sealed[:20], b"lead-1"), (sealed[:4], b"lead-1")):
        with pytest.raises(HouseError) as caught:
            sealer.open(broken, about)
        assert caught.value.code == "seal_broken"


def test_rotation_of_keys() -> None:
    before, during, after = Sealer([OLD]), Sealer([NEW, OLD]), Sealer([NEW])
    old, new = before.seal(b"a", b"1"), during.seal(b"b", b"1")
    assert during.open(old, b"1") == b"a"
    assert during.open(new, b"1") == after.open(new, b"1") == b"b"
    for sealer, sealed in ((after, old), (before, new)):
        with pytest.raises(HouseError) as caught:
            sealer.open(sealed, b"1")
        assert caught.value.code == "sealed_with_other_key"


def test_a_key_that_is_not_known_is_looked_for_where_keys_come_from() -> None:
    known = [[OLD]]
    worker, other = Sealer([OLD], again=lambda: known[0]), Sealer([NEW, OLD])
    sealed = other.seal(b"a", b"1")
    with pytest.raises(HouseError):
        worker.open(sealed, b"1")
    known[0] = [NEW, OLD]
    assert worker.open(sealed, b"1") == b"a"
    assert worker.name == other.name == sealed[:4], "and it seals with the new one from now on"


def test_hashes_do_not_hang_on_the_keys_that_seal() -> None:
    sealer = Sealer([OLD])
    sealer.hash_with(b"h" * KEY_BYTES)
    before = sealer.keyed_hash("duplicates", b"x")
    sealer.use([NEW])
    assert sealer.keyed_hash("duplicates", b"x") == before


def test_keyed_hashes_of_two_purposes_or_houses_differ() -> None:
    hashes = {
        Sealer([key]).keyed_hash(purpose, b"+15125550100")
        for key in (OLD, NEW)
        for purpose in ("duplicates", "buyer:sunrise", "buyer:helios")
    }
    assert len(hashes) == 6
    assert {len(one) for one in hashes} == {32}


def test_keys_from_text() -> None:
    text = f"{NEW.hex()}, {base64.b64encode(OLD).decode()}"
    assert keys_from_text(text) == (NEW, OLD)
    assert keys_from_text(base64.urlsafe_b64encode(b"\xff" * KEY_BYTES).decode()) == (b"\xff" * KEY_BYTES,)


@pytest.mark.parametrize("text", ["", "password", "ab" * 31, NEW.hex() + ",", "é" * 44])
def test_text_that_is_no_key(text: str) -> None:
    with pytest.raises(OperatorError) as caught:
        keys_from_text(text)
    assert caught.value.code == "bad_secret_key"
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, b""]])
def test_keys_of_another_size(keys: list[bytes]) -> None:
    with pytest.raises(OperatorError):
        Sealer(keys)
