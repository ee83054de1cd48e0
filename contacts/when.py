"""The times that people name for a follow-up or a snooze: a step, or a date and time in their own zone."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from contacts.changing import Refused

MORNING, EVENING = time(9), time(17)
# Beyond, somebody mistyped the year.
FURTHEST = timedelta(days=5 * 366)


def moment(named: str, now: datetime | None = None) -> datetime:
    """`today` (late afternoon), `tomorrow` and `week` (that day's morning), or what a date field sends.

    Local to whoever asks, and in the future. Raises `Refused`.
    """
    now = now or timezone.now()
    named = named.strip()
    if not named:
        raise Refused(_("Say when: choose a date."))
    return ahead(_step(named, timezone.localtime(now)) or _typed(named), now)


def ahead(at: datetime, now: datetime | None = None) -> datetime:
    """The same, if it is in the future, and near enough to be meant."""
    now = now or timezone.now()
    if at <= now:
        raise Refused(_("That time is in the past. Choose one that is still to come."))
    if at > now + FURTHEST:
        raise Refused(_("That is more than five years away. Check the year."))
    return at


def _step(named: str, now: datetime) -> datetime | None:
    if named == "today":
        evening = _at(now, EVENING)
        return evening if evening > now else (now + timedelta(hours=1)).replace(second=0, microsecond=0)
    days = {"tomorrow": 1, "week": 7}.get(named)
    return _at(now, MORNING, days) if days else None


def _at(now: datetime, clock: time, days: int = 0) -> datetime:
    return timezone.make_aware(datetime.combine(now.date() + timedelta(days), clock))


def _typed(text: str) -> datetime:
    try:
        day = parse_date(text)
        at = datetime.combine(day, MORNING) if day else parse_datetime(text)
        if at and 1900 < at.year < 9000:
            return at if timezone.is_aware(at) else timezone.make_aware(at)
    except ValueError:  # the 30th of February
        pass
    raise Refused(_("“%(text)s” is not a date and time.") % {"text": text[:40]})


def as_json(at: datetime | None) -> str | None:
    """The same text for the same moment, in whatever zone somebody named it."""
    return at.astimezone(UTC).isoformat() if at else None


def is_same(at: datetime | None, seen: str) -> bool:
    """Whether a page that showed `seen` showed this time; pages know no fractions of a second."""
    if at is None or not seen:
        return at is None and not seen
    try:
        shown = parse_datetime(seen)
    except ValueError:
        return False
    if shown is None:
        return False
    shown = shown if timezone.is_aware(shown) else timezone.make_aware(shown)
    return abs(shown - at) < timedelta(seconds=1) or _is_same_minute(at, shown)


def _is_same_minute(at: datetime, shown: datetime) -> bool:
    """A date field shows minutes at best."""
    return shown.second == 0 and at.replace(second=0, microsecond=0) == shown.replace(microsecond=0)


def local_text(named: str) -> str:
    """What a date field shows of the time that it sent: its script names the zone, which such a field does not take."""
    try:
        at = parse_datetime(named.strip())
        return timezone.localtime(at).strftime("%Y-%m-%dT%H:%M") if at and timezone.is_aware(at) else named
    except (ValueError, OverflowError):
        return named
