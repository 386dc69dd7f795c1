"""What can go wrong in the ledger, told apart once: away, in each other's way, or impossible.

The drivers' own words are kept out of what others see: their texts may hold values of a row.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy import exc

from auction.errors import HouseError, OperatorError

_AWAY_SQLITE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_CONFLICTS: Final = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_READ_ONLY: Final = "25006"  # what a standby answers after a failover
_FORBIDDEN: Final = frozenset({"42501", "3F000"})  # no privilege; no schema to make tables in


class ImpossibleMove(HouseError):  # noqa: N818 (the sentence an operator reads, not a kind of error)
    """A lead was not in a state from which it may go where it was sent. Nothing was changed."""

    def __init__(self, lead_id: str, found: str | None, wanted: str) -> None:
        where = f"is {found}" if found else "is not known"
        super().__init__("impossible_move", f"lead {lead_id} {where}: it cannot become {wanted}")
        self.found = found
        self.wanted = wanted


class TakenOver(ImpossibleMove):
    """The lead is another worker's by now: this one slept, and was held for dead. Nothing was changed."""

    def __init__(self, lead_id: str, found: str | None, wanted: str) -> None:
        super().__init__(lead_id, found, wanted)
        self.code, self.detail = "taken_over", f"lead {lead_id} is in another worker's hands"

    def __str__(self) -> str:
        return self.detail


class SaleRefused(HouseError):  # noqa: N818
    """The schema refused a sale: a place already taken, a buyer twice, a sum that does not add up (P1,
    P8)."""

    def __init__(self, lead_id: str) -> None:
        super().__init__("sale_refused", f"lead {lead_id}: the ledger refuses this sale next to those it has")


class CatalogueConflict(OperatorError):  # noqa: N818
    """Another apply came between: read the catalogue again, then apply."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            "catalogue_conflict",
            f"the catalogue is at version {found}, not {expected}: look at what changed, then apply again",
        )
        self.expected = expected
        self.found = found


def away() -> HouseError:
    """The ledger did not do it, or did not say so in time: whether it was written is not known."""
    return HouseError("ledger_unavailable", "the ledger does not answer")


def full(what: str) -> HouseError:
    """Refused before it was tried: nothing was written."""
    return HouseError("ledger_full", f"too many {what} wait for the ledger")


def is_away(error: BaseException) -> bool:
    """Whether the database is gone, locked, read-only or full, as opposed to refusing one statement."""
    if isinstance(error, exc.TimeoutError):  # no connection became free in time
        return True
    if not isinstance(error, exc.DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        # extended codes (SQLITE_IOERR_WRITE, SQLITE_BUSY_SNAPSHOT, …) keep the plain one in their low byte
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _AWAY_SQLITE
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or state == _READ_ONLY:
        return True
    return isinstance(error, exc.OperationalError | exc.InterfaceError) and state not in _CONFLICTS


def is_conflict(error: BaseException) -> bool:
    """Whether two transactions stood in each other's way: run again, it may well succeed."""
    return isinstance(error, exc.DBAPIError) and getattr(error.orig, "sqlstate", None) in _CONFLICTS


def is_forbidden(error: exc.DBAPIError) -> bool:
    """Whether the database does not let us: an operator has to grant it, or to name another schema."""
    return getattr(error.orig, "sqlstate", None) in _FORBIDDEN
