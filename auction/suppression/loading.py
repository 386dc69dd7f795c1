"""Loading a list: lines in, prints out. One value or hash a line; a line that is neither is told by its number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, cast

import msgspec
from sqlalchemy import Connection, Engine

from auction.ledger.suppression_store import BUCKETS, ListState, replace_runs, run_of, state_of
from auction.market.fields import FieldError, Reader
from auction.suppression.buckets import Buckets, bucket_of, contains, joined, without
from auction.suppression.prints import Form, Prints, one_spelling

Way = Literal["replace", "add", "remove"]
MOST_TOLD = 20
"""Bad lines that are told by number; the others are only counted."""


class Gathered(msgspec.Struct):
    """What became of the lines."""

    buckets: Buckets
    lines: int = 0
    bad: int = 0
    bad_lines: list[int] = msgspec.field(default_factory=list)


def gather(
    lines: Iterable[str], read: Callable[[str], int], also: Callable[[str], int] | None = None
) -> Gathered:
    """The prints of all lines, with those that `also` makes of them; blank ones are passed over. `read` raises
    `ValueError` for a bad one."""
    gathered = Gathered(Buckets())
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        gathered.lines += 1
        try:
            gathered.buckets.add(read(text))
            if also is not None:
                gathered.buckets.add(also(text))
        except ValueError:
            gathered.bad += 1
            if len(gathered.bad_lines) < MOST_TOLD:
                gathered.bad_lines.append(number)
    return gathered


def value_reader(
    prints: Prints, normal: Reader, form: Form, *, as_written: bool = False
) -> Callable[[str], int]:
    """Reads values: each is normalised as the field is, and printed in one spelling. What is no such value raises
    `FieldError`. `as_written`: printed with its capitals, as lists that were loaded long ago have it."""

    def read(text: str) -> int:
        value = normal(text)
        if not isinstance(value, str):
            raise FieldError("expected text")
        return prints.of_value(value if as_written else one_spelling(value), form)

    return read


def hash_reader(prints: Prints, form: Form) -> Callable[[str], int]:
    """Reads hashes in hex."""
    return lambda text: prints.of_hash(text, form)


def holds(conn: Connection, list_id: str, prints: Prints, value: str) -> bool:
    """Whether a normalised value stands in a list, in one spelling or as it is written; looks at a run or two of it."""
    state = state_of(conn, list_id)
    if state is None:
        return False
    spellings = dict.fromkeys((value, one_spelling(value)))
    wanted = (prints.of_value(each, cast(Form, state.form)) for each in spellings)
    return any(contains(run_of(conn, state, bucket_of(each)), each) for each in wanted)


def store(engine: Engine, list_id: str, form: Form, gathered: Gathered, way: Way, at_ms: int) -> ListState:
    """Makes the list be these prints, or have them too, or not have them. Raises `OperatorError`."""
    buckets = gathered.buckets
    if way == "replace":
        changed = {at: joined(b"", buckets.run(at)) for at in range(BUCKETS)}
        return replace_runs(engine, list_id, form, changed, at_ms, keep_rest=False)
    change = joined if way == "add" else without
    touched = [at for at in range(BUCKETS) if len(buckets.run(at))]
    with engine.connect() as conn:
        state = state_of(conn, list_id)
        before = {at: run_of(conn, state, at) if state else b"" for at in touched}
    changed = {at: change(before[at], buckets.run(at)) for at in touched}
    return replace_runs(engine, list_id, form, changed, at_ms, keep_rest=True, expected=state)
