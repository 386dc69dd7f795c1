"""What is sealed opens again with its key and for its lead only; what is hashed cannot be compared."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.errors import HouseError, OperatorError
from auction.ledger.sealing import KEY_BYTES, Sealer, keys_from_text, load_or_make_key

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
    assert before.keyed_hash("duplicates", b"x") == during.keyed_hash("duplicates", b"x")


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


def test_a_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    key = load_or_make_key(path)
    assert len(key) == KEY_BYTES
    assert load_or_make_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert keys_from_text(path.read_text().strip()) == (key,)


def test_workers_that_start_at_once_have_the_same_key(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from auction.ledger.sealing import load_or_make_key;"
        "sys.stdin.read(); print(load_or_make_key(Path(sys.argv[1])).hex())"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "secret.key"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for worker in workers:  # all wait at the line
        assert worker.stdin is not None
        worker.stdin.close()
        worker.stdin = None
    assert len({worker.communicate(timeout=60)[0] for worker in workers}) == 1
    assert all(worker.returncode == 0 for worker in workers)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    load_or_make_key(path)
    path.chmod(0o640)
    with pytest.raises(OperatorError, match=f"chmod 600 {path}") as caught:
        load_or_make_key(path)
    assert caught.value.code == "key_readable"


@pytest.mark.parametrize("content", [b"", b"half a k", b"\xff\xfe"])
def test_a_file_that_holds_no_key_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret.key"
    os.close(os.open(path, os.O_CREAT, 0o600))
    path.write_bytes(content)
    with pytest.raises(OperatorError) as caught:
        load_or_make_key(path)
    assert caught.value.code == "bad_key_file"
    assert path.read_bytes() == content
