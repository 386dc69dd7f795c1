"""What was counted of the counters and the ledger."""

from __future__ import annotations

from auction.exchange import Exchange
from auction.tally import Family, Labels, counter, floats, gauge, plain_counter


def counters(exchange: Exchange) -> list[Family]:
    """Valkey, and how it agrees with the ledger."""
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
        gauge("auction_sentinels_silent", "Sentinels that did not answer last time", link.silent_sentinels),
        plain_counter(
            "auction_counters_rebuilt", "Times the counters were rebuilt from the ledger", rebuilding.rebuilds
        ),
        counter(
            "auction_reconciles",
            "Comparisons of the counters with the ledger, by how they ended",
            ("result",),
            floats(rebuilding.reconciles),
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


def ledger(exchange: Exchange) -> list[Family]:
    """The database."""
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
