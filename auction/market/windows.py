"""The windows of caps: second, minute, hour, day, week, month, total, in a zone's wall clock.

Windows of one kind tile time without gap or overlap. A day runs from the first midnight to the next, so it
has 23 or 25 hours when the clocks change. An hour follows the wall clock's hours and is cut where the clocks
change: the hour that happens twice is two windows, so an hour's cap never stretches over two hours.
Seconds and minutes are those of UTC: no zone's clock has been off by less than a minute since 1972.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from auction.market.model import Per
from auction.market.wallclock import first_instant_s, next_offset_change_s, offset_s

CapKind = Literal["leads", "spend", "pings"]

FOREVER_MS = 253_402_300_800_000
"""The end of the `total` window: the year 10000, exact also as a double (Lua, JSON)."""

_HOUR_S = 3600
_SHORT_MS: dict[Per, int] = {"second": 1_000, "minute": 60_000}


class Window(msgspec.Struct, frozen=True, order=True, gc=False):
    """`start_ms <= t < end_ms`, milliseconds since the epoch."""

    start_ms: int
    end_ms: int


_TOTAL = Window(0, FOREVER_MS)


def window_at(per: Per, zone: ZoneInfo, at_ms: int) -> Window:
    """The window of this kind that `at_ms` lies in."""
    if per == "total":
        return _TOTAL
    short_ms = _SHORT_MS.get(per)
    if short_ms is not None:
        start_ms = at_ms // short_ms * short_ms
        return Window(start_ms, start_ms + short_ms)
    at_s = at_ms // 1000
    start_s, end_s = _hour(zone, at_s) if per == "hour" else _dates(per, zone, at_s)
    return Window(start_s * 1000, end_s * 1000)


def _hour(zone: ZoneInfo, at_s: int) -> tuple[int, int]:
    offset = offset_s(zone, at_s)
    start_s = at_s - (at_s + offset) % _HOUR_S
    end_s = start_s + _HOUR_S
    if offset_s(zone, start_s) != offset:
        changed_s = next_offset_change_s(zone, start_s, at_s)
        assert changed_s is not None
        start_s = changed_s
    return start_s, next_offset_change_s(zone, at_s, end_s) or end_s


def _dates(per: Per, zone: ZoneInfo, at_s: int) -> tuple[int, int]:
    wall = datetime.fromtimestamp(at_s + offset_s(zone, at_s), UTC).replace(tzinfo=None)
    first = wall.replace(hour=0, minute=0, second=0)
    if per == "week":
        first -= timedelta(days=first.weekday())
    elif per == "month":
        first = first.replace(day=1)
    following = _following(per, first)
    start_s, end_s = first_instant_s(zone, first), first_instant_s(zone, following)
    while end_s <= at_s:  # the clocks went back over midnight: the new window had begun already
        following = _following(per, following)
        start_s, end_s = end_s, first_instant_s(zone, following)
    return start_s, end_s


def _following(per: Per, first: datetime) -> datetime:
    if per == "month":
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=7 if per == "week" else 1)


class Calendar:
    """The windows of one kind in one zone, with the last one kept: nearly every question is about now.

    Shared by all caps of that kind and zone, so a new day is worked out once and not once for every order.
    """

    __slots__ = ("_last", "per", "zone")

    def __init__(self, per: Per, zone: ZoneInfo) -> None:
        self.per = per
        self.zone = zone
        self._last = Window(0, 0)

    def window(self, at_ms: int) -> Window:
        """`window_at`, remembered."""
        last = self._last
        if not last.start_ms <= at_ms < last.end_ms:
            last = self._last = window_at(self.per, self.zone, at_ms)
        return last


@lru_cache(maxsize=4096)
def calendar(per: Per, zone: ZoneInfo) -> Calendar:
    """The one calendar of this kind and zone."""
    return Calendar(per, zone)


class CapRule:
    """One limit that an order must keep: its own, or its buyer's.

    `key` names owner, kind and period in stable text (`o:sunrise-tx:leads:day`; `b:leads:day` for the
    buyer's, which lies beside it under the buyer). `limit` counts leads or pings, or is micro-units of spend.
    `short`: its window is a second or a minute.
    """

    __slots__ = ("key", "kind", "limit", "per", "short", "window", "zone")

    def __init__(self, key: str, kind: CapKind, per: Per, limit: int, zone: ZoneInfo) -> None:
        self.key = key
        self.kind = kind
        self.per = per
        self.limit = limit
        self.zone = zone
        self.short = per in _SHORT_MS
        self.window = calendar(per, zone).window

    @property
    def of_buyer(self) -> bool:
        """Whether it is the buyer's own, over all of its orders."""
        return self.key.startswith("b:")

    def __repr__(self) -> str:
        return f"CapRule({self.key!r}, limit={self.limit}, zone={self.zone.key!r})"
