"""How a buyer plays a request: its manner and a seeded generator in, what to answer and how out.

PURE: no I/O, no clock. Answers are whole HTTP messages, ready to be written, so that playing one costs a few
microseconds. What a buyer *decides* and how its answer is *delivered* are two things: a lead can be taken and
the answer still be lost, which is the case that an exchange must survive.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from random import Random
from typing import Literal

import msgspec

from buyers_mock.script import Faults, Manner, PostManner, Spread

Sampler = Callable[[Random], float]
Outcome = Literal["bid", "no_bid", "accepted", "rejected", "bad_request"]
HUGE_BYTES = 4 * 1024 * 1024


class Delivery(Enum):
    """What is done with an answer."""

    WHOLE = "whole"
    LAST = "whole, then the connection is closed"
    HALF = "its head and half its body, then the connection is closed"
    DRIP = "a byte at a time"
    HANG = "never written"
    RESET = "not written: the connection is reset"
    CLOSE = "not written: the connection is closed"


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What a buyer says to one request; an `Idempotency-Key` binds it."""

    outcome: Outcome
    answer: bytes
    reason: str = ""


class Play(msgspec.Struct, frozen=True, gc=False):
    """What to do about one request. `decision` is None where the buyer broke before it decided."""

    answer: bytes
    delay_ms: float = 0.0
    delivery: Delivery = Delivery.WHOLE
    decision: Decision | None = None
    fault: str | None = None
    repeat: bool = False

    @property
    def answered(self) -> str:
        """For people: `bid`, `rejected: duplicate`, `nothing`."""
        if self.decision is None:
            return "nothing"
        return (
            f"{self.decision.outcome}: {self.decision.reason}"
            if self.decision.reason
            else self.decision.outcome
        )


def http(status: str, body: bytes, content_type: str = "application/json") -> bytes:
    """A whole HTTP/1.1 answer; `status` as in `200 OK`."""
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (
        status.encode(),
        content_type.encode(),
        len(body),
        body,
    )


_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises at a body that is no JSON, or not of the shape asked for."""
BAD_REQUEST = Decision("bad_request", http("400 Bad Request", b'{"error":"expected a JSON object"}'))

_SPOILED: dict[str, tuple[bytes | None, Delivery]] = {
    "error_500": (http("500 Internal Server Error", b'{"error":"out of order"}'), Delivery.WHOLE),
    "hang": (b"", Delivery.HANG),
    "garbage": (http("200 OK", b'{"bid":12.5,<br />Notice: Undefined index'), Delivery.WHOLE),
    "bad_http": (b"\x16\x03\x01 this is not HTTP at all\r\n\r\n", Delivery.LAST),
    "half_answer": (None, Delivery.HALF),
    "huge": (
        http("200 OK", b'{"bid":1,"status":"accepted","padding":"' + b"x" * HUGE_BYTES + b'"}'),
        Delivery.WHOLE,
    ),
    "reset": (b"", Delivery.RESET),
    "close": (b"", Delivery.CLOSE),
    "slow_drip": (None, Delivery.DRIP),
    "negative": (http("200 OK", b'{"bid":-12.5,"bid_id":"negative","expires_in":60}'), Delivery.WHOLE),
}
UNDECIDED = frozenset({"error_500", "negative"})
"""Faults before the buyer decides anything."""


def spoiled(fault: str, answer: bytes) -> tuple[bytes, Delivery]:
    """What becomes of `answer` under `fault`."""
    instead, delivery = _SPOILED[fault]
    return (answer if instead is None else instead), delivery


def half(answer: bytes) -> bytes:
    """The head and half the body; half the head where there is no body."""
    head = answer.index(b"\r\n\r\n") + 4
    return answer[: head + (len(answer) - head) // 2] if len(answer) > head else answer[: head // 2]


def sampler(spread: float | Spread) -> Sampler:
    """Draws numbers as `spread` says."""
    if not isinstance(spread, Spread):
        fixed = float(spread)
        return lambda rng: fixed
    draw = _draw(spread)
    low, high = spread.min, spread.max
    return lambda rng: min(max(draw(rng), low), high)


def _draw(spread: Spread) -> Sampler:
    if spread.uniform is not None:
        start, end = spread.uniform
        return lambda rng: start + (end - start) * rng.random()
    if spread.normal is not None:
        mean, deviation = spread.normal
        return lambda rng: rng.gauss(mean, deviation)
    if spread.choices is not None:
        choices = spread.choices
        return lambda rng: rng.choice(choices)
    spike = spread.spike
    assert spike is not None, "a Spread holds exactly one of the four"
    return lambda rng: spike.of if rng.random() < spike.share else spike.usual


class FaultDraw:
    """Draws which fault befalls a request: one random number against the shares laid end to end."""

    __slots__ = ("_bounds",)

    def __init__(self, faults: Faults) -> None:
        self._bounds: list[tuple[float, str]] = []
        bound = 0.0
        for name, share in msgspec.structs.asdict(faults).items():
            if share > 0:
                bound += share
                self._bounds.append((bound, name))

    def __call__(self, rng: Random) -> str | None:
        """The fault's name, or None."""
        if not self._bounds:
            return None
        drawn = rng.random()
        for bound, name in self._bounds:
            if drawn < bound:
                return name
        return None


class Bidding:
    """How one buyer answers pings: its manner, compiled."""

    __slots__ = (
        "_bids",
        "_buyer",
        "_expires_in",
        "_no_bid",
        "_price",
        "_share_no_bid",
        "_tail",
        "faults",
        "latency",
    )

    def __init__(self, buyer: str, manner: Manner) -> None:
        bid = manner.bid
        self.faults = FaultDraw(manner.faults)
        self.latency = sampler(manner.latency_ms)
        self._buyer = buyer
        self._price = sampler(bid.price)
        self._bids = [(sampler(one.price), _exclusive(one.exclusive)) for one in manner.bids]
        self._expires_in = bid.expires_in
        self._tail = f'","expires_in":{bid.expires_in}{_exclusive(bid.exclusive)}}}'
        self._share_no_bid = bid.share_no_bid
        self._no_bid = Decision("no_bid", _NO_CONTENT)
        if bid.no_bid_reason is not None:
            answer = msgspec.json.encode({"bid": 0, "reason": bid.no_bid_reason})
            self._no_bid = Decision("no_bid", http("200 OK", answer), bid.no_bid_reason)

    def decide(self, rng: Random, number: int) -> Decision:
        """The bid, or bids, or no bid; `number` makes its id."""
        if self._share_no_bid and rng.random() < self._share_no_bid:
            return self._no_bid
        if self._bids:
            body = self._several(rng, number)
        else:
            price = max(0.01, self._price(rng))
            body = f'{{"bid":{price:.2f},"bid_id":"{self._buyer}-{number}{self._tail}'.encode()
        return Decision("bid", _OK % (len(body), body))

    def _several(self, rng: Random, number: int) -> bytes:
        bids = ",".join(
            f'{{"price":{max(0.01, price(rng)):.2f},"bid_id":"{self._buyer}-{number}-{n}'
            f'","expires_in":{self._expires_in}{exclusive}}}'
            for n, (price, exclusive) in enumerate(self._bids, 1)
        )
        return f'{{"bids":[{bids}]}}'.encode()


def _exclusive(exclusive: bool | None) -> str:
    return "" if exclusive is None else f',"exclusive":{"true" if exclusive else "false"}'


class Taking:
    """How one buyer answers posts: its manner, compiled."""

    __slots__ = ("_buyer", "_manner", "faults", "latency")

    def __init__(self, buyer: str, manner: PostManner) -> None:
        self.faults = FaultDraw(manner.faults)
        self.latency = sampler(manner.latency_ms)
        self._buyer = buyer
        self._manner = manner

    def decide(self, rng: Random, number: int, refuse: str | None) -> Decision:
        """Takes the lead or not; `refuse` is the reason where a rule of the buyer's own says no."""
        manner = self._manner
        if refuse is None and manner.accept < 1 and rng.random() >= manner.accept:
            refuse = rng.choice(manner.reject_reasons)
        said: dict[str, str | None]
        if refuse is not None:
            said = {"status": "rejected", "reason": refuse}
            return Decision("rejected", http("200 OK", msgspec.json.encode(said)), refuse)
        said = {
            "status": manner.status,
            "buyer_lead_id": f"{self._buyer}-{number}",
            "redirect_url": manner.redirect_url,
        }
        return Decision("accepted", http("200 OK", msgspec.json.encode(said)))
