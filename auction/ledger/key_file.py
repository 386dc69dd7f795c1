"""The file of keys in the data folder: one a line (base64), newest first, for the owner's eyes alone.

It is read again while the house runs, so a new key needs no restart: every worker looks at the file four times a
second, and at once when it meets a value sealed with a key that it does not know.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from auction.errors import OperatorError
from auction.ledger.sealing import KEY_BYTES, key_from_text

_MOST_BYTES: Final = 65_536
_BESIDE: Final = re.compile(r"\.[0-9]+\.[0-9a-f]{8}")


class KeyFile:
    """The keys at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None

    def load_or_make(self) -> tuple[bytes, ...]:
        """Its keys; one is made where there is no file. Any number of workers may start at once: one makes it.

        Raises `OperatorError` if others may read the file, or it holds no key.
        """
        if not self.path.exists():
            beside = self._written_beside([secrets.token_bytes(KEY_BYTES)])
            try:
                with suppress(FileExistsError):  # another worker was first
                    os.link(beside, self.path)
            finally:
                beside.unlink()
            self._sync_folder()
        return self.load()

    def load(self) -> tuple[bytes, ...]:
        """Its keys as they are now. Raises `OperatorError`."""
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                text = file.read(_MOST_BYTES)
        except OSError as error:
            raise OperatorError("bad_key_file", f"{self.path} cannot be read: {error.strerror}") from None
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise OperatorError(
                "key_readable", f"others may read the secret key: run `chmod 600 {self.path}`"
            )
        self._seen = _mark_of(found)
        try:
            lines = [line.strip() for line in text.decode("ascii").splitlines()]
            keys = tuple(key_from_text(line) for line in lines if line and not line.startswith("#"))
        except (OperatorError, UnicodeDecodeError):
            keys = ()
        if not keys:
            raise OperatorError(
                "bad_key_file", f"{self.path} holds no key: put the right one back from a copy"
            )
        return keys

    def changed(self) -> bool:
        """Whether the file is another than when it was last read."""
        try:
            return _mark_of(self.path.stat()) != self._seen
        except OSError:
            return False

    def add(self) -> None:
        """Put a new key in front: it seals from now on. Raises `OperatorError`."""
        self._replace([secrets.token_bytes(KEY_BYTES), *self.load()])

    def keep_newest(self) -> int:
        """Drop all keys but the newest, also where somebody was killed while writing; how many there were.

        Raises `OperatorError`.
        """
        newest, *others = self.load()
        if others:
            self._replace([newest])
        for left in self.path.parent.glob(f"{self.path.name}.*"):
            if _BESIDE.fullmatch(left.name.removeprefix(self.path.name)):
                left.unlink(missing_ok=True)
        return len(others)

    def written_at_s(self) -> float:
        """When it was last written, by the file system."""
        return self.path.stat().st_mtime

    def _replace(self, keys: Sequence[bytes]) -> None:
        os.replace(self._written_beside(keys), self.path)
        self._sync_folder()

    def _written_beside(self, keys: Sequence[bytes]) -> Path:
        """A whole file under another name: nobody ever reads half a key."""
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.writelines(base64.b64encode(key) + b"\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        return beside

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _mark_of(found: os.stat_result) -> tuple[int, int]:
    return found.st_ino, found.st_mtime_ns
