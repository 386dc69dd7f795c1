"""`auction postbacks`: what sellers were told, what they answered, and telling them again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Literal

import click
import msgspec
from sqlalchemy import Connection, Engine

from auction.changes.applying import stored_catalogue
from auction.cli.listing import AS_JSON, say_cut, show_list
from auction.cli.naming import demand_known, lead_named
from auction.cli.options import open_ledger, settings_of, store_flags
from auction.clock import SystemClock
from auction.counted import counted
from auction.errors import OperatorError
from auction.ledger.engine import transaction
from auction.ledger.outbox import Event, events_of
from auction.ledger.postbacks import Postback, State, address, list_postbacks, send_again
from auction.ping.offer import iso_utc
from auction.postbacks.endpoints import Endpoints

MOST_SHOWN, MOST_AGAIN, BATCH = 1_000, 1_000_000, 200
COLUMNS = ("event", "seller", "told", "to", "state", "tries", "answer", "next")


class Shown(msgspec.Struct, frozen=True):
    """One line of `auction postbacks list --json`."""

    event_id: str
    lead_id: str
    seller: str
    status: str
    happened_at: str
    endpoint: str
    url: str | None
    state: str
    tries: int
    answered: int | None
    why: str | None
    answer: str | None
    last_at: str | None
    next_at: str | None


@click.group()
def postbacks() -> None:
    """What sellers were told of their leads, and telling them again."""


@postbacks.command("list")
@click.option("--failed", is_flag=True, help="Only those that were given up.")
@click.option("--lead", "lead_id", metavar="LEAD_ID", help="Only those of this lead, or of this ping's.")
@click.option("--seller", metavar="SELLER", help="Only those to this seller.")
@AS_JSON
@store_flags
def list_command(
    failed: bool, lead_id: str | None, seller: str | None, as_json: bool, **flags: object
) -> None:
    """List postbacks, those of the latest events, the oldest first.

    One is `waiting` for its next try, or `behind` an earlier one of its lead; it ends `delivered` or `given_up`.
    """
    with open_ledger(settings_of(**flags)) as engine, engine.connect() as conn:
        endpoints = endpoints_of(conn)
        lead = None if lead_id is None else lead_named(conn, lead_id).lead_id
        state: State | None = "given_up" if failed else None
        found = list_postbacks(conn, MOST_SHOWN + 1, lead_id=lead, seller=seller, state=state)
        demand_known(conn, found, ("seller", seller))
    shown = [shown_postback(one, endpoints) for one in found[-MOST_SHOWN:]]
    nothing = "nothing was given up" if failed else "nobody was told anything"
    show_list(shown, COLUMNS, cells_of, as_json=as_json, nothing=nothing)
    say_cut(len(found), MOST_SHOWN, "latest")


@postbacks.command()
@click.argument("what", required=False, metavar="[LEAD_ID | EVENT_ID]")
@click.option("--failed", "state", flag_value="given_up", help="Everything that was given up.")
@click.option("--waiting", "state", flag_value="waiting", help="Everything that waits for its next try.")
@click.option("--seller", metavar="SELLER", help="With --failed or --waiting: only to this seller.")
@store_flags
def redeliver(
    what: str | None, state: Literal["given_up", "waiting"] | None, seller: str | None, **flags: object
) -> None:
    """Send postbacks again: of a lead, of one event, all that were given up, or all that wait for another try.

    They go to the endpoints of now, with the same webhook-id as before, in the order of each lead; a running house
    begins within a second. What was given up for an endpoint that is no longer there goes to those that are. LEAD_ID
    may also be the id of its ping.
    """
    if (what is None) == (state is None) or (seller is not None and state is None):
        raise click.UsageError(
            "write a LEAD_ID or an EVENT_ID, or --failed or --waiting (with --seller for one's)"
        )
    settings = settings_of(**flags)
    now_ms = SystemClock(settings.clock_offset_ms).now_ms()
    with open_ledger(settings) as engine:
        with engine.connect() as conn:
            endpoints = endpoints_of(conn)
            found = (
                _named(conn, what, endpoints) if what is not None else _those(conn, state, seller, endpoints)
            )
            steps = list(found)
            demand_known(conn, steps, ("seller", seller))
        count = _run(engine, steps, now_ms)
    click.echo(f"{counted(count, 'postback')} will be sent again")


Step = Callable[[Connection, int], int]
"""Marks some postbacks to be sent again, at this time; says how many."""


def _run(engine: Engine, steps: Sequence[Step], now_ms: int) -> int:
    count = 0
    for start in range(0, len(steps), BATCH):
        with transaction(engine) as conn:
            count += sum(step(conn, now_ms) for step in steps[start : start + BATCH])
    return count


def _named(conn: Connection, what: str, endpoints: Endpoints) -> Iterator[Step]:
    """Of a lead, or of one event of it. Raises `OperatorError` where there is none."""
    lead_id, _, seq = what.rpartition("-")
    events = [event for event in events_of(conn, lead_id) if str(event.seq) == seq]
    if not events:
        events = events_of(conn, lead_named(conn, what).lead_id)
    if not events:
        raise OperatorError(
            "nothing_told",
            f"there is no event of the lead {what}: its seller had no postbacks then, or it is too long ago",
        )
    for event in events:
        yield _again(event, endpoints.told(event.seller, event.state))


def _those(conn: Connection, state: State | None, seller: str | None, endpoints: Endpoints) -> Iterator[Step]:
    found = list_postbacks(conn, MOST_AGAIN, seller=seller, state=state)
    for _, of_event in groupby(found, key=lambda one: (one.lead_id, one.seq)):
        ours = list(of_event)
        event = Event(ours[0].lead_id, ours[0].seq, ours[0].seller, ours[0].at_ms, ours[0].told)
        there = [one.endpoint for one in ours if one.endpoint in endpoints.by_id]
        if there:
            yield _again(event, there)
        if len(there) < len(ours):
            yield _anew(event, endpoints.told(event.seller, event.state))


def _again(event: Event, to: Sequence[str]) -> Step:
    return lambda conn, now_ms: send_again(conn, event, to, now_ms)


def _anew(event: Event, to: Sequence[str]) -> Step:
    return lambda conn, now_ms: address(conn, event, to, now_ms)


def endpoints_of(conn: Connection) -> Endpoints:
    """The endpoints of the catalogue as it stands."""
    version, catalogue, _ = stored_catalogue(conn)
    return Endpoints(version, catalogue, os.environ)


def shown_postback(one: Postback, endpoints: Endpoints) -> Shown:
    """A postback as it is shown. `url` is None where its endpoint was taken out of the catalogue."""
    endpoint = endpoints.by_id.get(one.endpoint)
    return Shown(
        event_id=one.event_id,
        lead_id=one.lead_id,
        seller=one.seller,
        status=one.told,
        happened_at=iso_utc(one.at_ms),
        endpoint=one.endpoint,
        url=endpoint.shown if endpoint is not None else None,
        state=one.state,
        tries=one.tries,
        answered=one.status,
        why=one.error,
        answer=one.answer,
        last_at=None if one.last_at_ms is None else iso_utc(one.last_at_ms),
        next_at=None if one.next_at_ms is None else iso_utc(one.next_at_ms),
    )


def cells_of(one: Shown) -> tuple[str, ...]:
    """A postback's line in a table of `COLUMNS`."""
    said = " ".join(str(part) for part in (one.answered, one.why, one.answer) if part is not None)
    url = one.url or "(removed)"
    return (one.event_id, one.seller, one.status, url, one.state, str(one.tries), said, one.next_at or "")
