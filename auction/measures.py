"""Everything that one worker has counted, gathered from its rooms: names, help and labels in one place."""

from __future__ import annotations

from auction.exchange import Exchange
from auction.market.money import MICROS
from auction.market.reasons import Family as ReasonFamily
from auction.market.reasons import Reason
from auction.ping.journal import STAGES
from auction.tally import Family, Histogram, Labels, counter, gauge, histogram, plain_counter


def families_of(exchange: Exchange) -> list[Family]:
    """What this worker knows, at this moment."""
    return [
        *_pings(exchange),
        *_posts(exchange),
        *_request_keys(exchange),
        *_changes(exchange),
        *_buyers(exchange),
        *_counters(exchange),
        *_ledger(exchange),
        *_workers(exchange),
        *_postbacks(exchange),
        *_administration(exchange),
    ]


def _pings(exchange: Exchange) -> list[Family]:
    tally, pings = exchange.ping_tally, exchange.pings
    stages: dict[Labels, Histogram] = {
        (name,): one for name, one in zip(STAGES, tally.stages_us, strict=True)
    }
    return [
        counter(
            "auction_pings", "Pings by campaign and outcome", ("campaign", "outcome"), _floats(tally.answers)
        ),
        plain_counter(
            "auction_pings_repeated", "Pings answered with the offer that lived already", pings.repeats
        ),
        plain_counter(
            "auction_pings_turned_away", "Pings refused because the house was full", pings.turned_away
        ),
        gauge("auction_pings_running", "Auctions in flight", pings.running),
        histogram("auction_ping_own_seconds", "Our own time per ping", (), {(): tally.own_us}),
        histogram("auction_ping_buyers_seconds", "Time a ping waited for buyers", (), {(): tally.buyers_us}),
        histogram("auction_ping_stage_seconds", "Time per stage of a ping", ("stage",), stages),
        plain_counter(
            "auction_early_close_saved_seconds", "Waiting that early closes saved", tally.saved_ms / 1000
        ),
        plain_counter("auction_market_swaps", "Markets swapped in since the start", exchange.swaps),
    ]


def _posts(exchange: Exchange) -> list[Family]:
    posts, tally = exchange.posts, exchange.posts.tally
    owed = posts.owed
    trips: dict[Labels, Histogram] = {(outcome,): one for outcome, one in tally.trips_us.items()}
    money = {labels: micros / MICROS for labels, micros in tally.money_micros.items()}
    return [
        counter("auction_leads", "Posts by the state their lead came to", ("state",), _floats(tally.states)),
        counter(
            "auction_money",
            "Sold by the posts themselves, no tests: price, payout and margin in units of the house's currency",
            ("campaign", "what"),
            money,
        ),
        counter("auction_offers", "Offers to buyers by outcome", ("buyer", "outcome"), _floats(tally.offers)),
        histogram(
            "auction_post_seconds", "Whole posts, refused and repeated ones too", (), {(): tally.whole_us}
        ),
        histogram(
            "auction_offer_seconds", "Offers that left, to their answer, with retries", ("outcome",), trips
        ),
        plain_counter(
            "auction_posts_turned_away", "Posts refused because the house was full", posts.turned_away
        ),
        plain_counter(
            "auction_posts_rate_limited",
            "Posts refused by their seller's rate limit",
            exchange.post_rate.refused,
        ),
        gauge("auction_posts_running", "Posts in flight", posts.running),
        plain_counter("auction_posts_suppressed", "Leads found in a suppression list", exchange.shelf.hits),
        gauge(
            "auction_leads_waiting", "Leads that wait for a buyer, told by one worker", exchange.waiting.leads
        ),
        counter(
            "auction_waiting_tries",
            "Turns of waiting leads by what they came to",
            ("outcome",),
            _floats(exchange.waiting.outcomes),
        ),
        gauge(
            "auction_steps_owed",
            "Steps owed to a store",
            posts.steps_owed,
        ),
        counter(
            "auction_steps_paid",
            "Steps owed to a store that were done later",
            ("store",),
            {(store,): float(sum(one.done for one in each)) for store, each in owed.items()},
        ),
        counter(
            "auction_steps_dropped",
            "Steps owed to a store that found no room",
            ("store",),
            {(store,): float(sum(one.dropped for one in each)) for store, each in owed.items()},
        ),
    ]


def _request_keys(exchange: Exchange) -> list[Family]:
    keyed = exchange.idempotency
    return [
        counter(
            "auction_keyed_requests",
            "Requests with an Idempotency-Key by what became of them",
            ("outcome",),
            _floats(keyed.outcomes),
        ),
        gauge(
            "auction_keyed_requests_waiting", "Requests that wait for another with their key", keyed.waiting
        ),
    ]


def _changes(exchange: Exchange) -> list[Family]:
    changing = exchange.changing
    return [
        counter(
            "auction_catalogue_changes",
            "Changes of single entries of the catalogue, by what became of them",
            ("outcome",),
            _floats(changing.outcomes),
        ),
        gauge(
            "auction_catalogue_changes_waiting", "Changes that run or wait for their turn", changing.waiting
        ),
    ]


def _buyers(exchange: Exchange) -> list[Family]:
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
        counter(
            "auction_pings_withheld",
            "Asks that caps on pings did not allow: ping_budget of the second or minute, ping_cap_full of longer",
            ("buyer", "reason"),
            _floats(exchange.allowances.refused),
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


def _counters(exchange: Exchange) -> list[Family]:
    link, holding = exchange.link, exchange.pings.holding
    refused: dict[Labels, float] = {
        ("away",): float(link.refused_away),
        ("stalled",): float(link.refused_stalled),
        ("full",): float(link.refused_full),
        ("late",): float(link.late),
        ("rebuilding",): float(link.refused_rebuilding),
    }
    rebuilding = exchange.rebuilding
    return [
        plain_counter("auction_counter_calls", "Calls sent to Valkey", link.calls),
        gauge("auction_counter_calls_waiting", "Calls to Valkey that wait for their reply", link.waiting),
        plain_counter("auction_counters_connects", "Connections made to Valkey", link.connects),
        plain_counter("auction_counters_reloads", "Scripts that Valkey had forgotten", link.reloads),
        counter("auction_counter_calls_failed", "Calls to Valkey that got no answer", ("why",), refused),
        gauge("auction_counters_up", "Workers whose counters are there, and good", float(link.up)),
        plain_counter(
            "auction_counters_rebuilt", "Times the counters were rebuilt from the ledger", rebuilding.rebuilds
        ),
        counter(
            "auction_reconciles",
            "Comparisons of the counters with the ledger, by how they ended",
            ("result",),
            _floats(rebuilding.reconciles),
        ),
        plain_counter(
            "auction_windows_differed",
            "Windows that did not count what the ledger says",
            rebuilding.windows_differed,
        ),
        plain_counter(
            "auction_duplicates_recalled",
            "Sales of which the counters were told again, to know duplicates at ping",
            exchange.recalling.recalled,
        ),
        plain_counter(
            "auction_places_freed", "Kept places of leads that were settled or gone", rebuilding.places_freed
        ),
        plain_counter(
            "auction_places_retaken",
            "Places taken anew for offers that are out",
            rebuilding.places_taken,
        ),
        plain_counter("auction_holds", "Places held", holding.held),
        plain_counter("auction_caps_refused", "Holds refused by a full cap", holding.refused),
    ]


def _ledger(exchange: Exchange) -> list[Family]:
    writer, reader = exchange.writer, exchange.reader
    return [
        plain_counter("auction_ledger_writes", "Durable writes", writer.writes),
        plain_counter("auction_ledger_commits", "Commits that made them durable", writer.commits),
        plain_counter("auction_ledger_refused", "Writes refused: the queue was full", writer.writes_refused),
        plain_counter(
            "auction_ledger_away",
            "Writes and reads that found the ledger away",
            writer.writes_away + reader.reads_away,
        ),
        plain_counter("auction_ping_log_written", "Pings written to the log", writer.pings_logged),
        plain_counter("auction_ping_log_dropped", "Pings dropped from the log", writer.pings_dropped),
        counter(
            "auction_erased",
            "What was erased for its age: leads' personal data, pings of the log, and events that sellers were told",
            ("what",),
            {
                ("leads",): float(exchange.retention.leads),
                ("pings",): float(exchange.retention.pings),
                ("postbacks",): float(exchange.retention.postbacks),
            },
        ),
        plain_counter(
            "auction_retention_failed", "Looks for what is too old that failed", exchange.retention.failed
        ),
        gauge("auction_ledger_waiting", "Writes in the queue", writer.waiting),
        gauge("auction_ping_log_waiting", "Pings in the queue of the log", writer.pings_waiting),
    ]


def _workers(exchange: Exchange) -> list[Family]:
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
            _floats(recovery.outcomes),
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
            _floats(exchange.settling.settled),
        ),
        *_told_by_buyers(exchange),
    ]


def _told_by_buyers(exchange: Exchange) -> list[Family]:
    reporting = exchange.reporting
    returned = {labels: micros / MICROS for labels, micros in reporting.returned_micros.items()}
    return [
        counter(
            "auction_postbacks",
            "Postbacks of buyers by what they told: changed something, told the same again, were refused, or limited",
            ("status", "outcome"),
            _floats(reporting.heard),
        ),
        counter(
            "auction_money_returned",
            "Taken back by returns, no tests: price, payout and margin in units of the house's currency",
            ("campaign", "what"),
            returned,
        ),
    ]


def _postbacks(exchange: Exchange) -> list[Family]:
    postbacks = exchange.postbacks
    return [
        plain_counter("auction_postbacks_delivered", "Postbacks that sellers took", postbacks.delivered),
        counter(
            "auction_postbacks_failed",
            "Tries of postbacks that failed, by why",
            ("why",),
            _floats(postbacks.failed),
        ),
        plain_counter("auction_postbacks_given_up", "Postbacks that were given up", postbacks.given_up),
        plain_counter(
            "auction_postbacks_troubles",
            "Steps of postbacks that the ledger did not take",
            postbacks.troubles,
        ),
        gauge("auction_postbacks_running", "Postbacks being sent", postbacks.running),
        gauge("auction_postbacks_waiting", "Postbacks on their way, told by one worker", postbacks.waiting),
        gauge(
            "auction_postbacks_oldest_seconds",
            "How long the oldest postback is on its way",
            postbacks.oldest_s,
        ),
    ]


def _administration(exchange: Exchange) -> list[Family]:
    administration, uploading = exchange.administration, exchange.uploading
    return [
        counter(
            "auction_admin_changes",
            "Changes that operators made, by what they did",
            ("action",),
            _floats(administration.done),
        ),
        counter(
            "auction_admin_keyed_requests",
            "Calls of operators with an Idempotency-Key, by what became of them",
            ("outcome",),
            _floats(administration.idempotency.outcomes),
        ),
        counter(
            "auction_list_uploads",
            "Uploads of suppression lists: loaded, or why not",
            ("outcome",),
            _floats(uploading.outcomes),
        ),
        gauge("auction_list_uploads_running", "Uploads of suppression lists in flight", uploading.running),
    ]


def _floats(counted: dict[Labels, int]) -> dict[Labels, float]:
    return {labels: float(value) for labels, value in counted.items()}
