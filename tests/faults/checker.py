"""Reconciles three views of one run: what sellers were told, what buyers took, what the ledger says. Pure.

Each forbidden figure is a list of sentences, one a case, with the ids to look for. A figure is good when it is empty.
What the house says of itself elsewhere (metrics, logs) is no evidence.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from msgspec import Struct

from tests.faults.history import OPEN, SOLD, Attempt, CapTerm, History, Per, Received, Said, SaleRow

MICROS = 1_000_000
Cases = list[str]


class Verdict(Struct, frozen=True):
    """What was found: `counts` are figures to read, `forbidden` those that must be empty."""

    counts: dict[str, int]
    forbidden: dict[str, Cases]

    @property
    def good(self) -> bool:
        """Whether every forbidden figure is 0."""
        return not any(self.forbidden.values())


def check(history: History) -> Verdict:
    """The verdict on a run that is over."""
    views = _Views(history)
    forbidden = {
        "lost": list(_lost(views)),
        "sold twice": list(_sold_twice(views)),
        "caps passed": list(_caps_passed(views)),
        "payouts that differ from answers": list(_payouts(views)),
        "sales that no buyer accepted": list(_unfounded(views)),
        "answers that changed": list(_changed(views)),
        "unfinished": list(_unfinished(views)),
        "personal data seen": list(history.planted),
    }
    return Verdict(_counts(views), forbidden)


class _Views:
    """The same history, found by lead."""

    def __init__(self, history: History) -> None:
        self.terms = history.terms
        self.attempts = history.attempts
        self.history = history
        self.leads = {lead.lead_id: lead for lead in history.ledger.leads}
        self.offers = {(offer.lead_id, offer.order_id): offer for offer in history.ledger.offers}
        self.sales: dict[str, dict[str, SaleRow]] = {}
        for sale in history.ledger.sales:
            self.sales.setdefault(sale.lead_id, {})[sale.order_id] = sale
        self.accepted: dict[str, list[Received]] = {}
        for one in history.received:
            if one.accepted:
                self.accepted.setdefault(one.lead_id, []).append(one)

    def takers(self, lead_id: str) -> dict[str, Received]:
        """Order → the first post by which its buyer took this lead."""
        first: dict[str, Received] = {}
        for one in self.accepted.get(lead_id, ()):
            first.setdefault(one.order, one)
        return first

    def sales_of(self, lead_id: str) -> dict[str, SaleRow]:
        """Order → its sale of this lead."""
        return self.sales.get(lead_id, {})


def _lost(views: _Views) -> Iterator[str]:
    """Answered and not in the ledger; or taken by a buyer, and the ledger neither says so nor that it does not know."""
    for attempt in views.attempts:
        for said in attempt.answers:
            lead = views.leads.get(str(said.lead_id))
            if lead is None:
                yield f"{_named(attempt, said)} was answered {said.body['status']} and is not in the ledger"
            elif said.body["status"] == "sold" and lead.state not in SOLD:
                yield f"{_named(attempt, said)} was answered sold, the ledger says {lead.state}"
    for lead_id in views.accepted:
        for order, one in views.takers(lead_id).items():
            lead, offer = views.leads.get(lead_id), views.offers.get((lead_id, order))
            taken = f"lead {lead_id} ({one.name}) was taken by {one.buyer} for {order}"
            if lead is None or offer is None:
                yield f"{taken}, the ledger has no {'lead' if lead is None else 'offer'}"
            elif lead.state in OPEN or offer.state == "unknown" or lead.state == "pending":
                continue
            elif order not in views.sales_of(lead_id):
                yield f"{taken}, the ledger says {lead.state}, offer {offer.state}"


def _sold_twice(views: _Views) -> Iterator[str]:
    terms = views.terms
    under: defaultdict[str, set[str]] = defaultdict(set)
    keys: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for lead_id, deliveries in views.accepted.items():
        takers = views.takers(lead_id)
        campaign = deliveries[0].campaign
        places = 1 if takers.keys() & terms.alone else terms.places[campaign]
        if len(takers) > places:
            yield f"lead {lead_id} was taken by {', '.join(sorted(takers))}: {places} may have it"
        orders_of = Counter(one.buyer for one in takers.values())
        for buyer, orders in orders_of.items():
            if orders > 1:
                yield f"lead {lead_id} was taken by {buyer} for {orders} orders"
        for (buyer, order), times in Counter((one.buyer, one.order) for one in deliveries).items():
            if times > 1 and buyer not in terms.idempotent:
                yield f"lead {lead_id} was taken {times} times by {buyer} for {order}, who keeps no keys"
        for one in deliveries:
            under[one.name].add(lead_id)
            if one.key is not None:
                keys[one.buyer, one.key].add(lead_id)
    for name, ids in under.items():
        if len(ids) > 1:
            yield f"one lead of a seller ({name}) was taken as {len(ids)}: {', '.join(sorted(ids))}"
    for (buyer, key), ids in keys.items():
        if len(ids) > 1:
            yield f"the key {key} was taken by {buyer} as {len(ids)} leads: {', '.join(sorted(ids))}"


def _caps_passed(views: _Views) -> Iterator[str]:
    """By the buyers' logs: what each order, and each buyer, took in each window of each cap; how often it was asked."""
    for cap in views.terms.caps:
        if cap.kind == "pings":
            asked = views.history.asked.get(cap.id, 0)
            if asked > cap.limit:
                yield f"{_cap_named(cap)}: {_amount(cap, asked)}"
            continue
        used: Counter[str] = Counter()
        for lead_id in views.accepted:
            for order, one in views.takers(lead_id).items():
                if cap.id == (order if cap.owner == "order" else one.buyer):
                    window = window_of(cap.per, cap.zone, _offered_at_ms(views, one))
                    used[window] += 1 if cap.kind == "leads" else one.price_micros
        for window, amount in sorted(used.items()):
            if amount > cap.limit:
                yield f"{_cap_named(cap)}: {_amount(cap, amount)} in {window}"


def _offered_at_ms(views: _Views, one: Received) -> int:
    """When the place was taken: what the ledger says of the sale, or of the intent; else when the buyer heard of it."""
    sale = views.sales_of(one.lead_id).get(one.order)
    if sale is not None:
        return sale.offered_at_ms
    offer = views.offers.get((one.lead_id, one.order))
    return one.at_ms if offer is None else offer.sent_at_ms


def _payouts(views: _Views) -> Iterator[str]:
    for attempt in views.attempts:
        for said in attempt.answers:
            lead = views.leads.get(str(said.lead_id))
            if lead is None or said.body["status"] == "pending":
                continue
            told, buyers = round(said.body.get("payout", 0) * MICROS), said.body.get("buyers", [])
            sales = views.sales_of(lead.lead_id)
            paid = sum(sale.payout_micros for sale in sales.values())
            known = [
                sale
                for order, sale in sales.items()
                if sale.buyer_id in buyers or not _learnt_later(views, lead.lead_id, order, said)
            ]
            if lead.payout_micros != paid or told != sum(sale.payout_micros for sale in known):
                yield (
                    f"{_named(attempt, said)}: told {told}, the lead says {lead.payout_micros}, its sales {paid}"
                )
            if sorted(buyers) != sorted(sale.buyer_id for sale in known):
                taken = sorted(sale.buyer_id for sale in sales.values())
                yield f"{_named(attempt, said)}: told {buyers}, sold to {taken}"
    for lead_id, sales in views.sales.items():
        takers = views.takers(lead_id)
        for order, sale in sales.items():
            if sale.price_micros != sale.payout_micros + sale.margin_micros:
                yield f"lead {lead_id}, {order}: the price is not payout and margin"
            if order in takers and takers[order].price_micros != sale.price_micros:
                asked = takers[order].price_micros
                yield f"lead {lead_id}: {order} was asked for {asked} and is to pay {sale.price_micros}"


def _learnt_later(views: _Views, lead_id: str, order: str, said: Said) -> bool:
    """Whether the offer was out, and its answer not known, when this was said: an operator settled it, or the house
    heard the buyer after all. All other sales are told."""
    if (lead_id, order) in views.history.settled:
        return True
    offer, heard_ms = views.offers[lead_id, order], said.heard_ms + views.history.clock_offset_ms
    return offer.sent_at_ms <= heard_ms < (offer.answered_at_ms or 0)


def _unfounded(views: _Views) -> Iterator[str]:
    for lead_id, sales in views.sales.items():
        takers = views.takers(lead_id)
        for order, sale in sales.items():
            if order not in takers:
                yield f"lead {lead_id} is sold to {sale.buyer_id} for {order}, who never took it"


def _changed(views: _Views) -> Iterator[str]:
    """A lead's answer stays what it was; one that was pending may come to an end."""
    for attempt in views.attempts:
        answers = attempt.answers
        for before, after in pairwise(answers):
            ended = before.body["status"] == "pending" and before.lead_id == after.lead_id
            if after.body != before.body and not ended:
                yield f"{_named(attempt, before)}: {_short(before)}, and then {_short(after)}"
        for refused in attempt.said:
            known = [one for one in answers if one.heard_ms <= refused.sent_ms]
            if known and _denies(refused):
                yield f"{_named(attempt, known[0])}: {_short(known[0])}, and then {_short(refused)}"


def _denies(said: Said) -> bool:
    """An error that says something else of a lead that was answered. (That a post is under way, or that a store is
    away, says nothing of it.)"""
    if said.status is None or said.status == 200:
        return said.status == 200 and said.lead_id is None
    return not said.undecided


def _unfinished(views: _Views) -> Iterator[str]:
    """Left behind by a worker that died, and taken over by nobody."""
    for lead in views.leads.values():
        if lead.state in OPEN:
            yield f"lead {lead.lead_id} is {lead.state}, its worker was {lead.worker}"


def _counts(views: _Views) -> dict[str, int]:
    history = views.history
    answered = [attempt.answers[-1] for attempt in views.attempts if attempt.answers]
    statuses = Counter(said.body["status"] for said in answered)
    errors = Counter("answered with an error" if one.status else "not answered" for one in _failed(views))
    unknown = history.unknown
    truth = {key: _truth(views, *key) for key in unknown}
    settled = Counter(history.settled[key] for key in unknown & history.settled.keys())
    by_itself = [
        key
        for key in unknown - history.settled.keys()
        if (offer := views.offers.get(key)) is not None and offer.state != "unknown"
    ]
    return {
        "leads": len(views.attempts),
        "answered": len(answered),
        "answered sold": statuses["sold"],
        "answered rejected": statuses["rejected"],
        "answered pending": statuses["pending"],
        "requests that failed and were repeated": errors.total(),
        "of these, not answered": errors["not answered"],
        "posts that buyers received": len(history.received),
        "pings that buyers received": sum(history.asked.values()),
        "of these, by buyers with a cap on them": sum(
            history.asked.get(cap.id, 0) for cap in history.terms.caps if cap.kind == "pings"
        ),
        "sales in the ledger": len(history.ledger.sales),
        "pending in the ledger": sum(lead.state == "pending" for lead in views.leads.values()),
        "offers unknown": len(unknown),
        "unknown: the buyer had taken it": sum(one == "accepted" for one in truth.values()),
        "unknown: the buyer had not": sum(one != "accepted" for one in truth.values()),
        "unknown: settled as accepted": settled["accepted"],
        "unknown: settled as rejected": settled["rejected"],
        "unknown: settled by the house": len(by_itself),
        "unknown: not settled": len(unknown) - settled.total() - len(by_itself),
    }


def _failed(views: _Views) -> Iterator[Said]:
    for attempt in views.attempts:
        yield from (one for one in attempt.said if one.status is None or one.status >= 500)


def _truth(views: _Views, lead_id: str, order: str) -> str:
    return "accepted" if order in views.takers(lead_id) else "not taken"


def window_of(per: Per, zone: str, at_ms: int) -> str:
    """The window's name: the wall clock of where it counts, and the offset, for the hour that happens twice."""
    wall = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    if per == "total":
        return "all time"
    if per == "week":
        wall -= timedelta(days=wall.weekday())
    return wall.strftime({"hour": "%Y-%m-%d %H h %z", "month": "%Y-%m"}.get(per, "%Y-%m-%d"))


def _cap_named(cap: CapTerm) -> str:
    return f"{cap.owner} {cap.id}, {_amount(cap, cap.limit)} per {cap.per}"


def _amount(cap: CapTerm, amount: int) -> str:
    return f"{amount / MICROS:.2f} spent" if cap.kind == "spend" else f"{amount} {cap.kind}"


def _named(attempt: Attempt, said: Said) -> str:
    return f"{attempt.name} (lead {said.lead_id})"


def _short(said: Said) -> str:
    body = said.body
    return f"{said.status} {body.get('status') if said.status == 200 else body.get('code')} {body.get('payout', '')}"
