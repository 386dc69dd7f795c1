"""What was counted of the house itself: its workers, its repeats, its changes."""

from __future__ import annotations

from auction.exchange import Exchange
from auction.tally import Family, counter, floats, gauge, plain_counter


def workers(exchange: Exchange) -> list[Family]:
    """Who watches whom, and what was finished for others."""
    watching, recovery, lease = exchange.watching, exchange.recovery, exchange.lease
    return [
        gauge("auction_workers_alive", "Workers whose lease stands", int(lease.stands(lease.worker))),
        plain_counter("auction_workers_fenced", "Silent workers that were held for dead", watching.fenced),
        plain_counter(
            "auction_worker_fenced_self", "Times that this worker was held for dead", watching.fenced_self
        ),
        plain_counter("auction_beats_missed", "Beats that the ledger did not take", watching.beats_missed),
        plain_counter("auction_leads_taken_over", "Leads of other workers taken over", recovery.taken_over),
        counter(
            "auction_leads_recovered",
            "Leads of other workers by the state they were brought to",
            ("state",),
            floats(recovery.outcomes),
        ),
        plain_counter(
            "auction_recovery_waits", "Times a recovery waited for a store that was away", recovery.waits
        ),
        gauge("auction_recoveries_running", "Leads being finished for other workers", recovery.running),
        gauge("auction_recoveries_stuck", "Leads that could not be finished", recovery.stuck),
        gauge("auction_leads_pending", "Leads of which nobody knows who took them", watching.pending_leads),
        gauge("auction_offers_unknown", "Offers to be settled by hand", watching.unknown_offers),
        counter(
            "auction_offers_settled",
            "Unknown offers that were settled, by who said so and what",
            ("by", "outcome"),
            floats(exchange.settling.settled),
        ),
    ]


def request_keys(exchange: Exchange) -> list[Family]:
    """Requests with an `Idempotency-Key`."""
    keyed = exchange.idempotency
    return [
        counter(
            "auction_keyed_requests",
            "Requests with an Idempotency-Key by what became of them",
            ("outcome",),
            floats(keyed.outcomes),
        ),
        gauge(
            "auction_keyed_requests_waiting", "Requests that wait for another with their key", keyed.waiting
        ),
    ]


def key_rates(exchange: Exchange) -> list[Family]:
    """Requests that are bounded for each key."""
    rates = (exchange.leads_rate, exchange.routes_rate, exchange.admin_rate)
    return [
        counter(
            "auction_requests_rate_limited",
            "Requests refused, as their key had used up its minute, by door",
            ("door",),
            {(rate.door,): float(rate.refused) for rate in rates},
        ),
        counter(
            "auction_requests_uncounted",
            "Changes let through uncounted, as the counters were away, by door",
            ("door",),
            {(rate.door,): float(rate.uncounted) for rate in rates},
        ),
    ]


def changes(exchange: Exchange) -> list[Family]:
    """Changes of the catalogue."""
    changing = exchange.changing
    return [
        counter(
            "auction_catalogue_changes",
            "Changes of single entries of the catalogue, by what became of them",
            ("outcome",),
            floats(changing.outcomes),
        ),
        gauge(
            "auction_catalogue_changes_waiting", "Changes that run or wait for their turn", changing.waiting
        ),
    ]


def administration(exchange: Exchange) -> list[Family]:
    """What operators do."""
    administration, uploading = exchange.administration, exchange.uploading
    return [
        counter(
            "auction_admin_changes",
            "Changes that operators made, by what they did",
            ("action",),
            floats(administration.done),
        ),
        counter(
            "auction_admin_keyed_requests",
            "Changes of the catalogue with an Idempotency-Key, by what became of them",
            ("outcome",),
            floats(administration.idempotency.outcomes),
        ),
        counter(
            "auction_list_uploads",
            "Uploads of suppression lists: loaded, or why not",
            ("outcome",),
            floats(uploading.outcomes),
        ),
        gauge("auction_list_uploads_running", "Uploads of suppression lists in flight", uploading.running),
    ]
