"""Opening hours in a zone's wall clock: `Mon-Fri 08:00-20:00`.

Hours say what the clock on the wall must show, so they stay right when clocks change: an hour that does not
exist is skipped, one that happens twice is open (or closed) both times. A line whose end is before its start
runs over midnight: `Fri 22:00-02:00` ends on Saturday. `Sun closed` takes the whole of Sunday away, whatever
the other lines say, also the end of a Saturday night.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from auction.market.wallclock import next_offset_change_s, offset_s

_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS = {short: day for day, name in enumerate(_NAMES) for short in (name[:3], name)}
_DAY_MIN = 24 * 60
_WEEK_MIN = 7 * _DAY_MIN
_MONDAY_S = 3 * 86_400
"""The epoch was a Thursday: so far into the week had it come."""
_MOST_LINES = 50
_MOST_CHANGES = 64
"""A search passes this many clock changes at most: decades in any real zone."""

_MOST_LINE = 120
_LINE = re.compile(r"(.+?)\s+(?:(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)|closed)", re.ASCII)


class HoursError(ValueError):
    """A line of hours cannot be read: the sentence names it."""


class Hours:
    """When something is open. Immutable; make it with `parse_hours`."""

    __slots__ = ("_sunday_open", "_turns", "_zone")

    def __init__(self, week: bytes, zone: ZoneInfo) -> None:
        """`week` has a byte for each minute from Monday 00:00, 1 where it is open."""
        self._zone = zone
        # only the minutes at which it opens or closes are kept, and how Sunday ends: so Monday begins
        self._sunday_open = bool(week[-1])
        turns = []
        state = week[-1]
        at = week.find(1 - state)
        while at >= 0:
            turns.append(at)
            state = 1 - state
            at = week.find(1 - state, at)
        self._turns = tuple(turns)

    def is_open(self, at_ms: int) -> bool:
        """Whether it is open at this instant."""
        if not self._turns:
            return self._sunday_open
        at_s = at_ms // 1000
        minute = (at_s + offset_s(self._zone, at_s) + _MONDAY_S) // 60 % _WEEK_MIN
        return self._sunday_open ^ (bisect_right(self._turns, minute) % 2 == 1)

    def shown(self, at_ms: int) -> str:
        """What the clock on the wall shows at this instant: `Sun 03:35 America/Chicago`."""
        wall = datetime.fromtimestamp(at_ms // 1000, self._zone)
        return f"{_NAMES[wall.weekday()][:3].title()} {wall:%H:%M} {self._zone.key}"

    def next_change_ms(self, at_ms: int) -> int | None:
        """The first instant after `at_ms` at which `is_open` answers differently; None if it never will."""
        if not self._turns:
            return None
        at_s = at_ms // 1000
        was_open = self.is_open(at_ms)
        for _ in range(_MOST_CHANGES):
            turn_s = self._next_turn_s(at_s)
            changed_s = next_offset_change_s(self._zone, at_s, turn_s)
            if changed_s is None:
                return turn_s * 1000
            if self.is_open(changed_s * 1000) != was_open:
                return changed_s * 1000
            at_s = changed_s
        return None

    def _next_turn_s(self, at_s: int) -> int:
        """When the wall clock will show the next turn, if the clocks do not change before."""
        week_s = (at_s + offset_s(self._zone, at_s) + _MONDAY_S) % (_WEEK_MIN * 60)
        after = bisect_right(self._turns, week_s // 60)
        turn = self._turns[after] if after < len(self._turns) else self._turns[0] + _WEEK_MIN
        return at_s - week_s + turn * 60


def parse_hours(lines: Sequence[str], zone: str) -> Hours:
    """Hours of lines such as `Mon-Fri 08:00-20:00`, `Mon,Wed 9:00-12:00`, `daily 00:00-24:00`, `Sun closed`.

    No lines, or only closed days, start from always open. Raises `HoursError`, naming the line, for one that
    cannot be read, for an unknown zone, and for lines that leave no minute open.
    """
    try:
        where = ZoneInfo(zone)
    except (ValueError, KeyError, OSError):
        raise HoursError(f"unknown time zone {zone!r}: expected one such as America/Chicago") from None
    if len(lines) > _MOST_LINES:
        raise HoursError(f"expected at most {_MOST_LINES} lines of hours")
    week = bytearray(_WEEK_MIN)
    closed_days: set[int] = set()
    any_opens = False
    for line in lines:
        days, start, end = _read_line(line)
        if start == end:
            closed_days.update(days)
            continue
        any_opens = True
        for day in days:
            _fill(week, day * _DAY_MIN + start, day * _DAY_MIN + end, 1)
    if not any_opens:
        _fill(week, 0, _WEEK_MIN, 1)
    for day in closed_days:
        _fill(week, day * _DAY_MIN, (day + 1) * _DAY_MIN, 0)
    if not any(week):
        raise HoursError("the hours leave no minute open: pause the order instead")
    return Hours(bytes(week), where)


def _fill(week: bytearray, start: int, end: int, state: int) -> None:
    """Sets the minutes from `start` to `end`; what lies beyond Sunday falls on Monday."""
    inside = min(end, _WEEK_MIN)
    week[start:inside] = bytes([state]) * (inside - start)
    beyond = end - inside
    week[:beyond] = bytes([state]) * beyond


def _read_line(line: str) -> tuple[list[int], int, int]:
    """Days (Monday is 0), and minutes of the day from and to; the same minute twice for `closed`."""
    found = _LINE.fullmatch(line.strip().lower()) if len(line) <= _MOST_LINE else None
    if found is None:
        raise HoursError(
            f"{line[:_MOST_LINE]!r}: expected hours such as 'Mon-Fri 08:00-20:00' or 'Sun closed'"
        )
    days = _read_days(line, found[1])
    if found[2] is None:
        return days, 0, 0
    start_hour, start_minute, end_hour, end_minute = map(int, found.groups()[1:])
    start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    if start_minute > 59 or end_minute > 59 or start >= _DAY_MIN or end > _DAY_MIN:
        raise HoursError(f"{line!r}: expected times from 00:00 to 24:00")
    if start == end:
        raise HoursError(f"{line!r}: opens and closes at once; write 00:00-24:00 for the whole day")
    return days, start, end if end > start else end + _DAY_MIN


def _read_days(line: str, text: str) -> list[int]:
    if text == "daily":
        return list(range(7))
    days = []
    for part in text.split(","):
        first, dash, last = (name.strip() for name in part.partition("-"))
        if first not in _DAYS or (dash and last not in _DAYS):
            raise HoursError(f"{line!r}: expected days such as Mon, Mon-Fri, Mon,Wed or daily")
        start = _DAYS[first]
        length = (_DAYS[last] - start) % 7 + 1 if dash else 1
        days += [(start + step) % 7 for step in range(length)]
    return days
