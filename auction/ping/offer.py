"""The open ping: what is kept between the ping and its post, and the answers a ping can have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from auction.errors import FieldMistake
from auction.market.model import FieldValue
from auction.market.money import to_wire
from auction.ping.bids import Bid, Terms, Win, choices


class PingRequest(msgspec.Struct, frozen=True, gc=False):
    """A ping as a door hands it in: shape checked, the lead's fields not yet.

    `mistakes` are those of the shape, to be told together with the lead's. `buyer` is the only one that is asked, if
    the seller named one; `lists_buyers`: the seller is to choose among all that bid.
    """

    campaign: str
    lead: dict[str, Any]
    tmax_ms: int | None = None
    floor_micros: int = 0
    sub_id: str | None = None
    test: bool = False
    mistakes: Sequence[FieldMistake] = ()
    buyer: str | None = None
    lists_buyers: bool = False


class OpenPing(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Kept by the counters under the ping's id until it is posted or expires.

    `ranked` are all bids that could still win, best first; `wins` those whose places are held. `print_of` is the
    fingerprint under which an equal ping gets the same offer. `opens` false: nobody but its caller can post it.
    `hashed` are keyed hashes of fields that name a person, as pinged: the post must not say otherwise. `chosen` is the
    bid that the seller named in its post: it goes before the winners.
    """

    ping_id: str
    seller: str
    campaign: str
    test: bool
    at_ms: int
    until_ms: int
    market_version: int
    sub_id: str | None
    values: dict[str, FieldValue]
    terms: Terms
    ranked: list[Bid]
    wins: tuple[Win, ...]
    print_of: bytes | None = None
    opens: bool = True
    hashed: dict[str, str] = {}
    chosen: Win | None = None

    def post_instant(self, now_ms: int) -> int:
        """When its lead is posted, or offered on. Never before its ping, whatever the clocks say: its places are held
        in the windows from then on, and in no earlier one."""
        return max(now_ms, self.at_ms)

    @property
    def payout_micros(self) -> int:
        """What the seller was promised if every winner takes the lead."""
        return sum(win.payout_micros for win in self.wins)

    @property
    def exclusive(self) -> bool:
        """Whether the lead would go to one buyer alone."""
        return self.terms.mode == "exclusive" or any(win.bid.exclusive for win in self.wins)


class OfferedBid(msgspec.Struct, frozen=True, gc=False):
    """One winner, as the seller sees it."""

    bid_id: str
    payout: float
    exclusive: bool


class PingAnswer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`200` of `POST /ping`: an offer, or no bid with the reason."""

    ping_id: str
    status: str
    reason: str | None = None
    payout: float | None = None
    currency: str | None = None
    exclusive: bool | None = None
    expires_in: int | None = None
    expires_at: str | None = None
    bids: tuple[OfferedBid, ...] = ()
    test: bool = False


class BuyerBid(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What the seller gets if it chooses this buyer, and until when the buyer stands by it."""

    buyer_id: str
    payout_micros: int
    exclusive: bool
    until_ms: int


def buyer_bids(ping: OpenPing) -> tuple[BuyerBid, ...]:
    """All buyers that the lead of this ping can go to, the best payout first."""
    return tuple(
        BuyerBid(
            win.bid.buyer_id,
            win.payout_micros,
            ping.terms.mode == "exclusive" or win.bid.exclusive,
            min(ping.until_ms, ping.at_ms + win.bid.stands_s * 1000) if win.bid.stands_s else ping.until_ms,
        )
        for win in choices(ping.ranked, ping.wins, ping.terms)
    )


class KeptAnswer(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An offer's answer as it is kept for a repeated ping: `expires_in` is worked out anew each time.

    `buyers` are there for those whose seller chooses among them.
    """

    until_ms: int
    answer: PingAnswer
    buyers: tuple[BuyerBid, ...] = ()

    def at(self, now_ms: int) -> PingAnswer:
        """The same answer, some time later."""
        return msgspec.structs.replace(self.answer, expires_in=seconds_left(self.until_ms, now_ms))


def seconds_left(until_ms: int, now_ms: int) -> int:
    """Whole seconds, rounded down: a seller that trusts it is never late."""
    return max(0, (until_ms - now_ms) // 1000)


def iso_utc(at_ms: int) -> str:
    """RFC 3339 with milliseconds."""
    return f"{_second(at_ms // 1000)}.{at_ms % 1000:03d}Z"


@lru_cache(maxsize=1_024)
def _second(at_s: int) -> str:
    """A second is shared by every ping of it, and to write one down takes longer than to choose the winner."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def offer_answer(ping: OpenPing, now_ms: int, currency: str) -> PingAnswer:
    """The answer to a ping whose winners' places are held."""
    alone = ping.exclusive
    return PingAnswer(
        ping_id=ping.ping_id,
        status="offer",
        payout=to_wire(ping.payout_micros),
        currency=currency,
        exclusive=alone,
        expires_in=seconds_left(ping.until_ms, now_ms),
        expires_at=iso_utc(ping.until_ms),
        bids=tuple(
            OfferedBid(f"{ping.ping_id}-{place}", to_wire(win.payout_micros), alone)
            for place, win in enumerate(ping.wins, start=1)
        ),
        test=ping.test,
    )


encode_open_ping = msgspec.msgpack.Encoder().encode
decode_open_ping = msgspec.msgpack.Decoder(OpenPing).decode
encode_kept_answer = msgspec.msgpack.Encoder().encode
decode_kept_answer = msgspec.msgpack.Decoder(KeptAnswer).decode
_encode_text = msgspec.msgpack.Encoder().encode


def owned_by(ping_id: str, seller_id: str) -> bytes:
    """What stands first in every encoded open ping of this id and seller, behind MessagePack's head of an array (one
    byte, or three)."""
    return _encode_text(ping_id) + _encode_text(seller_id)
