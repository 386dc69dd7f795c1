"""The rows that go into the ledger and come out of it. Ids are text, times milliseconds, money micros.

The catalogue's documents and the lead's fields are plain JSON values here: what they mean is the market's
business.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

LeadState = Literal[
    "received", "offered", "sold", "rejected", "pending", "returned", "converted", "delivered", "waiting"
]
OfferState = Literal["sent", "accepted", "rejected", "unknown"]
PingStatus = Literal["offer", "no_bid"]


class Row(Struct, frozen=True, kw_only=True, gc=False):
    """What all rows share: immutable, never part of a cycle."""


class PingRow(Row, frozen=True, kw_only=True, gc=False):
    """One auction for the log. `lead` holds ping fields only; `detail` is anything msgpack can say (masks,
    answers).

    Both are encoded on the ledger's own thread, later: do not change them once the row is handed over.
    """

    ping_id: str
    at_ms: int
    seller: str
    campaign: str
    status: PingStatus
    market_version: int
    lead: dict[str, Any]
    detail: Any
    reason: str | None = None
    payout_micros: int = 0
    sub_id: str | None = None
    test: bool = False
    own_us: int = 0
    wait_us: int = 0


class NewLead(Row, frozen=True, kw_only=True, gc=False):
    """A post that was taken in.

    `sealed` is the ciphertext of the post fields, `body_hash` tells a repeat from another body under the same ping.
    `fingerprint` (None: the campaign has no duplicate rule) forbids a second lead within `duplicate_days`; `prints`
    are all that orders with rules of their own know it by. `suppressed_by` is the list that it stands in, and refuses
    it; `refused_answer` is the answer to store if it comes to either. `plan` is what another worker needs to sell the
    lead, should this one end: bids and terms, nothing that names a person. `people` are keyed hashes of the phones and
    emails in it. `keyed` stands for the key of its request, where that does not say by which ping it is sold.
    """

    lead_id: str
    ping_id: str
    seller: str
    campaign: str
    created_at_ms: int
    market_version: int
    ping_fields: dict[str, Any]
    sealed: bytes
    body_hash: bytes
    worker: str
    sub_id: str | None = None
    test: bool = False
    fingerprint: bytes | None = None
    duplicate_days: int = 0
    prints: tuple[bytes, ...] = ()
    suppressed_by: str | None = None
    refused_answer: str | None = None
    plan: bytes | None = None
    people: tuple[bytes, ...] = ()
    keyed: str | None = None


class Unsold(Row, frozen=True, kw_only=True, gc=False):
    """What a lead comes to for which nobody bid, for this `reason`: its `answer`, to be stored.

    It waits for a buyer from `next_at_ms` on, until `until_ms`; without them it is rejected.
    """

    reason: str
    answer: str
    next_at_ms: int | None = None
    until_ms: int = 0


class Due(Row, frozen=True, kw_only=True, gc=False):
    """A waiting lead whose turn it is, the caller's alone till `next_at_ms`. `tries` counts this one."""

    lead_id: str
    tries: int
    next_at_ms: int
    until_ms: int


class NewOffer(Row, frozen=True, kw_only=True, gc=False):
    """The intent to send a lead to one order's buyer. Not to be sent if the order bought a lead with the same
    `print_of` (None: it has no such rule) in the last `duplicate_days`."""

    order_id: str
    buyer_id: str
    price_micros: int
    payout_micros: int
    exclusive: bool
    print_of: bytes | None = None
    duplicate_days: int = 0


class OfferResult(Row, frozen=True, kw_only=True, gc=False):
    """How one offer ended, or that nobody knows (`unknown`)."""

    order_id: str
    state: OfferState
    answered_at_ms: int | None = None
    reason: str | None = None
    buyer_lead_id: str | None = None
    redirect_url: str | None = None


class NewSale(Row, frozen=True, kw_only=True, gc=False):
    """A lead accepted by a buyer. The margin is what the price leaves over the payout."""

    place: int
    order_id: str
    buyer_id: str
    price_micros: int
    payout_micros: int
    offered_at_ms: int
    exclusive: bool


class Settlement(Row, frozen=True, kw_only=True, gc=False):
    """All that one move of a lead writes, in one transaction.

    The lead goes to `state` if it is in one of `from_states`. `places` (needed with sales) is into how many
    the lead may be sold: 1 when exclusive, the campaign's N when shared; it stays what the first sale made
    it. `payout_micros` and `answer` of None leave what is stored; `reason` is always replaced. With a `worker`
    the lead must still be in its hands. `quiet`: nothing changes that its seller is told of. `withdrawn` are orders
    whose offers may have been written, and were never sent.
    """

    lead_id: str
    from_states: tuple[LeadState, ...]
    state: LeadState
    at_ms: int
    results: tuple[OfferResult, ...] = ()
    sales: tuple[NewSale, ...] = ()
    places: int | None = None
    reason: str | None = None
    payout_micros: int | None = None
    answer: str | None = None
    detail: dict[str, Any] = {}
    worker: str | None = None
    quiet: bool = False
    withdrawn: tuple[str, ...] = ()


class Taken(Row, frozen=True, kw_only=True, gc=False):
    """The lead is `offered` now, and its intended offers are durable; but those to `repeated` orders are not to be
    sent: they bought such a lead before, and are written as rejected."""

    lead_id: str
    repeated: frozenset[str] = frozenset()


class AlreadyTaken(Row, frozen=True, kw_only=True, gc=False):
    """This ping (or the request by its key, then of another ping) was posted before: what became of it.

    `answer` is None while it is not settled.
    """

    lead_id: str
    ping_id: str
    state: LeadState
    reason: str | None
    answer: str | None
    body_hash: bytes


class Refused(Row, frozen=True, kw_only=True, gc=False):
    """The lead was written as rejected: it equals an earlier one (`of_lead_id`), or is suppressed."""

    lead_id: str
    reason: str
    of_lead_id: str | None = None


class Lead(Row, frozen=True, kw_only=True, gc=False):
    """A lead as it stands."""

    lead_id: str
    ping_id: str
    seller: str
    campaign: str
    test: bool
    state: LeadState
    reason: str | None
    payout_micros: int
    created_at_ms: int
    updated_at_ms: int
    market_version: int
    sub_id: str | None
    ping_fields: dict[str, Any]
    sealed: bytes
    body_hash: bytes
    answer: str | None
    worker: str
    places: int | None
    plan: bytes | None = None


class Offer(Row, frozen=True, kw_only=True, gc=False):
    """An offer as it stands. `seq` is the order in which they were sent."""

    lead_id: str
    order_id: str
    seq: int
    buyer_id: str
    price_micros: int
    payout_micros: int
    exclusive: bool
    state: OfferState
    reason: str | None
    sent_at_ms: int
    answered_at_ms: int | None
    buyer_lead_id: str | None
    redirect_url: str | None


class Sale(Row, frozen=True, kw_only=True, gc=False):
    """A sale: `price = payout + margin`, owed while it stands. `value_micros` is what its buyer made of it."""

    lead_id: str
    place: int
    places: int
    exclusive: bool
    order_id: str
    buyer_id: str
    seller: str
    campaign: str
    price_micros: int
    payout_micros: int
    margin_micros: int
    sold_at_ms: int
    offered_at_ms: int
    test: bool
    delivered_at_ms: int | None = None
    converted_at_ms: int | None = None
    value_micros: int | None = None
    returned_at_ms: int | None = None
    return_reason: str | None = None
    cap_freed: bool = False

    @property
    def stands(self) -> bool:
        """Whether it was not returned."""
        return self.returned_at_ms is None


class RefusedPostback(Row, frozen=True, kw_only=True, gc=False):
    """What a buyer told of a lead and could not be, however often. `lead_id` and `order_id` are empty where there is
    none of ours."""

    buyer_id: str
    lead_id: str
    order_id: str
    status: str
    code: str
    times: int
    first_at_ms: int
    last_at_ms: int


class Moment(Row, frozen=True, kw_only=True, gc=False):
    """One line of a lead's history."""

    seq: int
    at_ms: int
    state: LeadState
    detail: dict[str, Any]


class Worker(Row, frozen=True, kw_only=True, gc=False):
    """A process that sells leads, from its start to its end. `beats` moves as long as it lives.

    `host` tells machines (and what has process ids of its own on one) apart. `fenced`: the others hold it for
    dead, and it may not write any more.
    """

    id: str
    host: str
    pid: int
    started_at_ms: int
    beats: int = 0
    fenced: bool = False


class Stray(Row, frozen=True, kw_only=True, gc=False):
    """A lead that is offered, and the worker that had it in hand and has ended."""

    lead_id: str
    worker: str


class UnknownOffer(Row, frozen=True, kw_only=True, gc=False):
    """An offer of which nobody knows whether the buyer took the lead, and the lead."""

    lead_id: str
    ping_id: str
    campaign: str
    seller: str
    state: LeadState
    order_id: str
    buyer_id: str
    price_micros: int
    sent_at_ms: int
    reason: str | None
    test: bool


class WaitingLead(Row, frozen=True, kw_only=True, gc=False):
    """A lead that waits for a buyer: how often it was tried again, when it is next, and when its time is over."""

    lead_id: str
    campaign: str
    seller: str
    created_at_ms: int
    tries: int
    next_at_ms: int
    until_ms: int
    test: bool


class PingSums(Row, frozen=True, kw_only=True, gc=False):
    """The pings of one campaign or seller over a time: how many, how many with an offer, what they
    promised."""

    name: str
    pings: int
    offers: int
    payout_micros: int
