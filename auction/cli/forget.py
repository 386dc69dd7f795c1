"""`auction forget`: one person's data, or all that is older; the money stays."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from time import sleep

import click
import uuid_utils
from sqlalchemy import Connection, Engine

from auction.cli.counting import ANSWER_WITHIN_MS
from auction.cli.naming import lead_named
from auction.cli.options import WithVariables, open_ledger, setting, settings_of, store_flags
from auction.clock import SystemClock
from auction.counted import counted
from auction.counters import scripts
from auction.counters.counters import Counters
from auction.counters.embedded import EmbeddedValkey
from auction.counters.files import rewrite_files
from auction.counters.link import Link
from auction.errors import HouseError, OperatorError
from auction.forgetting import DAY_MS, REWRITTEN_WITHIN_S, words_of
from auction.ledger.duplicates import prints_of
from auction.ledger.engine import overwrite_what_is_erased, transaction
from auction.ledger.forgetting import (
    Erased,
    Known,
    forget_leads,
    leads_of,
    look_at,
    old_leads,
    quiet_pings,
    record_erasure,
)
from auction.ledger.sealing import Sealer
from auction.market.model import FieldType
from auction.market.values import FieldError, read_email, read_phone
from auction.ping.hashes import person_hash
from auction.ping.offer import iso_utc
from auction.sealers import hashing_sealer
from auction.settings import Settings

BATCH = 100
MOST_SHOWN = 100
LATE_S = 0.6
"""A worker writes the rows of its pings every 0.2 s, and those of all workers are written by then."""
_NO_COUNTERS = "the counters do not answer: what they hold of it (ping fields, no name) is gone within a day"
_NOT_REWRITTEN = "the counters' append-only file could not be written anew: ping fields (no name) stay in it"
_NOT_CUT = (
    "the ledger is read all the time: its log holds what was erased until it is run again, or the house stops"
)
_AGE = re.compile(r"([1-9][0-9]{0,4})d")


@click.command(cls=WithVariables, told=("secret_key",))
@click.argument("lead_ids", nargs=-1, metavar="[LEAD_ID]...")
@click.option(
    "--phone", metavar="NUMBER", help="Every lead with this phone, however it was written; - reads a line."
)
@click.option("--email", metavar="ADDRESS", help="Every lead with this email; - reads a line.")
@click.option("--older-than", metavar="DAYS", help="Every settled lead taken before so long, such as 90d.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be forgotten.")
@store_flags
@setting("redis_url", "URL")
def forget(
    lead_ids: tuple[str, ...],
    phone: str | None,
    email: str | None,
    older_than: str | None,
    dry_run: bool,
    **flags: object,
) -> None:
    """Erase what is personal of leads. States, prices, payouts, sales and history stay.

    Give ids of leads (or of their pings), or one of --phone, --email and --older-than. A forgotten lead can never be
    sold again: its post, repeated, gets the answer that it got. What buyers bought they have; ask them too.
    """
    asked = [name for name, given in zip(_WAYS, (lead_ids, phone, email, older_than), strict=True) if given]
    if len(asked) != 1:
        raise OperatorError("what_to_forget", "give lead ids, or one of --phone, --email and --older-than")
    settings = settings_of(**flags)
    now_ms = SystemClock(settings.clock_offset_ms).now_ms()
    all_found = True
    with open_ledger(settings) as engine:
        sealer = hashing_sealer(settings, engine)
        forgetting = _Forgetting(engine, sealer, now_ms, dry_run)
        if older_than is not None:
            forgetting.old(_before_ms(older_than, now_ms))
        else:
            with engine.connect() as conn:
                if lead_ids:
                    found, all_found = _named(conn, lead_ids)
                else:
                    found = leads_of(conn, [_hash_of(sealer, phone, email)])
            forgetting.these(found)
        if not dry_run:
            forgetting.record(asked[0])
            pings = [known.ping_id for known in forgetting.known]
            left = asyncio.run(_forget_in_counters(settings, pings, forgetting.prints)) if pings else None
            if left is not None:
                click.echo(left, err=True)
            forgetting.late_pings()
            if not overwrite_what_is_erased(engine):
                click.echo(_NOT_CUT, err=True)
    forgetting.tell()
    if forgetting.in_hand or not all_found:
        sys.exit(2)


_WAYS = ("lead", "phone", "email", "age")


class _Forgetting:
    """One run: what was looked at, and what came of it. `prints` are what the leads were known by, by campaign."""

    def __init__(self, engine: Engine, sealer: Sealer, now_ms: int, dry_run: bool) -> None:
        self.known: list[Known] = []
        self.erased = Erased()
        self.prints: dict[str, list[bytes]] = {}
        self._engine = engine
        self._words = words_of(sealer)
        self._now_ms = now_ms
        self._dry_run = dry_run

    @property
    def in_hand(self) -> list[Known]:
        """Leads that are being sold just now."""
        return [known for known in self.known if known.in_hand]

    def these(self, lead_ids: Sequence[str]) -> None:
        """Forget these leads, with all that would recognise them."""
        for start in range(0, len(lead_ids), BATCH):
            self._batch(lead_ids[start : start + BATCH], duplicates_too=True)

    def old(self, before_ms: int) -> None:
        """Forget settled leads from before. Their duplicates are still recognised, as long as the campaign says."""
        if self._dry_run:
            with self._engine.connect() as conn:
                self.known += look_at(conn, old_leads(conn, before_ms, MOST_SHOWN))
            return
        while True:
            with self._engine.connect() as conn:
                lead_ids = old_leads(conn, before_ms, BATCH)
            if not lead_ids:
                return
            self._batch(lead_ids, duplicates_too=False)

    def late_pings(self) -> None:
        """The log of pings is written a little later than it happens: what came meanwhile is erased too."""
        if self.erased == Erased():
            return
        sleep(LATE_S)
        ping_ids = [known.ping_id for known in self.known if not known.in_hand]
        for start in range(0, len(ping_ids), BATCH):
            with transaction(self._engine) as conn:
                quiet_pings(conn, ping_ids[start : start + BATCH], self._words)

    def record(self, asked: str) -> None:
        """Into the ledger: that it was done, never whose it was."""
        if self.erased != Erased():
            with transaction(self._engine) as conn:
                record_erasure(conn, uuid_utils.uuid7().hex, self._now_ms, asked, self.erased)

    def tell(self) -> None:
        """What was, or would be, forgotten."""
        for known in self.known[:MOST_SHOWN]:
            what = (
                "is being sold just now: try again when it is settled"
                if known.in_hand
                else "was forgotten before"
                if known.forgotten
                else "would be forgotten"
                if self._dry_run
                else "forgotten"
            )
            at = iso_utc(known.created_at_ms)
            click.echo(f"lead {known.lead_id}  {known.campaign}  {at}  {known.state}: {what}")
        if self._dry_run:
            more = ", and perhaps more" if len(self.known) >= MOST_SHOWN else ""
            count = sum(not known.in_hand and not known.forgotten for known in self.known)
            click.echo(f"{counted(count, 'lead')}{more}; nothing was changed")
        else:
            click.echo(
                f"{counted(self.erased.leads, 'lead')} and {counted(self.erased.pings, 'ping')} forgotten"
            )

    def _batch(self, lead_ids: Sequence[str], *, duplicates_too: bool) -> None:
        def look(conn: Connection) -> None:
            self.known += look_at(conn, lead_ids)

        if self._dry_run:
            with self._engine.connect() as conn:
                look(conn)
            return
        with transaction(self._engine) as conn:
            look(conn)
            if duplicates_too:
                self._find_prints(conn, lead_ids)
            self.erased += forget_leads(
                conn, lead_ids, self._words, self._now_ms, duplicates_too=duplicates_too
            )

    def _find_prints(self, conn: Connection, lead_ids: Sequence[str]) -> None:
        campaigns = {known.lead_id: known.campaign for known in self.known}
        for lead_id in campaigns.keys() & set(lead_ids):
            if known_by := prints_of(conn, lead_id):
                self.prints.setdefault(campaigns[lead_id], []).extend(known_by)


def _named(conn: Connection, ids: Sequence[str]) -> tuple[list[str], bool]:
    """The leads that are meant, each once, and whether that is all: which there are not is said."""
    found: dict[str, None] = {}
    all_found = True
    for named in ids:
        try:
            found[lead_named(conn, named).lead_id] = None
        except OperatorError as error:
            click.echo(error.detail, err=True)
            all_found = False
    return list(found), all_found


def _hash_of(sealer: Sealer, phone: str | None, email: str | None) -> bytes:
    """Under which the person's leads are found. Raises `OperatorError`, never repeating what was given."""
    kind: FieldType = "phone" if phone is not None else "email"
    given = (phone if phone is not None else email) or ""
    text = sys.stdin.readline() if given == "-" else given
    try:
        value = read_phone(text.strip()) if kind == "phone" else read_email(text)
    except FieldError as error:
        raise OperatorError("bad_value", f"--{kind}: {error}") from None
    if given != "-":
        told = f"`ps` and the history of your shell have seen this {kind}: `--{kind} -` reads it from a line"
        click.echo(told, err=True)
    return person_hash(sealer.keyed_hash, kind, value)


def _before_ms(text: str, now_ms: int) -> int:
    found = _AGE.fullmatch(text)
    if found is None:
        raise OperatorError("bad_value", f"--older-than: expected days such as 90d, was {text!r}")
    return now_ms - int(found[1]) * DAY_MS


async def _forget_in_counters(
    settings: Settings, ping_ids: Sequence[str], prints: Mapping[str, Sequence[bytes]]
) -> str | None:
    """What the counters hold of these pings, and who bought leads that are known by these prints (by campaign), in
    their files too. What is left, for the operator; None: nothing."""
    link = Link(settings.redis_url or EmbeddedValkey(settings.data_dir).url, scripts.ALL, bound_ms=2_000)
    try:
        await link.open(within_ms=ANSWER_WITHIN_MS)
        counters = Counters(link)
        for ping_id in ping_ids:
            await counters.discard_ping(ping_id)
        for campaign_id, known in prints.items():
            await counters.forget_bought(campaign_id, known)
        return None if await rewrite_files(link, REWRITTEN_WITHIN_S) else _NOT_REWRITTEN
    except HouseError:
        return _NO_COUNTERS
    finally:
        await link.close()
