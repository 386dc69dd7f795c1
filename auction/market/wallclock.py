"""Between instants and a zone's wall clock, right across its clock changes.

A wall time may not exist (clocks went forward) or happen twice (they went back), and not only at 2 a.m. by an
hour: Lord Howe changes by 30 minutes, St John's changed at 00:01, Samoa skipped a day. Nothing here assumes
more than that a zone changes its offset at most once in `_APART_S`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (a wall clock's own zero: it has no zone)
_SECOND = timedelta(seconds=1)
_APART_S = 6 * 3600


def offset_s(zone: ZoneInfo, at_s: int) -> int:
    """Seconds by which the zone's wall clock is ahead of UTC at the instant `at_s`."""
    offset = zone.utcoffset(datetime.fromtimestamp(at_s, zone))
    assert offset is not None  # a ZoneInfo always knows
    return offset.days * 86_400 + offset.seconds


def next_offset_change_s(zone: ZoneInfo, from_s: int, to_s: int) -> int | None:
    """The first instant in `(from_s, to_s]` whose offset differs from that at `from_s`; None if none."""
    offset = offset_s(zone, from_s)
    low = from_s
    while low < to_s:
        high = min(low + _APART_S, to_s)
        if offset_s(zone, high) != offset:
            while high - low > 1:
                middle = (low + high) // 2
                if offset_s(zone, middle) == offset:
                    low = middle
                else:
                    high = middle
            return high
        low = high
    return None


def first_instant_s(zone: ZoneInfo, wall: datetime) -> int:
    """The first instant at which the zone's wall clock shows `wall` (naive), or has jumped over it."""
    wall_s = (wall - _WALL_EPOCH) // _SECOND
    before = zone.utcoffset(wall.replace(fold=0))
    after = zone.utcoffset(wall.replace(fold=1))
    assert before is not None
    assert after is not None
    if before >= after:  # an ordinary time, or the first of the two that show it
        return wall_s - before // _SECOND
    jump_s = next_offset_change_s(zone, wall_s - after // _SECOND - 1, wall_s - before // _SECOND)
    assert jump_s is not None  # `wall` does not exist because of it
    return jump_s
