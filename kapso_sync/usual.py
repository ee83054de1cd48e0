"""Today versus usual: which of the things that we count are out of the ordinary (kapso_sync.counting)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

from django.db.models import Min, Q, Sum
from django.utils.translation import gettext_lazy as _

from kapso_sync.counting import COPY, DELIVERY, DRIFT, NOTED, REFUSED
from kapso_sync.models import Tally, WebhookDelivery
from kapso_sync.tallies import BEFORE

Status = WebhookDelivery.Status

# What a source's reasons are, for people.
SOURCES = {
    REFUSED: _("Not accepted"),
    DELIVERY: _("Deliveries"),
    Status.IGNORED: _("Ignored"),
    Status.UNROUTABLE: _("Number not registered"),
    Status.FAILED: _("Failed"),
    NOTED: _("Odd, but applied"),
    DRIFT: _("New to us"),
}
WEEK, MONTH = 7, 28
MOST_SHOWN = 300
# Of what happens by chance so many times, one in some hundred days is further off than three times the usual spread.
SPREAD = 3.0
FEW = 3
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing that is counted. The means are per full day; `expected` is the usual count by this time of the day."""

    source: str
    reason: str
    today: int
    week_mean: float
    month_mean: float
    expected: float
    is_new: bool

    @property
    def distance(self) -> float:
        """How far today is from the usual, in units of its spread."""
        return (self.today - self.expected) / sqrt(max(self.expected, 1.0))

    @property
    def verdict(self) -> str:
        if self.is_new:
            return "new"
        if abs(self.distance) < SPREAD or abs(self.today - self.expected) < FEW:
            return "usual"
        return "more" if self.distance > 0 else "less"

    @property
    def kind(self) -> str:
        return str(SOURCES[self.source])

    @property
    def status(self) -> str:
        """The outcome under which the deliveries behind this are listed; "" where the list cannot show them."""
        outcome = self.reason if self.source == DELIVERY else self.source
        return outcome if outcome in Status.values and outcome != COPY else ""


def today_and_usual(now: datetime) -> list[Compared]:
    """Everything counted today or lately, the most unusual first. `now` in UTC, as the days of tallies are."""
    today = now.date()
    counted = Tally.objects.filter(day__gt=today - (MONTH + 1) * DAY, day__lte=today, source__in=SOURCES)
    rows = counted.values_list("source", "reason").annotate(
        today=Sum("count", filter=Q(day=today), default=0),
        week=Sum("count", filter=Q(day__lt=today, day__gte=today - WEEK * DAY), default=0),
        month=Sum("count", filter=Q(day__lt=today), default=0),
    )
    known = _days_known(now)
    passed = (now - now.replace(hour=0, minute=0, second=0, microsecond=0)) / DAY
    found = [_compared(row, known, passed) for row in rows.order_by("-today", "-month")[: 10 * MOST_SHOWN]]
    found.sort(
        key=lambda one: (one.verdict == "usual", not one.is_new, -abs(one.distance), one.source, one.reason)
    )
    return found[:MOST_SHOWN]


def _days_known(now: datetime) -> int:
    """For how many full days there are counts: a new installation is not compared with days before it."""
    first = Tally.objects.filter(day__gt=BEFORE).aggregate(first=Min("day"))["first"]
    return min((now.date() - first).days, MONTH) if first else 0


def _compared(row: tuple[str, str, int, int, int], known: int, passed: float) -> Compared:
    source, reason, today, week, month = row
    week_mean, month_mean = week / max(min(known, WEEK), 1), month / max(known, 1)
    return Compared(
        source=source,
        reason=reason,
        today=today,
        week_mean=week_mean,
        month_mean=month_mean,
        expected=week_mean * passed,
        # On the first day everything is new, which says nothing.
        is_new=bool(today and not month and known),
    )
