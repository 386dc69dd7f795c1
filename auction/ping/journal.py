"""What is kept of every ping: who was asked, who was not and why, what each answered (P9).

The hot path only fills a `Trace`; encoding and writing happen on the ledger's thread, and a full queue costs a
log entry, never an auction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any, Protocol

import msgspec

from auction.ledger.records import PingRow
from auction.market.market import Eligibility, TradedOrder, TradedSeller
from auction.market.model import FieldValue
from auction.market.reasons import Reason
from auction.market.routing import Routed
from auction.ping.auction import Outcome
from auction.ping.bids import Bid
from auction.ping.hashes import NOTHING, Hashed
from auction.ping.offer import OpenPing, PingAnswer, PingRequest


class Dropped(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An order that was eligible and still not asked."""

    bit: int
    reason: Reason


class PingDetail(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The part of a ping's row that `explain` reads: the eligibility masks, what became of every ask, and the lead
    route that acted (with the team that it put first). Rows from before there were routes have none.
    """

    eligibility: bytes
    outcomes: list[Outcome]
    dropped: list[Dropped]
    saved_ms: float
    route: str | None = None
    team: str | None = None


class Stage:
    """The stretches of a ping's way, in the order in which they are walked (by tiers, some more than once).

    Plain numbers: to look up a member of an enum takes longer than to note the time.
    """

    ADMIT, ELIGIBLE, ASK, BUYERS, HOLD = range(5)


STAGES = ("admit", "eligible", "ask", "buyers", "hold")


class Trace:
    """One auction as it happens.

    `bought`: who bought leads like this one (see `inbound`). `opens`: its offer is kept for a post that comes later.
    `adaptive`: its buyers' times are learned. `hurried`: its seller, or we, left buyers less than half of the time that
    the campaign gives them.
    """

    __slots__ = (
        "_lap_s",
        "adaptive",
        "asked",
        "at_ms",
        "bought",
        "campaign",
        "dropped",
        "eligibility",
        "hashed",
        "hurried",
        "laps_us",
        "left_out",
        "market_version",
        "opens",
        "outcomes",
        "ping_id",
        "request",
        "routed",
        "saved_ms",
        "seller",
        "values",
    )

    def __init__(
        self,
        ping_id: str,
        seller: TradedSeller,
        campaign: str,
        market_version: int,
        at_ms: int,
        request: PingRequest,
        values: dict[str, FieldValue],
        opens: bool,
        arrived_s: float,
    ) -> None:
        self.ping_id = ping_id
        self.seller = seller
        self.campaign = campaign
        self.market_version = market_version
        self.at_ms = at_ms
        self.request = request
        self.values = values
        self.hashed: Hashed = NOTHING
        self.bought: Mapping[int, Mapping[str, int]] = {}
        self.opens = opens
        self.laps_us = [0] * len(STAGES)
        self._lap_s = arrived_s
        self.saved_ms = 0.0
        self.eligibility: Eligibility | None = None
        self.routed: Routed | None = None
        self.adaptive = self.hurried = False
        self.asked: list[TradedOrder] = []
        self.outcomes: list[Outcome] = []
        self.dropped: list[Dropped] = []
        self.left_out: Sequence[tuple[str, Reason]] = ()  # (buyer, why), of all that are dropped

    def lap(self, stage: int) -> None:
        """`stage` is walked through: what passed since the last lap was its time."""
        now_s = perf_counter()
        self.laps_us[stage] += int((now_s - self._lap_s) * 1e6)
        self._lap_s = now_s

    @property
    def buyers_us(self) -> int:
        """How long the auction waited for buyers."""
        return self.laps_us[Stage.BUYERS]

    def drop(self, orders: Iterable[TradedOrder], reason: Reason) -> None:
        """These eligible orders are not asked, for this reason."""
        left = list(orders)
        self.dropped += [Dropped(order.bit, reason) for order in left]
        self.left_out = [*self.left_out, *((order.buyer_id, reason) for order in left)]

    def won(self, bid: Bid) -> None:
        """The place of this bid's order is held; of several that the order made, it was this one."""
        for outcome in self.outcomes:
            if outcome.order_id == bid.order_id:
                outcome.reason, outcome.price_micros = Reason.WON, bid.price_micros

    def lost(self, order_id: str, reason: Reason) -> None:
        """This order's bid came to nothing."""
        for outcome in self.outcomes:
            if outcome.order_id == order_id:
                outcome.reason = reason

    def why_no_bid(self) -> str:
        """One code for the seller: the nearest that anybody came to an offer."""
        outcomes = self.outcomes
        if self.routed is not None and self.routed.target == "none":
            return "routed_to_nobody"
        if not outcomes:
            whys = (drop.reason for drop in self.dropped if drop.reason is not Reason.NOT_CHOSEN)
            return next(whys, "no_eligible_order")
        reasons = {outcome.reason for outcome in outcomes}
        for telling, code in _TELLING:
            if telling in reasons:
                return code
        return "no_bid"


_TELLING = (
    (Reason.FULL_AT_HOLD, "caps_full"),
    (Reason.BELOW_FLOOR, "below_floor"),
    (Reason.NO_BID, "no_bid"),
    (Reason.TIMEOUT, "timeout"),
)


class PingLog(Protocol):
    """Where the rows of pings go: the ledger's bounded queue."""

    def log_ping(self, row: PingRow) -> bool:
        """False when the queue is full and the row was dropped (and counted)."""
        ...


class PingTeller(Protocol):
    """Who adds up what all pings did."""

    def note(self, trace: Trace, answer: str, own_us: int) -> None:
        """One ping is over."""
        ...


class PingJournal:
    """The end of every ping: it is counted, and becomes a row of the ledger, written off the hot path."""

    def __init__(self, log: PingLog, tally: PingTeller) -> None:
        self._log = log
        self._tally = tally

    def keep(self, trace: Trace, answer: PingAnswer, open_ping: OpenPing | None, own_us: int) -> None:
        """Queue the row of one ping; counted by the ledger where its queue is full."""
        request, routed = trace.request, trace.routed
        self._tally.note(trace, answer.reason or answer.status, own_us)
        self._log.log_ping(
            PingRow(
                ping_id=trace.ping_id,
                at_ms=trace.at_ms,
                seller=trace.seller.id,
                campaign=trace.campaign,
                test=request.test,
                status="no_bid" if open_ping is None else "offer",
                reason=answer.reason,
                payout_micros=0 if open_ping is None else open_ping.payout_micros,
                market_version=trace.market_version,
                sub_id=request.sub_id,
                lead=trace.values,
                detail=PingDetail(
                    trace.eligibility.to_bytes() if trace.eligibility else b"",
                    trace.outcomes,
                    trace.dropped,
                    trace.saved_ms,
                    None if routed is None else routed.route,
                    None if routed is None else routed.team,
                ),
                own_us=own_us,
                wait_us=trace.buyers_us,
            )
        )


def without_words(detail: bytes) -> bytes:
    """The detail of a stored row without the buyers' own words."""
    known = msgspec.msgpack.decode(detail, type=PingDetail)
    for outcome in known.outcomes:
        outcome.said = None
    return msgspec.msgpack.encode(known)


def read_detail(detail: Any) -> PingDetail:
    """The detail of a row, as it comes out of the ledger."""
    return msgspec.convert(detail, PingDetail)
