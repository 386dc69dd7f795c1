"""What a post can be answered (DESIGN 7), and the request behind it."""

from __future__ import annotations

from typing import Any

import msgspec


class PostRequest(msgspec.Struct, frozen=True, gc=False):
    """A post as a door hands it in. `body_hash` tells the same request from another one with the same ping."""

    ping_id: str
    lead: dict[str, Any]
    body_hash: bytes


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
