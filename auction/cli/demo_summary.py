"""The demo's tables, out of the ledger: per campaign the money, per buyer what it did, and our own time."""

from __future__ import annotations

from collections import Counter, defaultdict

import msgspec
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, func, select

from auction.changes.applying import stored_catalogue
from auction.ledger.pings import MOST_PINGS, recent_pings
from auction.ledger.records import PingRow
from auction.ledger.schema import leads, offers, sales
from auction.market.money import to_text
from auction.market.reasons import Family, Reason
from auction.ping.journal import read_detail


class BuyerSums(msgspec.Struct):
    """What one buyer did over all auctions."""

    asked: int = 0
    bid: int = 0
    won: int = 0
    late: int = 0
    failed: Counter[str] = msgspec.field(default_factory=Counter)
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    elapsed_us: list[int] = msgspec.field(default_factory=list)


def print_summary(console: Console, conn: Connection) -> str:
    """All tables; gives the id of the auction that is worth explaining: the one with most different outcomes."""
    rows = recent_pings(conn, most=MOST_PINGS)
    console.print()
    console.print(_campaigns(conn, rows))
    console.print(_buyers(conn, rows))
    own_ms = sorted(row.own_us / 1000 for row in rows)
    wait_ms = sorted(row.wait_us / 1000 for row in rows)
    console.print(
        f"own time per ping: p50 {_at(own_ms, 0.5):.2f} ms, p90 {_at(own_ms, 0.9):.2f} ms, "
        f"most {own_ms[-1]:.2f} ms; waiting for buyers: p50 {_at(wait_ms, 0.5):.0f} ms, most {wait_ms[-1]:.0f} ms"
    )
    return max(rows, key=_variety).ping_id


def _campaigns(conn: Connection, rows: list[PingRow]) -> Table:
    table = Table("campaign", title="Campaigns", title_justify="left")
    for heading in (
        "pings",
        "offers",
        "leads sold",
        "sales",
        "price",
        "payout",
        "margin",
        "rejected",
        "pending",
    ):
        table.add_column(heading, justify="right")
    pings = Counter(row.campaign for row in rows)
    offered = Counter(row.campaign for row in rows if row.status == "offer")
    states = {
        (row.campaign, row.state): row.leads
        for row in conn.execute(
            select(leads.c.campaign, leads.c.state, func.count().label("leads")).group_by(
                leads.c.campaign, leads.c.state
            )
        )
    }
    money = {
        row.campaign: row
        for row in conn.execute(
            select(
                sales.c.campaign,
                func.count().label("sold"),
                func.sum(sales.c.price_micros).label("price"),
                func.sum(sales.c.payout_micros).label("payout"),
                func.sum(sales.c.margin_micros).label("margin"),
            )
            .where(sales.c.returned_at_ms.is_(None))
            .group_by(sales.c.campaign)
        )
    }
    for campaign in sorted(pings):
        made = money.get(campaign)
        table.add_row(
            campaign,
            str(pings[campaign]),
            str(offered[campaign]),
            str(states.get((campaign, "sold"), 0)),
            str(made.sold if made else 0),
            *(to_text(getattr(made, name)) if made else "" for name in ("price", "payout", "margin")),
            str(states.get((campaign, "rejected"), 0)),
            str(states.get((campaign, "pending"), 0)),
        )
    return table


def _buyers(conn: Connection, rows: list[PingRow]) -> Table:
    table = Table("buyer", title="Buyers", title_justify="left")
    for heading in ("asked", "bid", "won", "too late", "p50 ms", "most ms"):
        table.add_column(heading, justify="right")
    for heading in ("failed", "refused", "leads: sold, rejected"):
        table.add_column(heading)
    posts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in conn.execute(
        select(offers.c.buyer_id, offers.c.state, func.count().label("offers")).group_by(
            offers.c.buyer_id, offers.c.state
        )
    ):
        posts[row.buyer_id][row.state] = row.offers
    for buyer, sums in sorted(_sums(conn, rows).items()):
        times = sorted(us / 1000 for us in sums.elapsed_us)
        table.add_row(
            buyer,
            str(sums.asked),
            str(sums.bid),
            str(sums.won),
            str(sums.late or ""),
            f"{_at(times, 0.5):.0f}" if times else "",
            f"{times[-1]:.0f}" if times else "",
            _listed(sums.failed),
            _listed(sums.refused),
            _listed(posts[buyer]),
        )
    return table


def _sums(conn: Connection, rows: list[PingRow]) -> dict[str, BuyerSums]:
    _, catalogue, _ = stored_catalogue(conn)
    buyer_of = {order.id: order.buyer for order in catalogue.orders}
    sums: dict[str, BuyerSums] = {buyer.id: BuyerSums() for buyer in catalogue.buyers}
    for row in rows:
        for outcome in read_detail(row.detail).outcomes:
            buyer, reason = sums[buyer_of[outcome.order_id]], outcome.reason
            buyer.asked += 1
            buyer.bid += outcome.price_micros > 0
            buyer.won += reason is Reason.WON
            buyer.late += reason is Reason.TIMEOUT
            if outcome.elapsed_us and reason is not Reason.TIMEOUT:
                buyer.elapsed_us.append(outcome.elapsed_us)
            if reason.family is Family.FAILED and reason is not Reason.TIMEOUT:
                buyer.failed[reason.value] += 1
            elif reason.family is Family.REFUSED:
                buyer.refused[reason.value] += 1
    return sums


def _variety(row: PingRow) -> tuple[int, int]:
    detail = read_detail(row.detail)
    return len({outcome.reason for outcome in detail.outcomes}), len(detail.outcomes)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
