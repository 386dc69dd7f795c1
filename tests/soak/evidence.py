"""Reads what a run left behind: the buyers' journals, the ledger's tables, and files that must name nobody.

By plain SQL and plain JSON: nothing of the house's own code is asked.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from msgspec import Struct

from tests.faults.history import LeadRow, Ledger, OfferRow, Received, SaleRow

MICROS = 1_000_000
MOST_NAMED = 20
_TABLES: dict[str, type[Struct]] = {"leads": LeadRow, "offers": OfferRow, "sales": SaleRow}
_TEN_DIGITS = re.compile(rb"(?<!\d)1?([2-9]\d{9})(?!\d)")


class _Body(Struct):
    """What a buyer was sent to buy."""

    lead_id: str
    order: str
    price: float
    campaign: str
    lead: dict[str, Any]


class _Kept(Struct):
    """One line of a journal."""

    at_ms: int
    buyer: str
    body: str
    key: str | None = None
    outcome: str | None = None
    reason: str = ""
    kind: str = "post"


def read_received(journals: Iterable[Path], clock_offset_ms: int = 0) -> list[Received]:
    """Every post that buyers wrote down, by the house's clock, oldest first."""
    decode, decode_body = msgspec.json.Decoder(_Kept).decode, msgspec.json.Decoder(_Body).decode
    found = []
    for journal in journals:
        for line in journal.read_bytes().splitlines() if journal.exists() else ():
            # the last line of one that was killed; a spoiled body
            with contextlib.suppress(msgspec.DecodeError):
                kept = decode(line)
                body = decode_body(kept.body.encode("latin-1"))
                answered = "nothing" if kept.outcome is None else kept.outcome
                found.append(
                    Received(
                        at_ms=kept.at_ms + clock_offset_ms,
                        buyer=kept.buyer,
                        order=body.order,
                        campaign=body.campaign,
                        lead_id=body.lead_id,
                        key=kept.key,
                        price_micros=round(body.price * MICROS),
                        name=str(body.lead.get("email", "")).partition("@")[0],
                        answered=f"{answered}: {kept.reason}" if kept.reason else answered,
                    )
                )
    return sorted(found, key=lambda one: one.at_ms)


def read_asked(journals: Iterable[Path]) -> dict[str, int]:
    """How often each buyer wrote down that it was asked."""
    decode, asked = msgspec.json.Decoder(_Kept).decode, Counter[str]()
    for journal in journals:
        for line in journal.read_bytes().splitlines() if journal.exists() else ():
            with contextlib.suppress(msgspec.DecodeError):  # the last line of one that was killed
                kept = decode(line)
                asked[kept.buyer] += kept.kind == "ping"
    return dict(asked)


def read_ledger(url: str) -> Ledger:
    """The ledger at `sqlite:///path` or `postgresql://…`, as it stands."""
    rows: dict[str, list[Any]] = {}
    with _connected(url) as conn:
        for table, kind in _TABLES.items():
            names = [field.name for field in msgspec.structs.fields(kind)]
            cursor = conn.execute(f"SELECT {', '.join(names)} FROM {table}")
            rows[table] = [kind(*row) for row in cursor.fetchall()]
    return Ledger(rows["leads"], rows["offers"], rows["sales"])


@contextlib.contextmanager
def _connected(url: str) -> Iterator[Any]:
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as conn:
            yield conn
    else:
        with psycopg.connect(url, autocommit=True) as conn:
            yield conn


def planted_in(paths: Iterable[Path], planted: str, phones: Sequence[str] = ()) -> list[str]:
    """Where a planted name (`planted`, then a number) or one of these phones stands, a sentence a file."""
    named = re.compile(re.escape(planted.encode()) + rb"\d{6}", re.IGNORECASE)
    known = {re.sub(r"\D", "", phone)[-10:].encode() for phone in phones}
    found = []
    for path in sorted(set(paths)):
        if not path.is_file():
            continue
        text = path.read_bytes()
        names = named.findall(text)
        seen = [number for number in _TEN_DIGITS.findall(text) if number in known] if known else []
        if names or seen:
            examples = b", ".join([*names, *seen][:MOST_NAMED]).decode()
            found.append(f"{path.name}: {len(names)} names and {len(seen)} phones, such as {examples}")
    return found
