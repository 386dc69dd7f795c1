"""`auction reconcile`: the counters held against the ledger, window by window."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.table import Column
from sqlalchemy import Engine

from auction.changes.applying import stored_catalogue
from auction.cli.counting import ANSWER_WITHIN_MS, counters_url
from auction.cli.listing import console, show_table
from auction.cli.options import open_ledger, setting, settings_of, store_flags
from auction.clock import SystemClock
from auction.counted import counted
from auction.counters import scripts
from auction.counters.counters import Counters
from auction.counters.era import Era, Server, read_server, unfit
from auction.counters.link import Link
from auction.counters.naming import HOUSE
from auction.errors import HouseError, OperatorError
from auction.ledger.house import find_house
from auction.ledger.reader import Reader
from auction.market.market import compile_market
from auction.market.money import to_wire
from auction.reconcile.comparing import Difference
from auction.reconcile.reconciling import Outcome, Reconciling
from auction.settings import Settings

DIFFERS = 1
BOUND_MS = 10_000
FOREVER_MS = 250_000_000_000_000
_AMOUNTS = tuple(Column(title, justify="right") for title in ("limit", "ledger", "counters", "difference"))
_COLUMNS: tuple[str | Column, ...] = ("buyer", "order", "cap", "since", *_AMOUNTS)


@click.command()
@click.option("--repair", is_flag=True, help="Make the counters say what the ledger says.")
@click.option(
    "--adopt", is_flag=True, help="Take counters of another ledger over; the next start rebuilds them."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@store_flags
@setting("redis_url", "URL")
def reconcile(repair: bool, adopt: bool, as_json: bool, **flags: object) -> None:
    """Compare what the caps' counters say with what the ledger says.

    Every window that is open now, of every order and buyer: what was sold in it, offers that are out, and live holds.
    Of pings (by the hour and longer), windows that count fewer than workers wrote down that they would lease.
    It is safe on a running house; leads on their way are no differences. The exit code is 1 if some differ
    (with --repair: if some could not be mended), so a cron job can tell. A running house does this once a day by
    itself (AUCTION_RECONCILE_EVERY_S), and at once when its counters were lost.
    """
    settings = settings_of(**flags)
    with open_ledger(settings) as engine, counters_url(settings) as redis_url:
        outcome, good = asyncio.run(_compared(settings, engine, redis_url, repair=repair, adopt=adopt))
    if as_json:
        click.echo(msgspec.json.encode(_report(outcome, good, repair)).decode())
    else:
        _print(outcome, good, repair)
    unsolved = outcome.busy or (outcome.differences and not repair)
    sys.exit(DIFFERS if unsolved else 0)


async def _compared(
    settings: Settings, engine: Engine, redis_url: str, *, repair: bool, adopt: bool
) -> tuple[Outcome, bool]:
    """What was found; and whether the counters are good for the run of their server."""
    with engine.connect() as conn:
        row = find_house(conn)
        version, catalogue, keys = stored_catalogue(conn)
    market = compile_market(catalogue, version, keys)
    reader, link = Reader(engine, threads=1, timeout_s=120.0), Link(redis_url, scripts.ALL, bound_ms=BOUND_MS)
    try:
        await link.open(within_ms=ANSWER_WITHIN_MS)
        server, era = await read_server(link.call)
        if adopt and row is not None:
            await link.call("HSET", HOUSE, "ledger", row.house_id, "run", "")
            server, era = await read_server(link.call)
        _check(server, era, None if row is None else row.house_id)
        now_ms = SystemClock(settings.clock_offset_ms).now_ms()
        reconciling = Reconciling(reader, Counters(link), now_ms, repair=repair)
        return await reconciling.run(market), era.run == server.run
    except HouseError as error:
        raise OperatorError("not_compared", f"they cannot be compared: {error}") from error
    finally:
        await link.close()
        await reader.close()


def _check(server: Server, era: Era, ledger: str | None) -> None:
    if ledger is not None and (fault := unfit(server, era, ledger)) is not None:
        raise fault
    if server.replica:
        raise OperatorError("counters_replica", "this server is a read-only replica: name the primary")


def _report(outcome: Outcome, good: bool, repair: bool) -> dict[str, Any]:
    return {
        "windows": outcome.windows,
        "good": good,
        "repaired": repair,
        "places_freed": outcome.freed,
        "places_taken": outcome.taken,
        "busy": sorted(outcome.busy),
        "differences": [
            {
                **msgspec.structs.asdict(each),
                "start": _instant(each.start_ms),
                "end": _instant(each.end_ms),
                "difference": each.counters - each.ledger,
            }
            for each in outcome.differences
        ],
    }


def _print(outcome: Outcome, good: bool, repair: bool) -> None:
    if outcome.differences:
        show_table(console(), _COLUMNS, map(_row, outcome.differences))
    told = f"{counted(outcome.windows, 'window')}, {counted(len(outcome.differences), 'differs', 'differ')}"
    if repair:
        told += f"; repaired, {counted(outcome.freed, 'place')} given back, {outcome.taken:,} taken"
    click.echo(told)
    if outcome.busy:
        click.echo(f"too busy to compare, try again: {', '.join(sorted(outcome.busy))}", err=True)
    if not good:
        click.echo(
            "the counters were lost or restored since the house last ran: it rebuilds them itself", err=True
        )


def _row(each: Difference) -> tuple[str, ...]:
    amounts = (each.limit, each.ledger, each.counters, each.counters - each.ledger)
    return (
        each.buyer_id,
        each.order_id or "(all)",
        each.cap,
        _instant(each.start_ms),
        *(_amount(each, amount) for amount in amounts),
    )


def _amount(difference: Difference, amount: int) -> str:
    return f"{to_wire(amount):.2f}" if difference.cap.startswith("spend") else str(amount)


def _instant(at_ms: int) -> str:
    if at_ms <= 0:
        return "ever"
    if at_ms >= FOREVER_MS:
        return "never"
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
