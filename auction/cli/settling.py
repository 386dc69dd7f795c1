"""`auction pending` and `auction settle`: offers of which nobody knows, and what somebody learnt of one."""

from __future__ import annotations

import getpass
import os

import click
import msgspec

from auction.buyers.protocol import is_reason
from auction.changes.applying import stored_catalogue
from auction.cli.counting import tell_counters
from auction.cli.listing import AS_JSON, say_cut, show_list
from auction.cli.naming import lead_named
from auction.cli.options import open_ledger, setting, settings_of, store_flags
from auction.clock import SystemClock
from auction.counted import counted
from auction.errors import OperatorError
from auction.ledger.engine import transaction
from auction.ledger.records import UnknownOffer
from auction.ledger.takeover import unknown_offers
from auction.ledger.waiting import count_waiting
from auction.market.money import to_text, to_wire
from auction.ping.offer import iso_utc
from auction.post.answer import Answers
from auction.post.settling import Said, free_place, settle_offer
from auction.sealers import hashing_sealer

MOST_SHOWN = 10_000
_COLUMNS = ("lead", "status", "campaign", "seller", "offered", "age", "order", "buyer", "price", "why")
STAYS_TAKEN = "its place in the caps stays taken"
"""On the safe side of the cap."""


class Shown(msgspec.Struct, frozen=True):
    """One line of `auction pending --json`."""

    lead_id: str
    ping_id: str
    campaign: str
    seller: str
    status: str
    order: str
    buyer: str
    price: float
    offered_at: str
    age_s: int
    why: str | None
    test: bool


@click.command()
@AS_JSON
@store_flags
def pending(as_json: bool, **flags: object) -> None:
    """List offers of which nobody knows whether the buyer took the lead, the oldest first.

    Most are of leads that are `pending`. One of a lead that is `sold` was made to another buyer of a shared lead. Each
    keeps its place in the buyer's caps until a postback or `auction settle` says what became of it.

    A seller is told `pending` also of leads that nobody buys yet: those are listed by `auction waiting`.
    """
    settings = settings_of(**flags)
    with open_ledger(settings) as engine, engine.connect() as conn:
        found = unknown_offers(conn, MOST_SHOWN + 1)
        leads_waiting = count_waiting(conn)
    now_ms = SystemClock(settings.clock_offset_ms).now_ms()
    shown = [_shown(offer, now_ms) for offer in found[:MOST_SHOWN]]
    show_list(shown, _COLUMNS, _cells, as_json=as_json, nothing="nothing is pending")
    say_cut(len(found), MOST_SHOWN, "oldest")
    if leads_waiting:
        many = counted(leads_waiting, "lead waits", "leads wait")
        click.echo(f"{many} for a buyer; `auction waiting` lists them", err=as_json)


@click.command()
@click.argument("lead_id")
@click.argument("words", nargs=-1, required=True, metavar="[ORDER_ID] accepted|rejected")
@click.option("--buyer-lead-id", metavar="ID", help="The buyer's own id of the lead it took.")
@click.option("--reason", metavar="WORD", help="Why it was rejected, in one word; the seller is told.")
@click.option("--by", metavar="NAME", help="Who says so; else your user name.")
@store_flags
@setting("redis_url", "URL")
def settle(
    lead_id: str,
    words: tuple[str, ...],
    buyer_lead_id: str | None,
    reason: str | None,
    by: str | None,
    **flags: object,
) -> None:
    """Say what became of an offer that is unknown: the buyer took the lead, or it did not.

    LEAD_ID may also be the id of its ping. ORDER_ID can be left out where the lead has one unknown offer. The sale, its
    payout and the answer to the seller are changed with it, and the place in the buyer's caps is sold or given back. It
    cannot be taken back.
    """
    *named, outcome = words
    if len(named) > 1 or outcome not in ("accepted", "rejected"):
        raise click.UsageError(
            "write LEAD_ID, ORDER_ID if it has several unknown offers, and accepted or rejected"
        )
    if reason is not None and (outcome == "accepted" or not is_reason(reason)):
        raise OperatorError(
            "bad_reason", f"--reason is for a rejection, and one word such as duplicate; was {reason!r}"
        )
    settings = settings_of(**flags)
    said = Said(
        accepted=outcome == "accepted",
        by=f"operator {by or user_name()}",
        order_id=named[0] if named else None,
        reason=reason,
        buyer_lead_id=buyer_lead_id,
    )
    now_ms = SystemClock(settings.clock_offset_ms).now_ms()
    with open_ledger(settings) as engine:
        answers = Answers(hashing_sealer(settings, engine))  # before the transaction: it has one of its own
        with transaction(engine) as conn:
            currency = stored_catalogue(conn)[1].exchange.currency
            settled = settle_offer(conn, lead_named(conn, lead_id).lead_id, said, answers, currency, now_ms)
    click.echo(
        f"lead {settled.lead_id} is {settled.state}: {settled.order_id} {outcome}; "
        f"payout {to_text(settled.payout_micros)} {currency}"
    )
    tell_counters(settings, lambda counters: free_place(counters, settled, now_ms), STAYS_TAKEN)


def user_name() -> str:
    """Who sits there, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as somebody without a name
        return str(os.getuid())


def _shown(offer: UnknownOffer, now_ms: int) -> Shown:
    return Shown(
        lead_id=offer.lead_id,
        ping_id=offer.ping_id,
        campaign=offer.campaign,
        seller=offer.seller,
        status=offer.state,
        order=offer.order_id,
        buyer=offer.buyer_id,
        price=to_wire(offer.price_micros),
        offered_at=iso_utc(offer.sent_at_ms),
        age_s=max(0, now_ms - offer.sent_at_ms) // 1000,
        why=offer.reason,
        test=offer.test,
    )


def _cells(one: Shown) -> tuple[str, ...]:
    return (
        one.lead_id,
        f"{one.status} (test)" if one.test else one.status,
        one.campaign,
        one.seller,
        one.offered_at,
        _age(one.age_s),
        one.order,
        one.buyer,
        f"{one.price:,.2f}",
        one.why or "",
    )


def _age(seconds: int) -> str:
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
