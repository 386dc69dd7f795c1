"""`auction keys`: made, shown once, listed as hashes, taken back."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from auction.changes.administration import hash_of
from auction.changes.applying import stored_catalogue
from auction.ledger.engine import open_engine
from auction.market.market import compile_market
from tests.cli.conftest import Run
from tests.house import KEY, KEY_HASH, catalogue


@pytest.fixture(autouse=True)
def stored(auction: Run, folder: Path) -> None:
    """A market with the seller acme, whose one key stands in the file."""
    (folder / "market.yaml").write_text(catalogue([{"id": "a", "buyer": "ann"}]))
    assert auction("apply", "market.yaml").exit_code == 0


def test_a_key_is_shown_once_and_only_its_hash_is_kept(auction: Run, folder: Path) -> None:
    made = auction("keys", "create", "acme")
    key = made.stdout.strip()
    assert key.startswith("ak_")
    assert made.stderr == "This is the only time that this key of acme is shown.\n"
    first, second = auction("keys", "list", "acme").stdout.splitlines()
    assert first == f"{KEY_HASH}  (in the catalogue)"
    assert re.fullmatch(rf"{hash_of(key)}  made 20\d\d-.*Z", second)
    kept = b"".join(path.read_bytes() for path in (folder / "data").iterdir())
    assert hash_of(key).encode() in kept
    assert key.encode() not in kept
    assert auction("keys", "create", "acme").stdout.strip() != key


@pytest.mark.parametrize("given", ["key", "hash"])
def test_a_key_is_revoked_for_good(auction: Run, given: str) -> None:
    key = auction("keys", "create", "acme").stdout.strip()
    given = key if given == "key" else hash_of(key)
    assert auction("keys", "revoke", given).stdout == "revoked\n"
    (listed,) = [line for line in auction("keys", "list", "acme").stdout.splitlines() if hash_of(key) in line]
    assert ", revoked 20" in listed
    assert auction("keys", "revoke", given).stdout == "revoked\n"


def test_a_key_of_the_catalogue_is_revoked_there(auction: Run) -> None:
    result = auction("keys", "revoke", KEY)
    assert result.exit_code == 2
    assert result.stderr == "this key stands in the catalogue: take it out of acme's keys and apply\n"


def test_a_seller_without_keys_is_told_how_to_get_one(auction: Run, folder: Path) -> None:
    (folder / "market.yaml").write_text(catalogue([{"id": "a", "buyer": "ann"}], sellers=[{"id": "new"}]))
    auction("apply", "market.yaml")
    result = auction("keys", "list", "new")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "new has no key: `auction keys create new` makes one\n"


@pytest.mark.parametrize("command", ["create", "list"])
def test_an_unknown_seller_is_refused_with_the_one_that_was_meant(auction: Run, command: str) -> None:
    result = auction("keys", command, "acem")
    assert (result.exit_code, result.stderr) == (2, "there is no seller `acem`; did you mean `acme`?\n")


@pytest.mark.parametrize(
    "wrong", ["sha256:", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha256:" + "g" * 64]
)
def test_what_is_no_hash_is_told_so(auction: Run, wrong: str) -> None:
    result = auction("keys", "revoke", wrong)
    assert (result.exit_code, result.stderr.split(",")[0]) == (
        2,
        "expected sha256: and 64 characters of 0-9 and a-f",
    )


def test_a_key_has_256_random_bits_and_works_at_once(auction: Run, folder: Path) -> None:
    key = auction("keys", "create", "acme").stdout.strip()
    assert len(base64.urlsafe_b64decode(key.removeprefix("ak_") + "=")) == 32
    engine = open_engine(f"sqlite:///{folder / 'data' / 'ledger.sqlite3'}")
    with engine.connect() as conn:
        version, found, keys = stored_catalogue(conn)
    engine.dispose()
    market = compile_market(found, version, keys)
    for one in (key, KEY):
        seller = market.seller_of_key(one)
        assert seller is not None
        assert seller.id == "acme"
    for wrong in (key[:-1], key + "x", hash_of(key), hash_of(key).removeprefix("sha256:"), "", key.upper()):
        assert market.seller_of_key(wrong) is None


def test_an_unknown_key_is_refused(auction: Run) -> None:
    assert auction("keys", "revoke", "ak_x").stderr == "nobody has this key\n"


def test_a_buyers_hash_key_stays_the_same_and_is_its_own(auction: Run, folder: Path) -> None:
    orders = [{"id": "a", "buyer": "ann"}, {"id": "b", "buyer": "bob"}]
    (folder / "market.yaml").write_text(catalogue(orders))
    auction("apply", "market.yaml")
    shown = [auction("keys", "hash", buyer).stdout.strip() for buyer in ("ann", "bob", "ann")]
    assert [len(bytes.fromhex(key)) for key in shown] == [32, 32, 32]
    assert shown[0] == shown[2] != shown[1]
    refused = auction("keys", "hash", "amn")
    assert (refused.exit_code, refused.stderr) == (2, "there is no buyer `amn`; did you mean `ann`?\n")
    refused = auction("keys", "hash", "zoe")
    assert (refused.exit_code, refused.stderr) == (2, "there is no buyer `zoe`; known: ann, bob\n")
