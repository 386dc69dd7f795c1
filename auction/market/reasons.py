"""Every no has a reason code (P9), in three families: not asked, asked and failed, answered and refused.

The codes are wire: they stand in `no_bid` answers, in the ledger and in `auction explain`, so they never
change their meaning. The families are those of OpenRTB's and Prebid's non-bid reasons.
"""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """Whose move a no was: ours before asking, the line's, or the price's."""

    NOT_ASKED = "not asked"
    FAILED = "asked and failed"
    REFUSED = "answered and refused"
    WON = "won"


class Reason(StrEnum):
    """Why an order did not win one ping (or that it did)."""

    # not asked
    ROUTE = "route"  # a lead route sends the lead to others, or to nobody
    SELLER = "seller_excluded"
    PAUSED = "paused"
    CLOSED = "closed_hours"
    FILTERED = "filtered"
    CAP_FULL = "cap_full"
    PING_CAP = "ping_cap_full"
    PING_BUDGET = "ping_budget"  # of this second or minute; a longer window's is a ping cap
    UNHEALTHY = "unhealthy"
    WANTS_EXCLUSIVE = "wants_exclusive"
    MAX_BELOW_FLOOR = "max_below_floor"
    ASK_LIMIT = "ask_limit"
    TIER_NOT_REACHED = "tier_not_reached"
    NO_TIME = "no_time_left"
    DUPLICATE = "duplicate"  # an equal lead was bought not long ago
    SUPPRESSED = "suppressed"
    INBOUND = "filtered_inbound"
    NOT_CHOSEN = "not_chosen"  # the seller named another buyer
    # asked and failed
    TIMEOUT = "timeout"
    CONNECT_FAILED = "connect_failed"
    CONNECTION_LOST = "connection_lost"
    TLS_FAILED = "tls_failed"
    FORBIDDEN_ADDRESS = "forbidden_address"
    BUSY = "too_many_in_flight"
    HTTP_STATUS = "http_status"
    BAD_HTTP = "bad_http"
    BAD_ANSWER = "bad_answer"
    BAD_PRICE = "bad_price"
    TOO_LARGE = "answer_too_large"
    WITHHELD = "withheld"  # a post: this worker lost its lease before the first byte
    CUT_OFF = "not_awaited"  # the auction closed early: this order could not have won any more
    # answered and refused
    NO_BID = "no_bid"
    BELOW_FLOOR = "below_floor"
    OVER_MAX = "over_declared_max"
    OUTBID = "outbid"
    FULL_AT_HOLD = "full_at_hold"
    # won
    WON = "won"

    @property
    def family(self) -> Family:
        """The family of this code."""
        return _FAMILIES[self]


_ORDERED = list(Reason)
_FAMILIES = {
    reason: (
        Family.NOT_ASKED
        if at < _ORDERED.index(Reason.TIMEOUT)
        else Family.FAILED
        if at < _ORDERED.index(Reason.NO_BID)
        else Family.REFUSED
        if at < _ORDERED.index(Reason.WON)
        else Family.WON
    )
    for at, reason in enumerate(_ORDERED)
}
