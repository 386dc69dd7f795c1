"""Keyed hashes of the fields that name a person, between ping and post: one key for the house, one for each buyer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from auction.market.hashing import digest_of, hash_for_buyer
from auction.market.model import FieldType, FieldValue

Keyed = Callable[[str, bytes], bytes]
"""`Sealer.keyed_hash`: of a purpose and some bytes."""


class Hashed(msgspec.Struct, frozen=True, gc=False):
    """What one ping carries as hashes: `digests` for the auction's time only, `kept` to be kept until the post."""

    digests: dict[str, str] = {}
    kept: dict[str, str] = {}


NOTHING = Hashed()


def person_hash(keyed: Keyed, kind: FieldType, value: FieldValue) -> bytes:
    """Under which a person's phone or email (as a field's reader gives it) is found again, however it was spelled."""
    return keyed("person", f"{kind}:{digest_of(kind, value)}".encode())


def sameness_hash(keyed: Keyed, campaign_id: str, told: bytes) -> bytes:
    """Under which leads of a campaign that are the same find each other; `told` is what `market.duplicates` says."""
    return keyed(f"duplicates:{campaign_id}", told)


class Hashes:
    """Makes them. `keyed` hashes under the house's own key, which no rotation of sealing keys changes."""

    def __init__(self, keyed: Keyed) -> None:
        self._house_key = keyed("pinged", b"")
        self._keyed = keyed

    def buyer_key(self, buyer_id: str) -> bytes:
        """The key of one buyer's hashes: 32 bytes, the same for good. `auction keys hash BUYER` shows it."""
        return self._keyed("buyer", buyer_id.encode())

    def same(self, campaign_id: str, told: bytes) -> bytes:
        """`sameness_hash` under this house's key."""
        return sameness_hash(self._keyed, campaign_id, told)

    def hashed(self, digests: dict[str, str]) -> Hashed:
        """These digests with what is kept of them."""
        return Hashed(digests, self.kept(digests)) if digests else NOTHING

    def kept(self, digests: Mapping[str, str]) -> dict[str, str]:
        """What is kept of a ping's digests until its post: enough to see whether the post says the same."""
        return {name: hash_for_buyer(self._house_key, digest) for name, digest in digests.items()}
