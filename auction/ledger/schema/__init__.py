"""The tables of the ledger: one description for SQLite and PostgreSQL.

Kept alike on purpose: ids, states and JSON are text, times are milliseconds since the epoch, money is micros,
so a row reads the same in either database and no dialect's type gets in between.
"""

from __future__ import annotations

from auction.ledger.schema.base import metadata
from auction.ledger.schema.catalogue import (
    KEY_KINDS,
    api_keys,
    audit,
    catalogue_entries,
    catalogue_versions,
    numbers,
    request_keys,
)
from auction.ledger.schema.house import chores, house, house_keys, ping_leases, workers
from auction.ledger.schema.leads import (
    LEAD_STATES,
    MOST_PLACES,
    OFFER_STATES,
    fingerprints,
    lead_history,
    lead_keys,
    leads,
    offers,
    pings,
    sales,
    waits,
)
from auction.ledger.schema.people import erasures, people, suppression_lists, suppression_runs
from auction.ledger.schema.postbacks import POSTBACK_STATES, outbox, postbacks, refused_postbacks

__all__ = [
    "KEY_KINDS",
    "LEAD_STATES",
    "MOST_PLACES",
    "OFFER_STATES",
    "POSTBACK_STATES",
    "api_keys",
    "audit",
    "catalogue_entries",
    "catalogue_versions",
    "chores",
    "erasures",
    "fingerprints",
    "house",
    "house_keys",
    "lead_history",
    "lead_keys",
    "leads",
    "metadata",
    "numbers",
    "offers",
    "outbox",
    "people",
    "ping_leases",
    "pings",
    "postbacks",
    "refused_postbacks",
    "request_keys",
    "sales",
    "suppression_lists",
    "suppression_runs",
    "waits",
    "workers",
]
