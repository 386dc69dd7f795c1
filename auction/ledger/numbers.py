"""Numbers for entries of the catalogue, whose ids are words: the lead routes' document speaks of team 3.

A number is given when it is first asked for, counted on for each kind, and never given again, whatever becomes of
the entry: a caller may have written it down. An entry may also say its number itself (`number: 3`), for callers who
know it by that one already; one that had been given it before gets another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from auction.ledger.engine import is_postgresql
from auction.ledger.schema import numbers

Numbered = dict[tuple[str, str], int]
"""Numbers by kind and id."""

_LOCK: Final = 0x0A0C_71_0B
_ALL = select(numbers.c.kind, numbers.c.id, numbers.c.number)
_TAKE_BACK = delete(numbers).where(numbers.c.kind == bindparam("of_kind"), numbers.c.id == bindparam("of_id"))


def give_numbers(
    conn: Connection, wanted: Iterable[tuple[str, str]], said: Collection[tuple[str, int]] = ()
) -> Numbered:
    """The numbers of these entries, by kind and id; who has none gets the next ones, in the order of `wanted`.

    `said` are numbers, by kind, that entries have of themselves: nobody else has one of those. In a transaction that
    writes; others that give numbers wait for its end.
    """
    if is_postgresql(conn):
        conn.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    known: Numbered = {(row.kind, row.id): row.number for row in conn.execute(_ALL)}
    asked, others = list(dict.fromkeys(wanted)), frozenset(said)
    missing = [entry for entry in asked if entry not in known or (entry[0], known[entry]) in others]
    if missing:
        again = [{"of_kind": kind, "of_id": id_} for kind, id_ in missing if (kind, id_) in known]
        highest: defaultdict[str, int] = defaultdict(int)
        for kind, number in [*others, *((kind, number) for (kind, _), number in known.items())]:
            highest[kind] = max(highest[kind], number)
        for kind, id_ in missing:
            highest[kind] += 1
            known[kind, id_] = highest[kind]
        if again:
            conn.execute(_TAKE_BACK, again)
        rows = [{"kind": kind, "id": id_, "number": known[kind, id_]} for kind, id_ in missing]
        conn.execute(insert(numbers), rows)
    return {entry: known[entry] for entry in asked}
