"""Fields that name a person and go into a ping as a hash: how a value is spelled, and what a buyer is sent. Pure.

A buyer that has a lead already can say so before it bids, if it is told a hash that it can compute over its own
list. Two steps, so that a seller that will not tell the value itself can take part:

1. the *digest*: SHA-256 (hex) of the value in one spelling, which everybody makes alike: a phone as E.164
   (`+15125550142`), an email in lower case with no space around it, a text in lower case with single spaces.
   A seller sends this, or the plain value; either way nobody else ever sees it: a plain SHA-256 of a phone is
   undone in minutes by trying all phones.
2. the *buyer's hash*: HMAC-SHA256 (hex) of the digest's 64 characters under a key that is this buyer's alone. So what
   two buyers were sent cannot be put together, and whoever has no key learns nothing.

What no hash can do: a buyer has its own key, so it can try every phone there is. A field goes out as a hash only
where the operator says so (`ping_as: hash`), to buyers that are trusted with that.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256

from auction.market.model import FieldType, FieldValue

HASHABLE: frozenset[FieldType] = frozenset({"phone", "email", "text"})
"""Types whose values tell people apart and have one spelling."""
DIGEST = re.compile(r"[0-9A-Fa-f]{64}")


def spelled(kind: FieldType, value: FieldValue) -> str:
    """The one spelling under which a normalised value of this type is hashed."""
    text = str(value)
    return text if kind == "phone" else " ".join(text.split()).lower()


def digest_of(kind: FieldType, value: FieldValue) -> str:
    """SHA-256 of a normalised value, as 64 lower-case hex characters."""
    return sha256(spelled(kind, value).encode()).hexdigest()


def hash_for_buyer(key: bytes, digest: str) -> str:
    """What the buyer with this key is sent: 64 lower-case hex characters, of no use to anybody else."""
    return hmac.digest(key, digest.encode(), "sha256").hex()


def hashes_for_buyer(key: bytes, digests: Mapping[str, str]) -> dict[str, str]:
    """Each field's digest as this buyer is sent it."""
    return {name: hash_for_buyer(key, digest) for name, digest in digests.items()}
