"""Keeps personal data unreadable in the ledger: AES-256-GCM for what must be read again, keyed hashes for
the rest.

Several keys can be given, newest first: the first seals, all of them open, so a key is changed by putting a new one
in front, and dropped when nothing sealed with it is left (`auction reseal`). Hashes have to stay equal over
such a change or duplicates would pass, so they have a key of their own, which lies sealed in the ledger
(`house_keys`) and is sealed again like everything else.

A sealed value is: 4 bytes that name the key, 12 random bytes (the nonce), the ciphertext with its tag.
Random nonces are good for 2**32 seals under one key (NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from auction.errors import HouseError, OperatorError

KEY_BYTES: Final = 32
NAME_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = NAME_BYTES + _NONCE_BYTES


class Sealer:
    """Seals and opens. Each use of a key has a subkey of its own, so none of them can help to break
    another."""

    def __init__(self, keys: Sequence[bytes], again: Callable[[], Sequence[bytes]] | None = None) -> None:
        """`again` gives the keys as they are now, where they can change while we run: it is asked when a sealed
        value names a key that we do not know."""
        self._ring = _Ring(keys)
        self._again = again
        self._hash_key = first_hash_key(keys)
        self._purpose_key = lru_cache(maxsize=1_024)(self._key_for)

    @property
    def name(self) -> bytes:
        """What every value that is sealed now begins with."""
        return self._ring.name

    def use(self, keys: Sequence[bytes]) -> None:
        """Seal and open with these from now on; hashes stay as they are. Safe beside other threads."""
        self._ring = _Ring(keys)

    def hash_with(self, key: bytes) -> None:
        """Make keyed hashes with this key from now on: the house's own (`house_keys`)."""
        self._hash_key = key
        self._purpose_key.cache_clear()

    def seal(self, plain: bytes, about: bytes) -> bytes:
        """The ciphertext of `plain`, bound to what it is `about` (a lead's id): it opens with the same
        only."""
        ring, nonce = self._ring, secrets.token_bytes(_NONCE_BYTES)
        return ring.name + nonce + ring.ciphers[ring.name].encrypt(nonce, plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """What was sealed. Raises `HouseError` if its key is not among ours, or it is not what was sealed."""
        name = sealed[:NAME_BYTES]
        cipher = self._ring.ciphers.get(name)
        if cipher is None and self._again is not None:
            self.use(self._again())
            cipher = self._ring.ciphers.get(name)
        if cipher is None:
            raise HouseError("sealed_with_other_key", "AUCTION_SECRET_KEY lacks the key this was sealed with")
        try:
            return cipher.decrypt(sealed[NAME_BYTES:_HEAD_BYTES], sealed[_HEAD_BYTES:], about)
        except (InvalidTag, ValueError):
            raise HouseError("seal_broken", "a sealed value is not what was sealed") from None

    def keyed_hash(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA256 of `data` under a key made for `purpose`: hashes of two purposes cannot be compared."""
        return hmac.digest(self._purpose_key(purpose), data, "sha256")

    def _key_for(self, purpose: str) -> bytes:
        return hmac.digest(self._hash_key, purpose.encode(), "sha256")


class _Ring:
    """Keys, and the name of the one that seals: looked at together, replaced together."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise OperatorError("bad_secret_key", f"AUCTION_SECRET_KEY needs keys of {KEY_BYTES} bytes each")
        self.ciphers = {_derive(key, "name")[:NAME_BYTES]: AESGCM(_derive(key, "seal")) for key in keys}
        self.name = next(iter(self.ciphers))


def first_hash_key(keys: Sequence[bytes]) -> bytes:
    """The hash key of a ledger from before it had one of its own."""
    return _derive(keys[-1], "hash") if keys else b""


def keys_from_text(text: str) -> tuple[bytes, ...]:
    """The keys of a setting: base64 or hex, newest first, commas between. Raises `OperatorError`."""
    return tuple(key_from_text(part.strip()) for part in text.split(","))


def key_from_text(text: str) -> bytes:
    """One key, base64 or hex. Raises `OperatorError`."""
    if len(text) == 2 * KEY_BYTES:
        with suppress(ValueError):
            return bytes.fromhex(text)
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise OperatorError(
            "bad_secret_key",
            f"AUCTION_SECRET_KEY needs {KEY_BYTES} bytes, base64 or hex: `openssl rand -base64 {KEY_BYTES}`",
        )
    return key


def _derive(key: bytes, use: str) -> bytes:
    return hmac.digest(key, b"auction/" + use.encode(), "sha256")
