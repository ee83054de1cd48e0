"""The hours in which a team answers: pure functions over `Workspace.business_hours` and `Workspace.time_zone`.

Hours are told in the workspace's own time, so they move with its clock change; what comes out are moments in UTC,
and the time between two of them is time that really passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import accumulate
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
MIDNIGHT = time()

# From one wall-clock time to another; one that is not later is that of the next day.
Span = tuple[time, time]


class Opening(NamedTuple):
    begin: datetime
    end: datetime


def zone_of(name: str) -> tzinfo:
    """The zone of this name; UTC for a name that is none, so that no page depends on what somebody typed."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


def midnights(zone: tzinfo, first: date, days: int) -> list[datetime]:
    """The begin of each of so many days in the zone, and the end of the last one."""
    return [
        datetime.combine(first + offset * DAY, MIDNIGHT, zone).astimezone(UTC) for offset in range(days + 1)
    ]


def spans_of(hours: object) -> list[Span | None]:
    """Of each weekday from Monday on, when it is open. Whatever is no pair of times is a closed day."""
    told = hours[:7] if isinstance(hours, list) else []
    return [_span(day) for day in told] + [None] * (7 - len(told))


def openings(hours: object, zone: tzinfo, since: datetime, until: datetime) -> list[Opening]:
    """Every stretch in which it is open between the two moments or across them, in order, none touching another.

    Where no hours are told at all there is nothing to go by: it is open throughout.
    """
    spans = spans_of(hours)
    if not any(spans):
        return [Opening(since, until)]
    first, last = since.astimezone(zone).date() - DAY, until.astimezone(zone).date()
    days = (first + offset * DAY for offset in range((last - first).days + 1))
    return _joined(_opening(day, span, zone) for day in days if (span := spans[day.weekday()]))


def has_hours(hours: object) -> bool:
    return any(spans_of(hours))


def open_time(found: Sequence[Opening], begin: datetime, end: datetime) -> timedelta:
    """How much of the time between the two moments it was open. contacts.reports counts the same in SQL."""
    overlaps = (min(end, one.end) - max(begin, one.begin) for one in found)
    return sum((overlap for overlap in overlaps if overlap > timedelta()), timedelta())


def seconds_before(found: Sequence[Opening]) -> list[float]:
    """For each opening, how long it was open before it: with it the time between two moments is one subtraction."""
    lengths = [(one.end - one.begin).total_seconds() for one in found]
    return [0.0, *accumulate(lengths)][: len(lengths)]


def _opening(day: date, span: Span, zone: tzinfo) -> Opening:
    begin, end = span
    closes_on = day if end > begin else day + DAY
    return Opening(
        datetime.combine(day, begin, zone).astimezone(UTC),
        datetime.combine(closes_on, end, zone).astimezone(UTC),
    )


def _joined(found: Iterable[Opening]) -> list[Opening]:
    """A night shift may reach into the next day's hours."""
    joined: list[Opening] = []
    for one in sorted(found):
        if joined and one.begin <= joined[-1].end:
            joined[-1] = Opening(joined[-1].begin, max(joined[-1].end, one.end))
        elif one.begin < one.end:
            joined.append(one)
    return joined


def _span(told: object) -> Span | None:
    if not isinstance(told, list | tuple) or len(told) != 2:
        return None
    begin, end = _time(told[0]), _time(told[1])
    return None if begin is None or end is None else (begin, end)


def _time(told: object) -> time | None:
    """ "24:00" is the midnight at the end of the day."""
    if told == "24:00":
        return MIDNIGHT
    try:
        return time.fromisoformat(told).replace(tzinfo=None) if isinstance(told, str) else None
    except ValueError:
        return None
