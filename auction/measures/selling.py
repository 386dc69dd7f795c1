"""What was counted of auctions and sales."""

from __future__ import annotations

from auction.exchange import Exchange
from auction.market.money import MICROS
from auction.ping.journal import STAGES
from auction.tally import Family, Histogram, Labels, counter, floats, gauge, histogram, plain_counter


def pings(exchange: Exchange) -> list[Family]:
    """Auctions."""
    tally, pings = exchange.ping_tally, exchange.pings
    stages: dict[Labels, Histogram] = {
        (name,): one for name, one in zip(STAGES, tally.stages_us, strict=True)
    }
    return [
        counter(
            "auction_pings", "Pings by campaign and outcome", ("campaign", "outcome"), floats(tally.answers)
        ),
        plain_counter(
            "auction_pings_repeated", "Pings answered with the offer that lived already", pings.repeats
        ),
        plain_counter(
            "auction_pings_turned_away", "Pings refused because the house was full", pings.turned_away
        ),
        plain_counter(
            "auction_pings_too_late", "Pings whose time was up when their turn came", pings.too_late
        ),
        gauge("auction_pings_running", "Auctions in flight", pings.running),
        histogram("auction_ping_own_seconds", "Our own time per ping", (), {(): tally.own_us}),
        histogram("auction_ping_buyers_seconds", "Time a ping waited for buyers", (), {(): tally.buyers_us}),
        histogram("auction_ping_stage_seconds", "Time per stage of a ping", ("stage",), stages),
        plain_counter(
            "auction_early_close_saved_seconds", "Waiting that early closes saved", tally.saved_ms / 1000
        ),
        plain_counter("auction_market_swaps", "Markets swapped in since the start", exchange.swapping.swaps),
    ]


def posts(exchange: Exchange) -> list[Family]:
    """Sales."""
    posts, tally = exchange.posts, exchange.posts.tally
    owed = posts.owed
    trips: dict[Labels, Histogram] = {(outcome,): one for outcome, one in tally.trips_us.items()}
    money = {labels: micros / MICROS for labels, micros in tally.money_micros.items()}
    return [
        counter("auction_leads", "Posts by the state their lead came to", ("state",), floats(tally.states)),
        counter(
            "auction_money",
            "Sold by the posts themselves, no tests: price, payout and margin in units of the house's currency",
            ("campaign", "what"),
            money,
        ),
        counter("auction_offers", "Offers to buyers by outcome", ("buyer", "outcome"), floats(tally.offers)),
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
            floats(exchange.waiting.outcomes),
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
