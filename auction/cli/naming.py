"""What is named on the command line: the lead that an id means, and what there is where a name is unknown.

A list that is asked for by a name finds nothing for two reasons: there is nothing, or there is no such name. An
operator must be able to tell them apart; so where nothing was found, the name must stand in the catalogue. (What is
found is listed, also of a name that was taken out of it.)
"""

from __future__ import annotations

import re
from collections.abc import Sized
from typing import Final

from sqlalchemy import Connection

from auction.catalogue.documents import SECTIONS, Kind
from auction.catalogue.mistakes import unknown_name
from auction.changes.applying import stored_catalogue
from auction.errors import OperatorError
from auction.ledger.lead_queries import find_lead, find_lead_by_key
from auction.ledger.pings import find_ping
from auction.ledger.records import Lead
from auction.market.model import Catalogue

_OURS: Final = re.compile(r"[0-9a-f]{32}")


def lead_named(conn: Connection, named: str) -> Lead:
    """The lead of this id, or that was posted against the ping of this id. Raises `OperatorError`."""
    found = find_lead(conn, named) or find_lead_by_key(conn, named)
    if found is not None:
        return found
    if find_ping(conn, named) is not None:
        raise OperatorError("not_posted", f"there is no lead of the ping {named}: it was not posted")
    raise OperatorError("unknown_lead", f"there is no lead {named!r} in this ledger{id_hint(named)}")


def id_hint(named: str) -> str:
    """What an id looks like, to follow the sentence that there is none; nothing for what looks like one."""
    if _OURS.fullmatch(named):
        return ""
    return "; ids of leads and pings are 32 characters of 0-9 and a-f"


def demand_known(conn: Connection, found: Sized, *names: tuple[Kind, str | None]) -> None:
    """Where nothing was found: raises `OperatorError` for the first name that is not in the catalogue."""
    asked = [(kind, name) for kind, name in names if name is not None]
    if found or not asked:
        return
    catalogue = stored_catalogue(conn)[1]
    for kind, name in asked:
        known = ids_of(catalogue, kind)
        if name not in known:
            raise OperatorError(f"unknown_{kind}", unknown_name(kind.replace("_", " "), name, known))


def ids_of(catalogue: Catalogue, kind: Kind) -> set[str]:
    """The ids of all entries of a kind; of the exchange, its own."""
    if kind == "exchange":
        return {kind}
    return {one.id for section, of in SECTIONS.items() if of == kind for one in getattr(catalogue, section)}
