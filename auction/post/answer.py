"""What a post can be answered, and the request behind it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import msgspec

from auction.ledger.sealing import Sealer


class PostRequest(msgspec.Struct, frozen=True, gc=False):
    """A post as a door hands it in. `body_hash` tells the same request from another one with the same ping. `buyer` is
    whom the seller chose among those that bid, where it did; `keyed` stands for the key of a request that said no ping,
    where its lead may be sold by the offer of another."""

    ping_id: str
    lead: dict[str, Any]
    body_hash: bytes
    buyer: str | None = None
    keyed: str | None = None


class PostAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`200` of `POST /post` and `/direct`: sold, rejected with the reason, or pending. Stored, and given again."""

    lead_id: str
    ping_id: str
    status: str
    reason: str | None = None
    payout: float | None = None
    currency: str | None = None
    buyers: tuple[str, ...] = ()
    redirect_url: str | None = None
    test: bool = False


encode_post_answer = msgspec.json.Encoder().encode
decode_post_answer = msgspec.json.Decoder(PostAnswer).decode


class Answers:
    """Answers as they lie in the ledger: sealed, for a redirect URL may well name the person it is for."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, lead_id: str, body: bytes) -> str:
        """The answer of this lead as text for the ledger."""
        return b64encode(self._sealer.seal(body, _about(lead_id))).decode()

    def open(self, lead_id: str, kept: str) -> bytes:
        """What `seal` was given."""
        return self._sealer.open(b64decode(kept), _about(lead_id))


def _about(lead_id: str) -> bytes:
    return f"answer:{lead_id}".encode()
