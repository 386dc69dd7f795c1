"""The envelope of the native door: what stands around a lead, read with every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from auction.api.idempotency import hash_of
from auction.api.said import Said
from auction.api.wire import MOST_NAME, MOST_NAMED
from auction.market.money import from_wire
from auction.market.personal import names_somebody
from auction.ping.offer import PingRequest
from auction.post.answer import PostRequest

LEAST_TMAX_MS, MOST_TMAX_MS = 10, 60_000
MOST_GUESSES = 5
"""A guess at what an unknown key was meant to be costs a tenth of a millisecond."""
PING_KEYS = frozenset({"campaign", "lead", "tmax", "floor", "sub_id", "test"})
POST_KEYS = frozenset({"ping_id", "lead"})


def read_ping(data: Mapping[str, Any]) -> PingRequest:
    """A ping's envelope, with every key that is wrong noted, to be told together with what is wrong in the lead.

    Raises `SellerError` 422 where there is no campaign to read the lead by, or no lead.
    """
    said = _Envelope(data, PING_KEYS)
    unknown = len(said.mistakes)
    campaign, lead = said.text("campaign", required=True), said.object("lead")
    readable = len(said.mistakes) == unknown
    request = PingRequest(
        campaign=campaign or "",
        lead=lead,
        tmax_ms=said.whole("tmax", LEAST_TMAX_MS, MOST_TMAX_MS, "milliseconds"),
        floor_micros=said.money("floor"),
        sub_id=said.id_of_theirs("sub_id"),
        test=said.flag("test"),
        mistakes=said.mistakes,
    )
    if not readable:
        said.done()
    return request


def read_post(data: Mapping[str, Any]) -> PostRequest:
    """A post's envelope. Raises `SellerError` 422 naming every key that is wrong."""
    said = _Envelope(data, POST_KEYS)
    ping_id = said.text("ping_id", required=True)
    lead = said.object("lead")
    said.done()
    return PostRequest(ping_id or "", lead, hash_of(data))


class _Envelope(Said):
    """One pass over an envelope, in which only `known` keys may be."""

    __slots__ = ()

    def __init__(self, data: Mapping[str, Any], known: frozenset[str]) -> None:
        super().__init__(data)
        if not data.keys() <= known:
            self._name_unknown(data, sorted(known))

    def id_of_theirs(self, name: str) -> str | None:
        """An id that the sender made up: kept in clear, so it may not name anybody."""
        value = self.text(name)
        if value is not None and names_somebody(value):
            self.wrong(name, "looks like an email address or a phone number: send an id that names nobody")
            return None
        return value

    def object(self, name: str) -> dict[str, Any]:
        value = self.data.get(name)
        if isinstance(value, dict):
            return value
        self.wrong(name, "is required" if value is None else "expected an object of fields")
        return {}

    def whole(self, name: str, least: int, most: int, unit: str) -> int | None:
        value = self.data.get(name)
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not least <= value <= most or value != int(value):
            self.wrong(name, f"expected {least} to {most} {unit}")
            return None
        return int(value)

    def money(self, name: str) -> int:
        value = self.data.get(name)
        if value is None:
            return 0
        if isinstance(value, str):
            self.wrong(name, "expected a number such as 25.00")
            return 0
        try:
            return from_wire(value)
        except ValueError as error:
            self.wrong(name, str(error))
            return 0

    def flag(self, name: str) -> bool:
        value = self.data.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.wrong(name, "expected true or false")
        return False

    def _name_unknown(self, data: Mapping[str, Any], known: list[str]) -> None:
        unknown = [name for name in data if name not in known]
        for place, name in enumerate(unknown[:MOST_NAMED]):
            name = name[:MOST_NAME]
            near = get_close_matches(name, known, 1) if place < MOST_GUESSES else []
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            self.wrong(name, "unknown key; " + hint)
