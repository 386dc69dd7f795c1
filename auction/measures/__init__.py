"""Everything that one worker has counted, gathered from its rooms: names, help and labels in one place."""

from __future__ import annotations

from auction.exchange import Exchange
from auction.measures.buying import buyers, outcome_of
from auction.measures.running import administration, changes, key_rates, request_keys, workers
from auction.measures.selling import pings, posts
from auction.measures.stores import counters, ledger
from auction.measures.telling import postbacks, told_by_buyers
from auction.tally import Family

__all__ = ["families_of", "outcome_of"]

_ALL = (
    *(pings, posts, buyers, told_by_buyers, postbacks),
    *(counters, ledger, workers, request_keys, key_rates, changes, administration),
)


def families_of(exchange: Exchange) -> list[Family]:
    """What this worker knows, at this moment."""
    return [family for told in _ALL for family in told(exchange)]
