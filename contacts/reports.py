"""How a workspace is doing: figures for its managers, and the rows behind each of them.

Everything about messages is computed from the messages themselves, in one statement for each question; medians in
business hours, too, in SQL over all of a period's answers (percentile_cont; contacts.business_hours makes the
openings). A period is some whole days of the workspace's own time up to now.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from django.db import connections
from django.db.models import Case, Count, QuerySet, Value, When
from django.db.models.functions import Coalesce

from contacts import lead_views
from contacts.business_hours import DAY, has_hours, midnights, openings, seconds_before, zone_of
from contacts.models import Contact, FollowUp, Message, Workspace
from contacts.models.contact import CLOSED
from contacts.statements import report_on_messages as sql

# Of a larger workspace the newest so many leads are counted by status, source and owner.
MOST_LEADS = 100_000
# Rows behind a figure that are computed, not read from a table.
MOST_ROWS = 1000

# How long somebody waits, by the name that addresses use: less than so long. "more" is the rest.
AGES = {"1h": timedelta(hours=1), "4h": timedelta(hours=4), "24h": timedelta(hours=24)}
MORE = "more"

INBOUND, OUTBOUND = Message.Direction.INBOUND, Message.Direction.OUTBOUND


@dataclass(slots=True)
class Day:
    """What came and went on a day, and how many leads first appeared."""

    date: date
    inbound: int = 0
    outbound: int = 0
    new: int = 0


@dataclass(frozen=True, slots=True)
class Median:
    """Of how many answers, and the time that half of them took no longer than; None where there are none."""

    count: int = 0
    time: timedelta | None = None

    @classmethod
    def of(cls, count: int, seconds: float | None) -> Median:
        return cls(count, None if seconds is None else timedelta(seconds=round(seconds)))


@dataclass(slots=True)
class Replies:
    """To each first message of a lead, and to whatever began a wait; by the leads' owners (None: nobody's)."""

    first: Median = Median()
    all: Median = Median()
    by_owner: dict[int | None, Median] = field(default_factory=dict)


@dataclass(slots=True)
class Leads:
    by_status: Counter[str] = field(default_factory=Counter)
    by_source: Counter[str] = field(default_factory=Counter)
    # Neither converted nor archived.
    open_by_owner: Counter[int | None] = field(default_factory=Counter)
    total: int = 0

    @property
    def is_capped(self) -> bool:
        return self.total >= MOST_LEADS


@dataclass(slots=True)
class Waiting:
    """Leads that await a reply, by how long and by owner."""

    by_age: Counter[str] = field(default_factory=Counter)
    by_owner: Counter[int | None] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.by_age.total()


@dataclass(frozen=True, slots=True)
class Answer:
    """The customer wrote at `began_at`, we did at `answered_at`; `took` counts business hours alone."""

    contact_id: int
    began_at: datetime
    answered_at: datetime
    took: timedelta


@dataclass(frozen=True)
class Report:
    """On one workspace; each method is one statement, whatever there is to count."""

    workspace: Workspace
    days: int
    now: datetime

    @cached_property
    def dates(self) -> list[date]:
        today = self.now.astimezone(zone_of(self.workspace.time_zone)).date()
        return [today - offset * DAY for offset in reversed(range(self.days))]

    @cached_property
    def midnights(self) -> list[datetime]:
        return midnights(zone_of(self.workspace.time_zone), self.dates[0], self.days)

    @property
    def knows_hours(self) -> bool:
        return has_hours(self.workspace.business_hours)

    def by_day(self) -> list[Day]:
        found = [Day(day) for day in self.dates]
        names = {INBOUND: "inbound", OUTBOUND: "outbound", "new": "new"}
        for index, what, count in self._rows(sql.BY_DAY):
            setattr(found[index], names[what], count)
        return found

    def replies(self) -> Replies:
        found = Replies()
        for is_total, owner, count, seconds, firsts, first_seconds in self._rows(sql.REPLIES):
            if is_total:
                found.all, found.first = Median.of(count, seconds), Median.of(firsts, first_seconds)
            else:
                found.by_owner[owner] = Median.of(count, seconds)
        return found

    def leads(self) -> Leads:
        found = Leads()
        for no_status, no_source, no_owner, status, source, owner, count in self._rows(
            sql.LEADS, most=MOST_LEADS
        ):
            if not no_owner:
                found.open_by_owner[owner] += 0 if status in CLOSED else count
            elif not no_source:
                found.by_source[source] = count
            elif not no_status:
                found.by_status[status] = count
            else:
                found.total = count
        return found

    def waiting(self) -> Waiting:
        found = Waiting()
        rows = self._awaiting().values_list("age", "owner").order_by().annotate(Count("pk"))
        for age, owner, count in rows:
            found.by_age[age] += count
            found.by_owner[owner] += count
        return found

    def overdue(self) -> Counter[int | None]:
        """Leads whose follow-up is overdue, by owner."""
        found: Counter[int | None] = Counter()
        rows = self.overdue_leads().order_by().values_list("owner").annotate(Count("pk"))
        found.update(dict(rows))
        return found

    # The rows behind them

    def messages(self, direction: str, day: date | None = None) -> QuerySet[Message]:
        """Newest first. Those that `by_day` counts."""
        since, until = self._bounds(day)
        turns = Message.objects.filter(is_turn=True)
        of_period = turns.filter(workspace=self.workspace, sent_at__gte=since, sent_at__lt=until)
        return of_period.filter(direction=direction, contact__isnull=False).order_by("-sent_at", "-id")

    def new_leads(self, day: date | None = None) -> list[int]:
        since, until = self._bounds(day)
        return [pk for (pk,) in self._rows(sql.NEW_LEADS, since=since, until=until, most=MOST_ROWS)]

    def answers(self, *, only_first: bool, of_owner: bool = False, owner: int | None = None) -> list[Answer]:
        """The slowest first."""
        rows = self._rows(sql.SLOWEST, only_first=only_first, of_owner=of_owner, owner=owner, most=MOST_ROWS)
        return [Answer(pk, began, end, timedelta(seconds=round(took))) for pk, began, end, took in rows]

    def waiting_leads(self, age: str) -> QuerySet[Contact]:
        return self._awaiting().filter(age=age)

    def open_leads(self, owner: int | None) -> QuerySet[Contact]:
        found = self._living().filter(owner=owner).exclude(lead_status__in=CLOSED)
        return found.order_by(*lead_views.NEWEST_FIRST)

    def overdue_leads(self) -> QuerySet[Contact]:
        late = FollowUp.objects.filter(workspace=self.workspace, done_at=None, due_at__lt=self.now)
        of_survivors = late.values_list(Coalesce("contact__merged_into", "contact"))
        return lead_views.not_snoozed(self._living().filter(pk__in=of_survivors), self.now).order_by("pk")

    def _living(self) -> QuerySet[Contact]:
        return Contact.objects.living().filter(workspace=self.workspace)

    def _awaiting(self) -> QuerySet[Any]:
        ages = [When(waiting_since__gt=self.now - limit, then=Value(age)) for age, limit in AGES.items()]
        return lead_views.longest_waiting(self._living(), self.now).annotate(
            age=Case(*ages, default=Value(MORE))
        )

    def _bounds(self, day: date | None) -> tuple[datetime, datetime]:
        if day is None:
            return self.midnights[0], self.midnights[-1]
        index = self.dates.index(day)
        return self.midnights[index], self.midnights[index + 1]

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        since, until = self._bounds(None)
        zone = zone_of(self.workspace.time_zone)
        hours = openings(self.workspace.business_hours, zone, since, until)
        return {
            "workspace": self.workspace.pk,
            "since": since,
            "until": until,
            "midnights": self.midnights[:-1],
            "opens": [one.begin for one in hours],
            "lengths": [(one.end - one.begin).total_seconds() for one in hours],
            "before": seconds_before(hours),
        }

    def _rows(self, statement: str, **more: Any) -> list[tuple[Any, ...]]:
        with connections[Message.objects.db].cursor() as cursor:
            cursor.execute(statement, self._parameters | more)
            return list(cursor.fetchall())
