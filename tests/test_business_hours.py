"""Business hours as moments: night, weekend, the change of the clock, and what is no hours at all."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contacts.business_hours import (
    has_hours,
    midnights,
    open_time,
    openings,
    seconds_before,
    spans_of,
    zone_of,
)
from contacts.models.workspace import office_hours

MADRID, LIMA = ZoneInfo("Europe/Madrid"), ZoneInfo("America/Lima")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
CLOSED = [None] * 7


def at(text: str, zone: Any = MADRID) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def spent(begin: str, end: str, hours: Any = None, zone: Any = MADRID) -> timedelta:
    since, until = at(begin, zone), at(end, zone)
    return open_time(openings(hours or office_hours(), zone, since, until), since, until)


@pytest.mark.parametrize(
    ("begin", "end", "open_for"),
    [
        ("2026-06-10 10:00", "2026-06-10 10:20", 20 * MINUTE),  # a Wednesday
        ("2026-06-10 08:00", "2026-06-10 09:30", 30 * MINUTE),  # before opening
        ("2026-06-10 17:50", "2026-06-11 09:05", 15 * MINUTE),  # over night
        ("2026-06-10 22:00", "2026-06-10 23:00", timedelta()),  # both at night
        ("2026-06-12 17:00", "2026-06-15 10:00", 2 * HOUR),  # over a weekend
        ("2026-06-13 10:00", "2026-06-14 20:00", timedelta()),  # within it
        ("2026-06-10 10:00", "2026-06-10 10:00", timedelta()),
        ("2026-06-08 09:00", "2026-06-15 09:00", 45 * HOUR),
    ],
)
def test_time_counts_while_it_is_open(begin: str, end: str, open_for: timedelta) -> None:
    assert spent(begin, end) == open_for


def test_hours_are_those_of_the_zone() -> None:
    begin, end = at("2026-06-10 15:00", LIMA), at("2026-06-10 17:00", LIMA)
    assert open_time(openings(office_hours(), LIMA, begin, end), begin, end) == 2 * HOUR
    assert open_time(openings(office_hours(), MADRID, begin, end), begin, end) == timedelta()


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])  # Sundays on which Madrid changes its clock
def test_the_wall_clock_opens_before_and_after_the_change(day: str) -> None:
    sunday = date.fromisoformat(day)
    before, after = str(sunday - timedelta(days=1)), str(sunday + timedelta(days=1))
    always = [["09:00", "18:00"]] * 7
    assert spent(f"{before} 17:00", f"{after} 10:00", always) == (1 + 9 + 1) * HOUR


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_is_as_long_as_it_is(day: str, hours: int) -> None:
    begin, end = midnights(MADRID, date.fromisoformat(day), 1)
    assert end - begin == hours * HOUR
    assert open_time(openings([["00:00", "24:00"]] * 7, MADRID, begin, end), begin, end) == hours * HOUR


def test_a_midnight_that_does_not_exist_is_the_moment_of_the_change() -> None:
    santiago = ZoneInfo("America/Santiago")
    _, begin, _ = midnights(santiago, date(2026, 9, 5), 2)
    assert begin == datetime(2026, 9, 6, 4, tzinfo=UTC)


def test_a_night_shift_ends_on_the_next_day() -> None:
    nights = [["22:00", "06:00"]] * 7
    assert spent("2026-06-10 23:00", "2026-06-11 07:00", nights) == 7 * HOUR
    assert spent("2026-06-10 01:00", "2026-06-10 02:00", nights) == HOUR


def test_what_overlaps_counts_once() -> None:
    hours: list[Any] = [["20:00", "10:00"], ["09:00", "12:00"], *[None] * 5]
    assert spent("2026-06-08 20:00", "2026-06-09 12:00", hours) == 16 * HOUR


@pytest.mark.parametrize(
    "hours", [None, [], {}, "09:00", CLOSED, [["9", "x"]] * 7, [["09:00"]] * 7, [[9, 18]] * 7, [7]]
)
def test_without_hours_the_clock_counts(hours: Any) -> None:
    begin, end = at("2026-06-13 03:00"), at("2026-06-13 05:00")
    assert not has_hours(hours)
    assert open_time(openings(hours, MADRID, begin, end), begin, end) == 2 * HOUR


def test_one_bad_day_is_closed_and_the_others_count() -> None:
    assert spans_of([["09:00", "18:00"], ["", "18:00"]]) == [spans_of(office_hours())[0], *[None] * 6]


def test_what_is_no_zone_is_utc() -> None:
    assert zone_of("Europe/Madrid") == MADRID
    assert [zone_of(name) for name in ("", "Nowhere/Land", "../etc/passwd", "x" * 64, "a\x00b")] == [UTC] * 5


def test_what_was_open_before_each_opening() -> None:
    week = openings(office_hours(), MADRID, at("2026-06-09 00:00"), at("2026-06-10 12:00"))
    assert seconds_before(week) == [0.0, 9 * 3600.0, 18 * 3600.0]
    assert seconds_before([]) == []
