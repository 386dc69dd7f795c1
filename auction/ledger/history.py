"""The history of a lead: one line for each thing that happened to it. The one place where it is written.

So it is also the place where what its seller is to be told goes into the outbox.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, literal_column, select

from auction.ledger.outbox import TOLD, tell, tell_who_hears
from auction.ledger.records import LeadState
from auction.ledger.schema import lead_history
from auction.ledger.statement import Statement

_encode = msgspec.json.encode


def _moment(**known: Any) -> dict[str, Any]:
    """A line of the history: a parameter for each column that is not `known`."""
    return {column.name: bindparam(column.name) for column in lead_history.c} | known


_BEGIN_HISTORY = Statement(
    insert(lead_history).values(
        [
            _moment(
                seq=literal_column("1"), state=literal_column("'received'"), detail=literal_column("'{}'")
            ),
            _moment(seq=literal_column("2")),
        ]
    )
)
_APPEND_HISTORY = Statement(
    insert(lead_history)
    .values(
        _moment(
            seq=select(func.coalesce(func.max(lead_history.c.seq), 0) + 1)
            .where(lead_history.c.lead_id == bindparam("lead_id"))
            .scalar_subquery()
        )
    )
    .inline()  # nobody asks which number it was
)


def begin_history(
    conn: Connection, lead_id: str, at_ms: int, state: LeadState, detail: dict[str, Any]
) -> None:
    """A lead came in, and at once it is `state`."""
    row = {"lead_id": lead_id, "at_ms": at_ms, "state": state, "detail": _encode(detail).decode()}
    _BEGIN_HISTORY.count(conn, row)
    if state in TOLD:
        tell_who_hears(conn, lead_id)


def append_history(
    conn: Connection,
    lead_id: str,
    at_ms: int,
    state: LeadState,
    detail: dict[str, Any],
    hears: bool | None = None,
) -> None:
    """The lead moved, or stayed what it was while something was learnt of it.

    The lead's row says so already. `hears`: whether its seller is to be told, None where that is not known yet.
    """
    row = {"lead_id": lead_id, "at_ms": at_ms, "state": state, "detail": _encode(detail).decode()}
    _APPEND_HISTORY.count(conn, row)
    if state not in TOLD or hears is False:
        return
    (tell if hears else tell_who_hears)(conn, lead_id)
