"""`auction keys`: made, shown once, listed as hashes, taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from auction.cli.keys import hash_of
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
    assert auction("keys", "list", "acme").stdout.splitlines() == [
        f"{KEY_HASH}  (in the catalogue)",
        hash_of(key),
    ]
    kept = b"".join(path.read_bytes() for path in (folder / "data").iterdir())
    assert hash_of(key).encode() in kept
    assert key.encode() not in kept
    assert auction("keys", "create", "acme").stdout.strip() != key


@pytest.mark.parametrize("given", ["key", "hash"])
def test_a_key_is_revoked_for_good(auction: Run, given: str) -> None:
    key = auction("keys", "create", "acme").stdout.strip()
    given = key if given == "key" else hash_of(key)
    assert auction("keys", "revoke", given).stdout == "revoked\n"
    assert hash_of(key) not in auction("keys", "list", "acme").stdout
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
def test_an_unknown_seller_is_refused_with_those_that_are_known(auction: Run, command: str) -> None:
    result = auction("keys", command, "acem")
    assert (result.exit_code, result.stderr) == (2, "there is no seller 'acem'; known: acme\n")


def test_an_unknown_key_is_refused(auction: Run) -> None:
    assert auction("keys", "revoke", "ak_x").stderr == "no seller has this key\n"


def test_a_buyers_hash_key_stays_the_same_and_is_its_own(auction: Run, folder: Path) -> None:
    orders = [{"id": "a", "buyer": "ann"}, {"id": "b", "buyer": "bob"}]
    (folder / "market.yaml").write_text(catalogue(orders))
    auction("apply", "market.yaml")
    shown = [auction("keys", "hash", buyer).stdout.strip() for buyer in ("ann", "bob", "ann")]
    assert [len(bytes.fromhex(key)) for key in shown] == [32, 32, 32]
    assert shown[0] == shown[2] != shown[1]
    refused = auction("keys", "hash", "amn")
    assert (refused.exit_code, refused.stderr) == (2, "there is no buyer 'amn'; known: ann, bob\n")
