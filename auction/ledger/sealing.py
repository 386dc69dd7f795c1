"""Keeps personal data unreadable in the ledger: AES-256-GCM for what must be read again, keyed hashes for
the rest.

Several keys can be given, newest first: the first seals, all of them open, so a key is changed by putting a
new one in front and dropped when nothing sealed with it is left. Hashes have to stay equal over such a
change or duplicates would pass, so they are made with the *last* key of the list.

A sealed value is: 4 bytes that name the key, 12 random bytes (the nonce), the ciphertext with its tag.
Random nonces are good for 2**32 seals under one key (NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from auction.errors import HouseError, OperatorError

KEY_BYTES: Final = 32
_NAME_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = _NAME_BYTES + _NONCE_BYTES


class Sealer:
    """Seals and opens. Each use of a key has a subkey of its own, so none of them can help to break
    another."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise OperatorError("bad_secret_key", f"AUCTION_SECRET_KEY needs keys of {KEY_BYTES} bytes each")
        self._ciphers = {_derive(key, "name")[:_NAME_BYTES]: AESGCM(_derive(key, "seal")) for key in keys}
        self._name = next(iter(self._ciphers))
        self._hash_key = _derive(keys[-1], "hash")
        self._purpose_key = lru_cache(maxsize=1_024)(self._key_for)

    def seal(self, plain: bytes, about: bytes) -> bytes:
        """The ciphertext of `plain`, bound to what it is `about` (a lead's id): it opens with the same
        only."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self._name + nonce + self._ciphers[self._name].encrypt(nonce, plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """What was sealed. Raises `HouseError` if its key is not among ours, or it is not what was sealed."""
        cipher = self._ciphers.get(sealed[:_NAME_BYTES])
        if cipher is None:
            raise HouseError("sealed_with_other_key", "AUCTION_SECRET_KEY lacks the key this was sealed with")
        try:
            return cipher.decrypt(sealed[_NAME_BYTES:_HEAD_BYTES], sealed[_HEAD_BYTES:], about)
        except (InvalidTag, ValueError):
            raise HouseError("seal_broken", "a sealed value is not what was sealed") from None

    def keyed_hash(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA256 of `data` under a key made for `purpose`: hashes of two purposes cannot be compared."""
        return hmac.digest(self._purpose_key(purpose), data, "sha256")

    def _key_for(self, purpose: str) -> bytes:
        return hmac.digest(self._hash_key, purpose.encode(), "sha256")


def keys_from_text(text: str) -> tuple[bytes, ...]:
    """The keys of a setting: base64 or hex, newest first, commas between. Raises `OperatorError`."""
    return tuple(_key_from_text(part.strip()) for part in text.split(","))


def load_or_make_key(path: Path) -> bytes:
    """The key in this file (base64, one line); made, for the owner's eyes only, where there is none.

    Any number of workers may start at once: one makes it, all read the same. Raises `OperatorError` if others
    may read the file, or it holds no key.
    """
    if not path.exists():
        _make_key(path)
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read(1_024)
    if mode & 0o077:
        raise OperatorError("key_readable", f"others may read the secret key: run `chmod 600 {path}`")
    try:
        return _key_from_text(text.decode("ascii").strip())
    except (OperatorError, UnicodeDecodeError):
        raise OperatorError(
            "bad_key_file", f"{path} holds no key: put the right one back from a copy"
        ) from None


def _make_key(path: Path) -> None:
    """Written beside and then linked, so that nobody ever reads half a key and the first one stays."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another worker was first
            os.link(beside, path)
    finally:
        beside.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _key_from_text(text: str) -> bytes:
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
