"""Opening hours, against a model that looks at the wall clock at every minute of a year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.market.hours import Hours, HoursError, parse_hours

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
ZONES = ["America/Chicago", "Australia/Lord_Howe", "America/Santiago", "Asia/Beirut", "Asia/Kolkata", "UTC"]
LINES = ["Mon-Fri 08:00-20:00", "Sat 22:00-01:30", "Sun 00:00-02:15"]
Model = list[tuple[int, int, int]]
"""(day, minute of opening, minutes open)"""
MODEL: Model = [*((day, 480, 720) for day in range(5)), (5, 1320, 210), (6, 0, 135)]


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def model_open(model: Model, closed: set[int], wall: datetime) -> bool:
    """What the wall clock shows decides, and nothing else."""
    if wall.weekday() in closed:
        return False
    minute = wall.weekday() * 1440 + wall.hour * 60 + wall.minute
    return any((minute - day * 1440 - start) % 10080 < length for day, start, length in model)


@pytest.mark.parametrize("zone", ZONES)
def test_a_whole_year_minute_by_minute(zone: str) -> None:
    hours = parse_hours(LINES, zone)
    where = ZoneInfo(zone)
    at = datetime(2025, 1, 1, tzinfo=UTC)
    # 7 minutes hit every minute of the hour in turn; the days when the clocks change are looked at fully
    changes = [
        day
        for day in (at + timedelta(days=n) for n in range(366))
        if day.astimezone(where).utcoffset() != (day + timedelta(days=1)).astimezone(where).utcoffset()
    ]
    sampled = [at + timedelta(minutes=7 * n) for n in range(366 * 1440 // 7)]
    sampled += [day + timedelta(minutes=n) for day in changes for n in range(1440)]
    for instant in sampled:
        assert hours.is_open(ms(instant)) == model_open(MODEL, set(), instant.astimezone(where))


@pytest.mark.parametrize("zone", ZONES)
def test_walking_from_change_to_change_meets_every_change(zone: str) -> None:
    hours = parse_hours(LINES, zone)
    where = ZoneInfo(zone)
    start, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    walked = []
    at = hours.next_change_ms(ms(start))
    while at is not None and at < ms(end):
        walked.append(at)
        at = hours.next_change_ms(at)
    # every change of the model lies on a quarter of an hour: LINES and all these zones do
    expected = []
    was = model_open(MODEL, set(), start.astimezone(where))
    for n in range(1, 365 * 96):
        instant = start + timedelta(minutes=15 * n)
        now = model_open(MODEL, set(), instant.astimezone(where))
        if now != was:
            expected.append(ms(instant))
        was = now
    assert walked == expected


@st.composite
def written(draw: st.DrawFn) -> tuple[list[str], Model, set[int]]:
    lines, model, closed = [], [], set()
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, 6))
        last = draw(st.integers(0, 6))
        days = [(first + n) % 7 for n in range((last - first) % 7 + 1)]
        named = f"{DAYS[first]}-{DAYS[last]}" if draw(st.booleans()) else ",".join(DAYS[day] for day in days)
        if draw(st.integers(0, 4)) == 0:
            closed.update(days)
            lines.append(f"{named} closed")
            continue
        start = draw(st.integers(0, 1439))
        end = draw(st.integers(0, 1440))
        if end == start:
            end += 1
        model += [(day, start, (end - start) % 1440 or 1440) for day in days]
        lines.append(f"{named} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}")
    return lines, model or [(day, 0, 1440) for day in range(7)], closed


@settings(max_examples=150, deadline=None)
@given(
    book=written(), zone=st.sampled_from(ZONES), at_min=st.integers(28_000_000, 30_000_000), ahead=st.data()
)
def test_any_lines_agree_with_the_model(
    book: tuple[list[str], Model, set[int]], zone: str, at_min: int, ahead: st.DataObject
) -> None:
    lines, model, closed = book
    where = ZoneInfo(zone)

    def expected(at_ms: int) -> bool:
        return model_open(model, closed, datetime.fromtimestamp(at_ms / 1000, where))

    try:
        hours = parse_hours(lines, zone)
    except HoursError:
        assert not any(expected((at_min + n) * 60_000) for n in range(0, 10080, 5))
        return
    at_ms = at_min * 60_000 + 1234
    assert hours.is_open(at_ms) == expected(at_ms)
    change_ms = hours.next_change_ms(at_ms)
    if change_ms is None:
        change_ms = at_ms + 10 * 86_400_000
        changes = False
    else:
        changes = True
        assert change_ms > at_ms
        assert expected(change_ms) != expected(at_ms)
    between_ms = ahead.draw(st.integers(at_ms, change_ms - 1))
    assert expected(between_ms) == expected(at_ms)
    assert expected(change_ms - 1) == expected(at_ms)
    assert changes or hours.is_open(at_ms)


def shows(hours: Hours, zone: str, *wall: int) -> bool:
    return hours.is_open(ms(datetime(*wall, tzinfo=ZoneInfo(zone))))  # type: ignore[misc, arg-type]


def test_hours_that_do_not_exist_or_happen_twice() -> None:
    zone = "America/Chicago"
    hours = parse_hours(["Sun 01:30-02:30"], zone)
    spring = datetime(2026, 3, 8, 1, 59, tzinfo=ZoneInfo(zone))
    assert hours.is_open(ms(spring))
    assert hours.next_change_ms(ms(spring)) == ms(spring) + 60_000  # 2:00 is 3:00
    first = datetime(2026, 11, 1, 1, 45, tzinfo=ZoneInfo(zone))
    assert hours.is_open(ms(first))
    assert hours.is_open(ms(first.replace(fold=1)))
    assert not hours.is_open(ms(datetime(2026, 11, 1, 1, 15, fold=1, tzinfo=ZoneInfo(zone))))


def test_what_the_clock_on_the_wall_shows() -> None:
    hours = parse_hours(["daily 08:00-20:00"], "America/Chicago")
    assert hours.shown(ms(datetime(2026, 11, 22, 9, 35, tzinfo=UTC))) == "Sun 03:35 America/Chicago"


def test_spellings() -> None:
    for line in ("monday-FRIDAY 8:00 - 20:00", "Mon - Fri 08:00-20:00", "Mon,Tue,Wed,Thu,Fri  8:00-20:00"):
        assert shows(parse_hours([line], "UTC"), "UTC", 2026, 1, 2, 8, 0)
        assert not shows(parse_hours([line], "UTC"), "UTC", 2026, 1, 3, 8, 0)
    weekend = parse_hours(["Fri-Mon 00:00-24:00"], "UTC")
    assert shows(weekend, "UTC", 2026, 1, 4, 12, 0)
    assert not shows(weekend, "UTC", 2026, 1, 6, 0, 0)


def test_always_open_never_changes() -> None:
    for lines in (
        [],
        ["daily 00:00-24:00"],
        ["Mon-Fri 00:00-24:00", "Sat-Sun 12:00-24:00", "daily 00:00-12:00"],
    ):
        hours = parse_hours(lines, "Europe/Paris")
        assert hours.is_open(0)
        assert hours.next_change_ms(0) is None


def test_a_closed_day_wins_over_every_other_line() -> None:
    hours = parse_hours(["daily 00:00-24:00", "Sat 22:00-06:00", "Sun closed"], "UTC")
    assert shows(hours, "UTC", 2026, 1, 3, 23, 59)
    assert not shows(hours, "UTC", 2026, 1, 4, 0, 0)
    assert shows(hours, "UTC", 2026, 1, 5, 0, 0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("whenever", "expected hours such as"),
        ("Mon 8-20", "expected hours such as"),
        ("Monkey 08:00-20:00", "expected days such as"),
        ("Mon-Foo 08:00-20:00", "expected days such as"),
        ("Mon,,Tue 08:00-20:00", "expected days such as"),
        ("Mon 08:60-20:00", "expected times"),
        ("Mon 24:00-25:00", "expected times"),
        ("Mon 08:00-24:01", "expected times"),
        ("Mon 08:00-08:00", "opens and closes at once"),
        ("Mon " + " " * 500 + "x", "expected hours such as"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, says: str) -> None:
    with pytest.raises(HoursError, match=says) as caught:
        parse_hours(["daily 08:00-20:00", line], "UTC")
    assert line[:8] in str(caught.value)


def test_bounds_and_zone() -> None:
    with pytest.raises(HoursError, match="unknown time zone 'Mars/Base'"):
        parse_hours([], "Mars/Base")
    with pytest.raises(HoursError, match="unknown time zone"):
        parse_hours([], "../etc/passwd")
    with pytest.raises(HoursError, match="no minute open"):
        parse_hours(["Mon 08:00-20:00", "Mon closed"], "UTC")
    with pytest.raises(HoursError, match="at most 50"):
        parse_hours(["daily 08:00-20:00"] * 51, "UTC")
