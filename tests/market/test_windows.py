"""Windows tile time, whatever a zone's clocks do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.market.model import Per
from auction.market.windows import FOREVER_MS, CapRule, Window, calendar, window_at

HOUR_MS = 3_600_000
PERS: tuple[Per, ...] = get_args(Per)
# half hours, changes at midnight, a change at 00:01, a skipped day, southern, none, odd offsets
ZONES = [
    "America/Chicago",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "America/Asuncion",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Asia/Gaza",
    "UTC",
]
INSTANTS = st.integers(946_684_800_000, 2_208_988_800_000)  # 2000 to 2040


def at(zone: str, *wall: int, fold: int = 0) -> int:
    return round(datetime(*wall, tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)  # type: ignore[misc, arg-type]


def wall(zone: ZoneInfo, at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, zone)


def tiles(per: Per, zone: ZoneInfo, at_ms: int) -> Window:
    """The window of this instant, having seen that every instant in it agrees, and the neighbours too."""
    window = window_at(per, zone, at_ms)
    assert window.start_ms <= at_ms < window.end_ms
    assert window_at(per, zone, window.start_ms) == window
    assert window_at(per, zone, window.end_ms - 1) == window
    assert window_at(per, zone, window.end_ms).start_ms == window.end_ms
    assert window_at(per, zone, window.start_ms - 1).end_ms == window.start_ms
    return window


@settings(max_examples=400, deadline=None)
@given(
    per=st.sampled_from([per for per in PERS if per != "total"]), name=st.sampled_from(ZONES), at_ms=INSTANTS
)
def test_windows_tile_time(per: Per, name: str, at_ms: int) -> None:
    zone = ZoneInfo(name)
    window = tiles(per, zone, at_ms)
    length_h = (window.end_ms - window.start_ms) / HOUR_MS
    if per in ("second", "minute"):
        assert window.end_ms - window.start_ms == {"second": 1_000, "minute": 60_000}[per]
        assert wall(zone, window.start_ms).second == 0 or per == "second"
    elif per == "hour":
        assert 0 < length_h <= 1
        assert wall(zone, window.end_ms).minute == 0 or length_h < 1
    elif name != "Pacific/Apia":
        usual_h = {"day": (24, 24), "week": (168, 168), "month": (28 * 24, 31 * 24)}[per]
        assert usual_h[0] - 2 <= length_h <= usual_h[1] + 2


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("per", ["hour", "day"])
def test_windows_tile_time_around_every_change_of_the_clocks(name: str, per: Per) -> None:
    zone = ZoneInfo(name)
    step_ms = 24 * HOUR_MS
    for day_ms in range(1_262_304_000_000, 1_451_606_400_000, step_ms):  # 2010 to 2016
        if wall(zone, day_ms).utcoffset() != wall(zone, day_ms + step_ms).utcoffset():
            at_ms = day_ms - HOUR_MS
            while at_ms < day_ms + step_ms + HOUR_MS:
                tiles(per, zone, at_ms)
                at_ms += 20 * 60_000  # also inside the hour that is shown again after midnight


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(ZONES), at_ms=INSTANTS)
def test_a_day_is_a_date_of_the_wall_clock(name: str, at_ms: int) -> None:
    """All instants of a date are in one window, but for the minutes that are shown again after midnight."""
    zone = ZoneInfo(name)
    window = window_at("day", zone, at_ms)
    start, last = wall(zone, window.start_ms), wall(zone, window.end_ms - 1)
    assert start.date() == last.date()
    before = wall(zone, window.start_ms - 1)
    assert before.date() < start.date()


def test_days_when_the_clocks_change() -> None:
    zone = ZoneInfo("America/Chicago")
    spring = window_at("day", zone, at("America/Chicago", 2026, 3, 8, 12))
    assert spring == Window(at("America/Chicago", 2026, 3, 8), at("America/Chicago", 2026, 3, 9))
    assert spring.end_ms - spring.start_ms == 23 * HOUR_MS
    autumn = window_at("day", zone, at("America/Chicago", 2026, 11, 1, 12))
    assert autumn.end_ms - autumn.start_ms == 25 * HOUR_MS


def test_the_hour_that_happens_twice_is_two_windows() -> None:
    zone = ZoneInfo("America/Chicago")
    first = window_at("hour", zone, at("America/Chicago", 2026, 11, 1, 1, 30))
    second = window_at("hour", zone, at("America/Chicago", 2026, 11, 1, 1, 30, fold=1))
    assert first.end_ms == second.start_ms
    assert first.end_ms - first.start_ms == second.end_ms - second.start_ms == HOUR_MS


def test_hours_of_a_zone_between_the_hours() -> None:
    window = window_at("hour", ZoneInfo("Asia/Kolkata"), at("Asia/Kolkata", 2026, 5, 5, 10, 10))
    assert window == Window(at("Asia/Kolkata", 2026, 5, 5, 10), at("Asia/Kolkata", 2026, 5, 5, 11))


def test_a_midnight_that_does_not_exist() -> None:
    day = window_at("day", ZoneInfo("America/Sao_Paulo"), at("America/Sao_Paulo", 2018, 11, 4, 12))
    assert day == Window(at("America/Sao_Paulo", 2018, 11, 4, 1), at("America/Sao_Paulo", 2018, 11, 5))
    toronto = ZoneInfo("America/Toronto")  # went from 23:30 to 00:30 on 30 March 1919
    after = window_at("day", toronto, at("America/Toronto", 1919, 3, 31, 12))
    assert wall(toronto, after.start_ms).isoformat() == "1919-03-31T00:30:00-04:00"
    assert window_at("day", toronto, after.start_ms - 1).end_ms == after.start_ms
    samoa = ZoneInfo("Pacific/Apia")  # had no 30 December 2011
    last = window_at("day", samoa, at("Pacific/Apia", 2011, 12, 29, 12))
    assert wall(samoa, last.end_ms).date() == datetime(2011, 12, 31).date()  # noqa: DTZ001


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    name = "America/New_York"
    zone = ZoneInfo(name)
    week = Window(at(name, 2026, 3, 2), at(name, 2026, 3, 9))
    assert window_at("week", zone, at(name, 2026, 3, 8, 23, 59)) == week
    december = Window(at(name, 2026, 12, 1), at(name, 2027, 1, 1))
    assert window_at("month", zone, at(name, 2026, 12, 31, 23, 59)) == december
    assert window_at("total", zone, 5) == Window(0, FOREVER_MS)


@given(instants=st.lists(INSTANTS, max_size=6), name=st.sampled_from(ZONES), per=st.sampled_from(PERS))
@settings(max_examples=60, deadline=None)
def test_what_a_rule_remembers_never_shows(instants: list[int], name: str, per: Per) -> None:
    zone = ZoneInfo(name)
    rule = CapRule("o:x:leads:day", "leads", per, 5, zone)
    for at_ms in instants:
        assert rule.window(at_ms) == window_at(per, zone, at_ms)


def test_rules_of_one_kind_and_zone_share_their_calendar() -> None:
    zone = ZoneInfo("UTC")
    one, other = (
        CapRule("o:a:leads:day", "leads", "day", 5, zone),
        CapRule("b:spend:day", "spend", "day", 9, zone),
    )
    now_ms = at("UTC", 2026, 1, 1, 5)
    assert one.window(now_ms) is other.window(now_ms + 1)
    assert calendar("day", zone).window(
        now_ms + round(timedelta(days=1).total_seconds() * 1000)
    ) != one.window(now_ms)
    assert repr(one) == "CapRule('o:a:leads:day', limit=5, zone='UTC')"
