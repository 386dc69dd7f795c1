"""What was counted of buyers: who was asked, what came of it, and the wire."""

from __future__ import annotations

from auction.exchange import Exchange
from auction.market.reasons import Family as ReasonFamily
from auction.market.reasons import Reason
from auction.tally import Family, Labels, counter, floats, gauge, plain_counter


def buyers(exchange: Exchange) -> list[Family]:
    """Who was asked, and the connections to them."""
    pools, health = exchange.fanout.counts(), exchange.health
    told: dict[Labels, float] = {(name,): float(getattr(pools, name)) for name in pools.__struct_fields__}
    shares: list[tuple[Labels, float]] = [((buyer,), share) for buyer, share in health.sick.items()]
    return [
        counter(
            "auction_orders",
            "Eligible orders by buyer, what came of them (outcome) and why (reason)",
            ("buyer", "outcome", "reason"),
            _orders(exchange),
        ),
        counter("auction_connections", "What became of connections and asks on the wire", ("event",), told),
        gauge("auction_connections_open", "Connections to buyers", exchange.fanout.connections),
        plain_counter("auction_pings_allowed", "Asks that caps on pings allowed", exchange.allowances.spent),
        plain_counter(
            "auction_pings_leased", "Leases of pings from the counters", exchange.allowances.leases
        ),
        plain_counter(
            "auction_ping_leases_unwritten",
            "Leases of pings that were made before the ledger had them: it was away, or late",
            exchange.lease_book.unwritten,
        ),
        gauge(
            "auction_pings_unwritten",
            "Pings leased that the ledger does not know of yet",
            exchange.lease_book.pings_unwritten,
        ),
        counter(
            "auction_pings_withheld",
            "Asks that caps on pings did not allow: ping_budget of the second or minute, ping_cap_full of longer",
            ("buyer", "reason"),
            floats(exchange.allowances.refused),
        ),
        plain_counter(
            "auction_names_unresolved", "Buyers' names not resolved", exchange.fanout.resolve_failed
        ),
        counter(
            "auction_asks_spared",
            "Pings that a failing buyer was left out of (shadow mode: would have been)",
            ("buyer",),
            {(buyer,): float(count) for buyer, count in health.spared_of.items()},
        ),
        Family(
            "auction_buyer_share",
            "Share of pings a failing buyer is asked in, a worker",
            "gauge",
            ("buyer",),
            shares,
        ),
        *_deliveries(exchange),
    ]


def _deliveries(exchange: Exchange) -> list[Family]:
    return [
        plain_counter(
            "auction_deliveries_refused",
            "Posts to buyers refused: too many in flight",
            exchange.delivery.busy,
        ),
        gauge("auction_deliveries_running", "Posts to buyers in flight", exchange.delivery.in_flight),
        counter(
            "auction_delivery_connections",
            "Connections of posts: opened, used again, lost and so asked once more",
            ("event",),
            {
                ("opened",): exchange.delivery.opened,
                ("reused",): exchange.delivery.reused,
                ("repeated",): exchange.delivery.repeated,
            },
        ),
        gauge(
            "auction_delivery_connections_idle",
            "Connections of posts that were kept and lie ready",
            exchange.delivery.idle,
        ),
    ]


def _orders(exchange: Exchange) -> dict[Labels, float]:
    counted = exchange.ping_tally.orders.items()
    return {(buyer, outcome_of(Reason(reason)), reason): float(count) for (buyer, reason), count in counted}


def outcome_of(reason: Reason) -> str:
    """What came of one order in a word: `bid` (won or not), `no_bid`, `late`, `throttled` by us, `not_awaited`
    (closed early), `error`, or `not_asked`."""
    told = _OUTCOMES.get(reason)
    if told is not None:
        return told
    return {ReasonFamily.NOT_ASKED: "not_asked", ReasonFamily.FAILED: "error"}.get(reason.family, "bid")


_OUTCOMES = {
    Reason.NO_BID: "no_bid",
    Reason.TIMEOUT: "late",
    Reason.BUSY: "throttled",
    Reason.PING_CAP: "throttled",
    Reason.PING_BUDGET: "throttled",
    Reason.CUT_OFF: "not_awaited",
}
