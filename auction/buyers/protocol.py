"""The native protocol between the house and a buyer: what is sent, and what an answer means.

Pure: no I/O, no clock. A ping's body is encoded once per auction and only the order is spliced in per
buyer. An answer is decoded once, into typed structs, and becomes one of a few plain outcomes.

What the answer to a *post* means. An exclusive lead must never be sold twice (P1), and a rejected one goes to
the next buyer: so only what certainly says "not taken" is a rejection.

| answer                                    | outcome                                                    |
|-------------------------------------------|------------------------------------------------------------|
| 2xx, `status` "accepted"                  | Accepted                                                   |
| 2xx or 4xx, `status` "rejected"           | Rejected, with the buyer's reason                          |
| 2xx, anything else                        | Unknown: unreadable or empty, it may have been stored      |
| 3xx                                       | Unknown: many a form answers 303 *after* it stored         |
| 4xx of `_NOT_TAKEN`, no `status`          | Rejected `http_4xx`: turned away at the door               |
| 4xx, `status` "accepted"                  | Unknown: it contradicts itself                             |
| 408, 409, 425, every other 4xx            | Unknown: half received, or the same key still at work      |
| 5xx                                       | Unknown: a gateway gives up while its backend goes on      |
| none: too late, or the connection lost    | Unknown, said by `delivery`                                |
| none: not a byte of the request was sent  | NotSent, said by `delivery`: certainly not taken           |

429 stands among the rejections: a limiter answers it *instead of* handling the request (RFC 6585, 4), and an
Unknown would lock every lead above a buyer's rate until a person settles it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from auction.market.money import MOST_MICROS, bid_from_wire, to_wire
from auction.market.reasons import Reason

MOST_BIDS = 8
TEXT_LIMIT = 200
URL_LIMIT = 2_000
_LONGEST_S = 86_400

# ---------------------------------------------------------------------------------------------- the ping


class Bid(Struct, frozen=True, gc=False):
    """One price of one answer. `expires_in_s` is how long the buyer stands by it, where it says so."""

    price_micros: int
    exclusive: bool
    bid_id: str | None = None
    expires_in_s: int | None = None


class Offered(Struct, frozen=True):
    """The buyer bids: one price, or several of which the auction may take one."""

    bids: tuple[Bid, ...]


class NoBid(Struct, frozen=True, gc=False):
    """The buyer was asked and does not want it."""

    reason: str | None = None


class Refused(Struct, frozen=True, gc=False):
    """An answer that cannot be used. `said`: what there is to say of it, never the buyer's words."""

    reason: Reason
    said: str | None = None


class _Ping(Struct):
    ping_id: str
    campaign: str
    floor: float
    currency: str
    test: bool
    lead: dict[str, Any]


class PingBody:
    """The body of one auction's bid requests: all but the order and its time, encoded once."""

    __slots__ = ("_start",)

    def __init__(
        self,
        *,
        ping_id: str,
        campaign: str,
        floor_micros: int,
        currency: str,
        test: bool,
        lead: dict[str, Any],
    ) -> None:
        """`lead` holds ping fields only: nothing here looks for what names a person (P7)."""
        ping = _Ping(ping_id, campaign, to_wire(floor_micros), currency, test, lead)
        self._start = _ENCODER.encode(ping)[:-1]

    def for_order(self, order_json: bytes, tmax_ms: int, hashed: bytes = b"") -> bytes:
        """The body for one order: its id as JSON (`order_json("sunrise-tx")`, made once), its time.

        `hashed`: what `hashed_json` made for this order's buyer.
        """
        return b'%b,"tmax":%d,"order":%b%b}' % (self._start, tmax_ms, order_json, hashed)


def order_json(order: str) -> bytes:
    """An order's id as `PingBody.for_order` takes it."""
    return _ENCODER.encode(order)


def hashed_json(hashes: dict[str, str]) -> bytes:
    """The key `hashed` of a ping, for one buyer: fields that name a person as that buyer's own hashes."""
    return b',"hashed":%b' % _ENCODER.encode(hashes)


class _WireBid(Struct, gc=False):
    price: float
    exclusive: bool | None = None
    bid_id: str | None = None
    expires_in: float | None = None


class _WireAnswer(Struct, gc=False):
    bid: float | None = None
    bid_id: str | None = None
    expires_in: float | None = None
    reason: str | None = None
    bids: Annotated[list[_WireBid], Meta(max_length=MOST_BIDS)] | None = None


_ENCODER = msgspec.json.Encoder()
_ANSWER = msgspec.json.Decoder(_WireAnswer)
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_NO_BID = NoBid()


def read_bids(
    status: int, body: bytes, *, order_exclusive: bool, max_micros: int = MOST_MICROS
) -> Offered | NoBid | Refused:
    """What a buyer's answer to a ping says. Never raises.

    `max_micros` is what the order declared as its highest bid; `order_exclusive` is what a price means that
    does not say. One price that breaks the rules spoils the whole answer: we do not guess which of them
    were meant.
    """
    if status != 200:
        return _NO_BID if status == 204 else Refused(Reason.HTTP_STATUS, f"HTTP {status}")
    try:
        answer = _ANSWER.decode(body)
    except _UNREADABLE:
        return Refused(Reason.BAD_ANSWER)
    if answer.bids:
        if answer.bid:
            return Refused(Reason.BAD_ANSWER)  # two ways of saying a price: which one holds?
        return _several(answer.bids, order_exclusive, max_micros)
    if not answer.bid:
        return NoBid(_text(answer.reason)) if answer.reason else _NO_BID
    bid = _bid(answer.bid, order_exclusive, answer.bid_id, answer.expires_in, max_micros)
    return Offered((bid,)) if bid.__class__ is Bid else _no(bid)  # type: ignore[arg-type]


def _several(wires: list[_WireBid], order_exclusive: bool, max_micros: int) -> Offered | NoBid | Refused:
    bids = []
    for wire in wires:
        exclusive = order_exclusive if wire.exclusive is None else wire.exclusive
        bid = _bid(wire.price, exclusive, wire.bid_id, wire.expires_in, max_micros)
        if isinstance(bid, Bid):
            bids.append(bid)
        elif bid is not None:
            return Refused(bid)
    return Offered(tuple(bids)) if bids else _no(None)


def _bid(
    price: float, exclusive: bool, bid_id: str | None, expires_in: float | None, max_micros: int
) -> Bid | Reason | None:
    """A bid; or why there is none; or None for a price of nothing, which is no bid and no mistake."""
    price_micros = bid_from_wire(price)
    if price_micros is None:
        return Reason.BAD_PRICE
    if price_micros > max_micros:
        return Reason.OVER_MAX
    if expires_in is not None:
        if expires_in < 1:
            return Reason.BAD_ANSWER
        expires_in = int(expires_in) if expires_in < _LONGEST_S else _LONGEST_S
    if not price_micros:
        return None
    if bid_id is not None and (len(bid_id) > TEXT_LIMIT or not bid_id.isprintable()):
        bid_id = _text(bid_id)
    return Bid(price_micros, exclusive, bid_id, expires_in)


def _no(reason: Reason | None) -> NoBid | Refused:
    return _NO_BID if reason is None else Refused(reason)


# ---------------------------------------------------------------------------------------------- the post


class Accepted(Struct, frozen=True):
    """The buyer took the lead. `redirect_url` is where the consumer may be sent."""

    buyer_lead_id: str | None = None
    redirect_url: str | None = None


class Rejected(Struct, frozen=True):
    """The buyer certainly did not take the lead; why, in its own words or as `http_422`."""

    reason: str


class Unknown(Struct, frozen=True):
    """It may have been taken: to be retried with the same key, or settled; never to be assumed (P1)."""

    why: str


class NotSent(Struct, frozen=True):
    """Not a byte of the request left the house: certainly not taken."""

    reason: Reason
    why: str


class _Post(Struct):
    lead_id: str
    ping_id: str
    bid_id: str | None
    order: str
    price: float
    campaign: str
    test: bool
    lead: dict[str, Any]


class _PostAnswer(Struct):
    status: str
    reason: str | None = None
    buyer_lead_id: str | int | None = None
    redirect_url: str | None = None


_POST_ANSWER = msgspec.json.Decoder(_PostAnswer)
_CODE = re.compile(r"(?!.*[0-9]{5})[A-Za-z][A-Za-z0-9_.:-]{0,63}")
"""One word, and no number in it that could be a zip code or a phone."""
_NOT_TAKEN = frozenset(
    {400, 401, 402, 403, 404, 405, 410, 411, 413, 414, 415, 421, 422, 426, 428, 429, 431, 451}
)


def post_body(
    *,
    lead_id: str,
    ping_id: str,
    bid_id: str | None,
    order: str,
    price_micros: int,
    campaign: str,
    test: bool,
    lead: dict[str, Any],
) -> bytes:
    """The body of a post: the lead with all its fields, and what it was bought for."""
    price = to_wire(price_micros)
    return _ENCODER.encode(_Post(lead_id, ping_id, bid_id, order, price, campaign, test, lead))


def read_post(status: int, body: bytes) -> Accepted | Rejected | Unknown:
    """What a buyer's answer to a post says, by the table at the top. Never raises."""
    answer = _post_answer(body)
    said = answer.status if answer is not None else None
    if 200 <= status < 300:
        if answer is not None and said == "accepted":
            return _accepted(answer)
        if answer is not None and said == "rejected":
            return Rejected(_reason(answer))
        return Unknown(f"http_{status} without a readable status")
    if 400 <= status < 500:
        if answer is not None and said == "rejected":
            return Rejected(_reason(answer))
        if said != "accepted" and status in _NOT_TAKEN:
            return Rejected(f"http_{status}")
    return Unknown(f"http_{status}")


def settles(repeated: Accepted | Rejected | Unknown | NotSent) -> bool:
    """Whether the answer to a repetition is the buyer's word on the lead, and not only on this one request."""
    return isinstance(repeated, Accepted) or (
        isinstance(repeated, Rejected) and not repeated.reason.startswith("http_")
    )


def _post_answer(body: bytes) -> _PostAnswer | None:
    try:
        return _POST_ANSWER.decode(body)
    except _UNREADABLE:
        return None


def _accepted(answer: _PostAnswer) -> Accepted:
    lead_id, url = answer.buyer_lead_id, answer.redirect_url
    if url is not None and not _is_link(url):
        url = None
    return Accepted(None if lead_id is None else _text(str(lead_id)), url)


def _is_link(url: str) -> bool:
    return (
        len(url) <= URL_LIMIT
        and url.startswith(("https://", "http://"))
        and url.isprintable()
        and " " not in url
    )


def _reason(answer: _PostAnswer) -> str:
    """The buyer's reason if it is a code. Whole sentences may name the person, and reasons are kept and shown."""
    reason = answer.reason or ""
    return reason if is_reason(reason) else "rejected"


def is_reason(text: str) -> bool:
    """Whether this is a reason that we keep and show: one word that can name nobody."""
    return _CODE.fullmatch(text) is not None


def _text(text: str) -> str:
    """A buyer's text as we keep it: at most `TEXT_LIMIT` characters, only such as can be shown."""
    if len(text) > TEXT_LIMIT:
        text = text[:TEXT_LIMIT]
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())
