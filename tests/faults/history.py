"""What is known from outside of a run: what sellers were told, what buyers wrote down, what the ledger holds.

Money is micro-units, instants are milliseconds since the epoch by the house's clock. Nothing here knows the
house's own code: rows are read by plain SQL, buyers' logs by their own format.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Per = Literal["hour", "day", "week", "month", "total"]
SOLD = frozenset({"sold", "delivered", "converted", "returned"})
"""States of a lead that was sold, whatever came of it later."""
OPEN = frozenset({"received", "offered"})
"""States in which somebody still has to do something about a lead."""


class Said(Struct):
    """One request of a seller and what came of it: an answer, or (status None) `error` says what was heard instead."""

    sent_ms: int
    heard_ms: int
    status: int | None
    body: dict[str, Any] = {}
    error: str | None = None

    @property
    def lead_id(self) -> str | None:
        """The lead that a 200 speaks of. A ping's `no_bid` speaks of none."""
        return self.body.get("lead_id") if self.status == 200 else None

    @property
    def undecided(self) -> bool:
        """To be sent again: nobody answered, or not yet, or not now."""
        under_way = self.status == 409 and str(self.body.get("code")).endswith("_in_progress")
        return self.status is None or self.status >= 500 or self.status in (408, 429) or under_way


class Attempt(Struct):
    """One lead as its seller sees it: all requests that were to sell it, each with the same body.

    `name` is planted in the lead's personal data, so that a buyer's log tells whose lead it is.
    """

    name: str
    kind: Literal["post", "direct"]
    campaign: str
    ping_id: str | None = None
    said: list[Said] = []

    @property
    def answers(self) -> list[Said]:
        """Those that spoke of a lead, in the order in which they were heard."""
        return sorted((one for one in self.said if one.lead_id), key=lambda one: one.heard_ms)


class Received(Struct, frozen=True):
    """One post as a buyer wrote it down. `answered` is what the buyer decided, heard or not."""

    at_ms: int
    buyer: str
    order: str
    campaign: str
    lead_id: str
    key: str | None
    price_micros: int
    name: str
    answered: str

    @property
    def accepted(self) -> bool:
        """The buyer took the lead."""
        return self.answered == "accepted"


class LeadRow(Struct, frozen=True):
    """The ledger's row of a lead."""

    lead_id: str
    ping_id: str
    campaign: str
    state: str
    payout_micros: int
    worker: str = ""


class OfferRow(Struct, frozen=True):
    """The ledger's row of an offer."""

    lead_id: str
    order_id: str
    buyer_id: str
    state: str
    sent_at_ms: int
    answered_at_ms: int | None = None


class SaleRow(Struct, frozen=True):
    """The ledger's row of a sale."""

    lead_id: str
    order_id: str
    buyer_id: str
    price_micros: int
    payout_micros: int
    margin_micros: int
    offered_at_ms: int


class Ledger(Struct, frozen=True):
    """The three tables that money hangs on."""

    leads: list[LeadRow] = []
    offers: list[OfferRow] = []
    sales: list[SaleRow] = []


class CapTerm(Struct, frozen=True):
    """A limit on leads, on micro-units of spend, or (of a buyer, in all) on pings: of an order or of a buyer with all
    its orders."""

    owner: Literal["order", "buyer"]
    id: str
    kind: Literal["leads", "spend", "pings"]
    per: Per
    limit: int
    zone: str = "UTC"


class Terms(Struct, frozen=True):
    """What was agreed on: how often a lead of a campaign may be sold, who takes a key twice for one lead, the caps."""

    places: dict[str, int]
    caps: tuple[CapTerm, ...] = ()
    idempotent: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()
    """Orders that buy exclusively, whatever their campaign allows."""


class History(Struct, frozen=True):
    """A whole run. `settled`: what an operator said of offers that were unknown, (lead, order) → accepted or rejected.

    `planted`: where personal data was found that had no business there.
    """

    terms: Terms
    attempts: list[Attempt] = []
    received: list[Received] = []
    ledger: Ledger = Ledger()
    settled: dict[tuple[str, str], str] = {}
    unknown: frozenset[tuple[str, str]] = frozenset()
    """Offers that the ledger called unknown before anybody settled them."""
    planted: list[str] = []
    asked: dict[str, int] = {}
    """How often each buyer was, as it wrote down itself."""
    clock_offset_ms: int = 0
    """How far the house's clock, which is the ledger's, is ahead of the sellers'."""
