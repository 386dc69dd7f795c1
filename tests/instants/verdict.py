"""What must hold at the end of every life, whatever befell it: answers, journals, ledger, counters and outbox agree."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, text

from auction.counters.counters import Counters
from auction.ledger.outbox import TOLD
from auction.reconcile.comparing import caps_of, name_of
from auction.reconcile.reconciling import Reconciling
from tests.faults.checker import check
from tests.faults.history import History, LeadRow, Ledger, OfferRow, SaleRow, Terms
from tests.instants.market import CAPS
from tests.instants.run import Run
from tests.soak.market import term

_ROWS: dict[str, type[msgspec.Struct]] = {"leads": LeadRow, "offers": OfferRow, "sales": SaleRow}


class Found(msgspec.Struct):
    """A life's rows."""

    ledger: Ledger
    history: dict[str, list[tuple[int, str]]]
    outbox: dict[str, list[tuple[int, str]]]


async def verdict(run: Run) -> list[str]:
    """What is wrong, a sentence each."""
    reader = run.stage.b.exchange.reader
    found: Found = await reader.read(lambda conn: _found(conn, run.began_ms))
    life = run.life
    history = History(
        terms=_terms(life),
        attempts=[*run.attempts, *run.overheard],
        received=run.received(),
        ledger=found.ledger,
        settled=run.settled,
        unknown=run.unknown,
    )
    wrong = [f"{kind}: {case}" for kind, cases in check(history).forbidden.items() for case in cases]
    wrong += run.notes
    wrong += _ends(run, found)
    wrong += _outbox(found)
    wrong += await _counters(run, found)
    return wrong


def _found(conn: Connection, began_ms: int) -> Found:
    rows: dict[str, list[Any]] = {}
    mine = "(SELECT lead_id FROM leads WHERE created_at_ms >= :began_ms)"
    for table, kind in _ROWS.items():
        names = ", ".join(field.name for field in msgspec.structs.fields(kind))
        asked = text(f"SELECT {names} FROM {table} WHERE lead_id IN {mine}")
        rows[table] = [kind(*row) for row in conn.execute(asked, {"began_ms": began_ms})]
    moments: dict[str, dict[str, list[tuple[int, str]]]] = {"lead_history": {}, "outbox": {}}
    for table, of_lead in moments.items():
        asked = text(f"SELECT lead_id, seq, state FROM {table} WHERE lead_id IN {mine} ORDER BY lead_id, seq")
        for lead_id, seq, state in conn.execute(asked, {"began_ms": began_ms}):
            of_lead.setdefault(lead_id, []).append((seq, state))
    leads = [_as_sold(lead, rows["sales"]) for lead in rows["leads"]]
    ledger = Ledger(leads, rows["offers"], rows["sales"])
    return Found(ledger, moments["lead_history"], moments["outbox"])


def _as_sold(lead: LeadRow, sales: list[SaleRow]) -> LeadRow:
    """What was given back pays nothing; it was told, and sold, for what it was sold for."""
    if lead.state != "returned" or lead.payout_micros:
        return lead
    paid = sum(sale.payout_micros for sale in sales if sale.lead_id == lead.lead_id)
    return replace(lead, payout_micros=paid)


def _terms(life: Any) -> Terms:
    caps = [
        term(cap, "order", order["id"], "UTC") for order in life.orders for cap in order.get("caps", CAPS)
    ]
    caps += [term({"leads": 4, "per": "hour"}, "buyer", buyer, "UTC") for buyer in life.manners]
    places = life.campaign.get("auction", {}).get("max_buyers", 1)
    idempotent = frozenset(name for name, known in life.buyers.items() if known.get("idempotent"))
    return Terms(places={life.name: places}, caps=tuple(caps), idempotent=idempotent)


def _ends(run: Run, found: Found) -> list[str]:
    """One lead for each that was sent, each at an end that it may have."""
    wrong = []
    leads = found.ledger.leads
    if len(leads) != len(run.attempts):
        states = [f"{lead.lead_id} {lead.state}" for lead in leads]
        wrong.append(f"{len(run.attempts)} leads were sent, the ledger has {states}")
    ends = run.life.ends if run.fault is not None or run.contested else run.life.ends[:1]
    wrong += [
        f"lead {one.lead_id} ended as {one.state}, not {ends}" for one in leads if one.state not in ends
    ]
    wrong += [f"{one.name} was never answered" for one in run.attempts if not one.answers]
    wrong += [
        f"the offer of lead {one.lead_id} to {one.order_id} is {one.state} still"
        for one in found.ledger.offers
        if one.state not in ("accepted", "rejected")
    ]
    if run.fault is not None and not run.struck:
        wrong.append("the instant never came")
    return wrong


def _outbox(found: Found) -> list[str]:
    """Every move that sellers are told has its event, in its place, and nothing else has."""
    wrong = []
    for lead_id, moments in found.history.items():
        told = found.outbox.get(lead_id, [])
        if not set(told) <= set(moments):
            wrong.append(f"lead {lead_id}: events {told} of moves {moments}")
        moved = [state for state, _ in groupby(state for _, state in moments if state in TOLD)]
        if [state for state, _ in groupby(state for _, state in told)] != moved:
            wrong.append(f"lead {lead_id} moved {moved}, and its seller is told {told}")
    return wrong


async def _counters(run: Run, found: Found) -> list[str]:
    """Nothing is held or kept any more, and what is counted is what was sold."""
    wrong = []
    exchange, now_ms = run.stage.b.exchange, run.stage.clock.now_ms()
    counters = Counters(exchange.link)
    owned = [cap for cap in caps_of(exchange.floor.market).values() if cap.buyer_id in run.life.manners]
    for buyer in run.life.manners:
        names = [name_of(cap.rule, cap.rule.window(now_ms)) for cap in owned if cap.buyer_id == buyer]
        look = await counters.look(buyer, names, now_ms)
        wrong += [f"a place of {buyer} is kept still: {place}" for place in look.kept]
        wrong += [
            f"{counted.in_places} of {name} of {buyer} are held still"
            for name, counted in look.windows.items()
            if counted.in_places
        ]
    reconciling = Reconciling(exchange.reader, counters, now_ms, repair=False)
    outcome = await reconciling.run(exchange.floor.market, owned)
    wrong += [
        f"{one.buyer_id} {one.cap}: the ledger says {one.ledger}, the counters {one.counters}"
        for one in outcome.differences
    ]
    wrong += [f"{buyer} was too busy to be compared" for buyer in outcome.busy]
    if wrong:  # the next life begins with counters that are right
        mending = Reconciling(exchange.reader, counters, now_ms, repair=True)
        await mending.run(exchange.floor.market, owned)
    return wrong
