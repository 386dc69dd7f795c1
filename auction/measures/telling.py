"""What was counted of postbacks, in and out."""

from __future__ import annotations

from auction.exchange import Exchange
from auction.market.money import MICROS
from auction.tally import Family, counter, floats, gauge, plain_counter


def told_by_buyers(exchange: Exchange) -> list[Family]:
    """What buyers tell of leads."""
    reporting = exchange.reporting
    returned = {labels: micros / MICROS for labels, micros in reporting.returned_micros.items()}
    return [
        counter(
            "auction_postbacks",
            "Postbacks of buyers by what they told: changed something, told the same again, were refused, or limited",
            ("status", "outcome"),
            floats(reporting.heard),
        ),
        counter(
            "auction_money_returned",
            "Taken back by returns, no tests: price, payout and margin in units of the house's currency",
            ("campaign", "what"),
            returned,
        ),
    ]


def postbacks(exchange: Exchange) -> list[Family]:
    """What sellers are told."""
    postbacks = exchange.postbacks
    return [
        plain_counter("auction_postbacks_delivered", "Postbacks that sellers took", postbacks.delivered),
        counter(
            "auction_postbacks_failed",
            "Tries of postbacks that failed, by why",
            ("why",),
            floats(postbacks.failed),
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
