"""`auction return` and `auction refused`: a lead that its buyer gives back, and postbacks that could not be taken."""

from __future__ import annotations

from functools import partial

import click
import msgspec

from auction.buyers.protocol import is_reason
from auction.changes.applying import stored_catalogue
from auction.cli.counting import tell_counters
from auction.cli.listing import AS_JSON, say_cut, show_list
from auction.cli.naming import demand_known, lead_named
from auction.cli.options import open_ledger, setting, settings_of, store_flags
from auction.cli.settling import STAYS_TAKEN, user_name
from auction.clock import SystemClock
from auction.errors import OperatorError
from auction.ledger.engine import transaction
from auction.ledger.records import RefusedPostback
from auction.ledger.refused import latest_refused
from auction.market.market import compile_market
from auction.market.money import to_text
from auction.ping.offer import iso_utc
from auction.reports.entering import enter
from auction.reports.report import Refusal, Report, Rules, Status
from auction.reports.reporting import caps_of_order, free_returned, returns_of
from auction.sealers import hashing_sealer

MOST_SHOWN = 1_000
_COLUMNS = ("last told", "buyer", "lead", "order", "told", "refused as", "times")


class Shown(msgspec.Struct, frozen=True):
    """One line of `auction refused --json`. `lead_id` and `order` are null where it was none of ours."""

    buyer: str
    lead_id: str | None
    order: str | None
    status: str
    code: str
    times: int
    first_at: str
    last_at: str


@click.command(name="return")
@click.argument("lead_id")
@click.option(
    "--order", "order_id", metavar="ORDER_ID", help="Whose sale, where the lead was sold to several."
)
@click.option("--reason", metavar="WORD", required=True, help="Why, in one word; buyer and seller see it.")
@click.option("--force", is_flag=True, help="Also where the order's window or share does not allow it.")
@click.option("--by", metavar="NAME", help="Who says so; else your user name.")
@store_flags
@setting("redis_url", "URL")
def return_lead(
    lead_id: str, order_id: str | None, reason: str, force: bool, by: str | None, **flags: object
) -> None:
    """Take a sold lead back from its buyer, as a postback of the buyer would.

    The buyer is credited the price, the seller's payout is taken back, and the lead is not sold again. Its place in the
    caps is free again if the order says so (`returns: {frees_cap: true}`). It cannot be undone.

    LEAD_ID may also be the id of its ping.
    """
    if not is_reason(reason):
        raise OperatorError("bad_reason", f"--reason is one word such as wrong_number; was {reason!r}")
    settings = settings_of(**flags)
    clock = SystemClock(settings.clock_offset_ms)
    with open_ledger(settings) as engine:
        sealer = hashing_sealer(settings, engine)  # before the transaction: it has one of its own
        with transaction(engine) as conn:
            version, catalogue, _ = stored_catalogue(conn)
            market = compile_market(catalogue, version)
            rules = Rules(partial(returns_of, market), market.house.currency, sealer)
            report = Report(
                status=Status.RETURNED,
                by=f"operator {by or user_name()}",
                buyer_id=None,
                lead_id=lead_named(conn, lead_id).lead_id,
                order_id=order_id,
                reason=reason,
                beyond_terms=force,
            )
            reported = enter(conn, report, rules, clock.now_ms())
    if isinstance(reported, Refusal):
        raise OperatorError(reported.code, reported.detail)
    if not reported.changed:
        click.echo(f"lead {reported.lead_id} was returned by {reported.order_id} already")
        return
    money = f"{to_text(reported.price_micros)} credited, payout {to_text(reported.payout_micros)}"
    click.echo(
        f"lead {reported.lead_id} is {reported.state}: returned by {reported.order_id}; {money} {market.house.currency}"
    )
    if reported.freed and not reported.test:
        caps = caps_of_order(market, reported.order_id)
        tell_counters(
            settings, lambda counters: free_returned(counters, reported, caps, clock.now_ms()), STAYS_TAKEN
        )


@click.command()
@click.option("--buyer", metavar="BUYER_ID", help="Those of one buyer.")
@AS_JSON
@store_flags
def refused(buyer: str | None, as_json: bool, **flags: object) -> None:
    """List postbacks that were refused, the latest first.

    A buyer told something of a lead that cannot be: out of order, against what is known, beyond what its order may
    return, or of a lead that it was never offered. The same again is one line. They are kept as long as pings are
    (AUCTION_RETAIN_PINGS_DAYS).
    """
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        found = latest_refused(conn, MOST_SHOWN + 1, buyer)
        demand_known(conn, found, ("buyer", buyer))
    shown = [_shown(told) for told in found[:MOST_SHOWN]]
    show_list(shown, _COLUMNS, _cells, as_json=as_json, nothing="no postback was refused")
    say_cut(len(found), MOST_SHOWN, "latest")


def _shown(told: RefusedPostback) -> Shown:
    return Shown(
        buyer=told.buyer_id,
        lead_id=told.lead_id or None,
        order=told.order_id or None,
        status=told.status,
        code=told.code,
        times=told.times,
        first_at=iso_utc(told.first_at_ms),
        last_at=iso_utc(told.last_at_ms),
    )


def _cells(one: Shown) -> tuple[str, ...]:
    lead = one.lead_id or "(none of ours)"
    return (one.last_at, one.buyer, lead, one.order or "", one.status, one.code, str(one.times))
