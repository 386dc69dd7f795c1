"""Why each order did or did not bid in one auction (P9): a ping's row and its market, put together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec

from auction.counted import counted
from auction.ledger.records import PingRow
from auction.market.market import CampaignMarket, Eligibility, TradedOrder
from auction.market.masks import bits
from auction.market.money import to_text
from auction.market.reasons import Family, Reason
from auction.market.windows import CapRule
from auction.ping.journal import read_detail


class Explained(msgspec.Struct, frozen=True):
    """One order in one auction. `said` is what of its terms was in the way (the filter's clause that failed, its hours,
    caps or maximum), the lead route, or the buyer's words.
    """

    order_id: str
    buyer_id: str
    tier: int
    family: Family
    reason: Reason
    price_micros: int
    elapsed_us: int
    said: str | None


def explain(row: PingRow, campaign: CampaignMarket) -> list[Explained]:
    """Every order of the campaign, those that came nearest first. `campaign` is of the version that was traded."""
    detail = read_detail(row.detail)
    found: dict[int, Explained] = {}
    for outcome in detail.outcomes:
        order = campaign.orders[outcome.bit]
        found[outcome.bit] = Explained(
            order.id,
            order.buyer_id,
            order.tier,
            outcome.reason.family,
            outcome.reason,
            outcome.price_micros,
            outcome.elapsed_us,
            outcome.said or _terms(order, outcome.reason, row.at_ms),
        )
    if not detail.eligibility:  # the campaign turned it away: nobody was asked
        assert row.reason is not None
        why = Reason(row.reason)
        return [_not_asked(row, campaign, order.bit, why, None) for order in campaign.orders]
    reasons = {dropped.bit: dropped.reason for dropped in detail.dropped}
    eligibility = Eligibility.from_bytes(detail.eligibility)
    put_off = _put_off(campaign, detail.team, found.keys() | reasons.keys())
    for bit in bits(eligibility.all):
        if bit not in found:
            # An eligible order that was not asked, and not dropped, was in a tier that the auction never got to: its
            # own, or behind the team of a lead route.
            late = Reason.ROUTE if put_off >> bit & 1 else Reason.TIER_NOT_REACHED
            reason = reasons.get(bit) or eligibility.why_not(bit) or late
            found[bit] = _not_asked(row, campaign, bit, reason, detail.route)
    return sorted(found.values(), key=_nearest_first)


def _put_off(campaign: CampaignMarket, team: str | None, reached: AbstractSet[int]) -> int:
    """The orders outside of the team that a lead route put first, where the auction ended with that team."""
    ahead = campaign.routing.team_masks.get(team, 0) if campaign.routing is not None and team else 0
    if not ahead or any(not ahead >> bit & 1 for bit in reached):
        return 0
    return ~ahead


def routed(row: PingRow) -> str | None:
    """The lead route that acted, and the team that it put first; None where none did."""
    detail = read_detail(row.detail)
    if detail.route is None:
        return None
    return detail.route if detail.team is None else f"{detail.route}, team {detail.team} first"


def _not_asked(
    row: PingRow, campaign: CampaignMarket, bit: int, reason: Reason, route: str | None
) -> Explained:
    order = campaign.orders[bit]
    said = None
    if reason is Reason.FILTERED and order.filter is not None and row.lead:  # a forgotten lead says nothing
        said = order.filter.failing(row.lead)
    elif reason is Reason.ROUTE:
        said = route
    elif reason is Reason.INBOUND and campaign.inbound is not None and row.lead:
        said = campaign.inbound.failing(row.lead)
    else:
        said = _terms(order, reason, row.at_ms)
    return Explained(order.id, order.buyer_id, order.tier, Family.NOT_ASKED, reason, 0, 0, said)


def _terms(order: TradedOrder, reason: Reason, at_ms: int) -> str | None:
    """Those of an order's terms that were in the way; of several caps, one was."""
    match reason:
        case Reason.CLOSED:
            return f"{', '.join(order.order.hours)}: was {order.hours.shown(at_ms)}"
        case Reason.OUTBID if order.exclusive:
            return "exclusive"
        case Reason.MAX_BELOW_FLOOR | Reason.OVER_MAX:
            return f"max {to_text(order.max_micros)}"
        case Reason.CAP_FULL | Reason.FULL_AT_HOLD:
            return ", ".join(map(_cap, order.caps)) or None
        case Reason.PING_BUDGET | Reason.PING_CAP:
            short = reason is Reason.PING_BUDGET
            return ", ".join(
                f"{rule.limit} per {rule.per}" for rule in order.ping_caps if rule.short == short
            )
    return None


def _cap(rule: CapRule) -> str:
    amount = f"spend {to_text(rule.limit)}" if rule.kind == "spend" else counted(rule.limit, "lead")
    window = "in all" if rule.per == "total" else f"per {rule.per}"
    return f"{amount} {window}{' (buyer)' if rule.of_buyer else ''}"


def _nearest_first(one: Explained) -> tuple[int, int, str]:
    return (_NEAREST.index(one.family), -one.price_micros, one.order_id)


_NEAREST: Sequence[Family] = (Family.WON, Family.REFUSED, Family.FAILED, Family.NOT_ASKED)
