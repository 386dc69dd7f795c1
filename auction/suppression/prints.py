"""What is kept of a suppressed number or address: a print of eight bytes, made with a key. Pure.

A list may come as values or as their hashes (`sha256` or `md5`, in hex, of the normalised value), for the trade
hands such lists around hashed. Either way the same print is made: values are hashed first. It is keyed, since the
hash of a phone number tells the number to whoever tries them all; and eight bytes are enough: of ten million entries
one in two trillion other values looks like one of them.
"""

from __future__ import annotations

import re
from hashlib import blake2b, md5, sha256
from typing import Literal

from auction.market.hashing import spelled

Form = Literal["sha256", "md5"]
PRINT_BYTES = 8
_HEX: dict[Form, re.Pattern[str]] = {
    "sha256": re.compile(r"[0-9a-fA-F]{64}"),
    "md5": re.compile(r"[0-9a-fA-F]{32}"),
}


def one_spelling(value: str) -> str:
    """How a normalised value is printed where it came as a value: an email or a text in lower case with single spaces,
    as the trade and `market.hashing` hash them, so that capitals lead nobody past a list. A URL stays as it is.
    """
    return value if "://" in value else spelled("text", value)


class Prints:
    """Makes prints under one key (32 bytes, the house's own)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of_value(self, value: str, form: Form) -> int:
        """The print of a normalised value, in a list of this form."""
        data = value.encode()
        digest = sha256(data) if form == "sha256" else md5(data, usedforsecurity=False)
        return self._of(digest.digest())

    def of_hash(self, text: str, form: Form) -> int:
        """The print of a hash as it came, in hex. Raises `ValueError`."""
        if not _HEX[form].fullmatch(text):
            raise ValueError(f"expected the {form} of a value, in hex")
        return self._of(bytes.fromhex(text))

    def _of(self, digest: bytes) -> int:
        return int.from_bytes(blake2b(digest, digest_size=PRINT_BYTES, key=self._key).digest(), "big")
