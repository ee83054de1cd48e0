"""A report's figures as its page shows them: each with a label and with the address of the rows behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import Q
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from contacts.charts import columns, shares
from contacts.models import LeadStatus, Role
from contacts.reports import AGES, MORE, Day, Leads, Median, Replies, Report, Waiting

MOST_SOURCES = 12
MOST_PEOPLE = 100

AGE_NAMES = {
    "1h": _("Less than 1 hour"),
    "4h": _("1 to 4 hours"),
    "24h": _("4 to 24 hours"),
    MORE: _("More than 24 hours"),
}

Text = str | Promise


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and where it comes from; `note` says of how many it is the median."""

    label: Text
    value: str
    url: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the numbers that make up a whole, with its share of the largest in percent."""

    label: Text
    count: int
    url: str
    share: int


@dataclass(frozen=True, slots=True)
class DayRow:
    date: date
    cells: list[Figure]


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    cells: list[Figure]


@dataclass(frozen=True)
class Links:
    """The addresses of the rows behind the figures of one report."""

    report: Report
    several: bool

    def behind(self, what: str, **more: Any) -> str:
        told = {"of": what, "workspace": self.report.workspace.pk, "days": self.report.days} | more
        return f"{reverse('reports-behind')}?{urlencode(told)}"

    def leads(self, **filters: Any) -> str:
        """The list of leads; it has a filter for workspaces where the user has several."""
        place = {"workspace": self.report.workspace.pk} if self.several else {}
        return f"{reverse('admin:contacts_contact_changelist')}?{urlencode(filters | place)}"


def duration(span: timedelta | None) -> str:
    """12 min, 3 h 20 min; a dash where there is nothing to measure."""
    if span is None:
        return "–"
    hours, minutes = divmod(round(span / timedelta(minutes=1)), 60)
    if not hours:
        return gettext("%d min") % minutes if minutes else gettext("under 1 min")
    if not minutes:
        return gettext("%d h") % hours
    return gettext("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}


def of_messages(days: list[Day], replies: Replies, links: Links) -> dict[str, Any]:
    return {
        "figures": [
            Figure(_("Messages from customers"), str(sum(day.inbound for day in days)), links.behind("in")),
            Figure(_("Messages from us"), str(sum(day.outbound for day in days)), links.behind("out")),
            Figure(_("New leads"), str(sum(day.new for day in days)), links.behind("new")),
            _median(_("First response, median"), replies.first, links.behind("first")),
            _median(_("Reply time, median"), replies.all, links.behind("replies")),
        ],
        "days": [_day(day, links) for day in reversed(days)],
        "first_day": days[0].date,
        "last_day": days[-1].date,
        "messages": columns([(day.inbound, day.outbound) for day in days]),
        "new_leads": columns([(day.new,) for day in days]),
        "is_quiet": not any(day.inbound or day.outbound for day in days),
    }


def of_waiting(waiting: Waiting, links: Links) -> dict[str, Any]:
    parts = [(AGE_NAMES[age], waiting.by_age[age], links.behind("waiting", age=age)) for age in (*AGES, MORE)]
    return {
        "waiting": _parts(parts),
        "waiting_total": waiting.total,
        "waiting_url": links.leads(view="awaiting"),
    }


def of_leads(leads: Leads, links: Links) -> dict[str, Any]:
    statuses = [(status.label, leads.by_status[status], links.leads(status=status)) for status in LeadStatus]
    common = leads.by_source.most_common()
    sources = [_source(source, count, links) for source, count in common[:MOST_SOURCES]]
    if rest := common[MOST_SOURCES:]:
        told = ngettext("%d other source", "%d other sources", len(rest)) % len(rest)
        sources.append((told, sum(count for _name, count in rest), ""))
    return {"leads": leads, "statuses": _parts(statuses), "sources": _parts(sources)}


def people(
    leads: Leads, waiting: Waiting, replies: Mapping[int | None, Median], overdue: Mapping[int | None, int],
    links: Links,
) -> list[Person]:  # fmt: skip
    """Whoever works here or owns a lead, those with most open leads first; nobody's leads last."""
    owners = {owner for told in (leads.open_by_owner, waiting.by_owner, overdue, replies) for owner in told}
    names = _names(links.report, owners)
    if None in owners:
        names[None] = gettext("Nobody")

    def cells(owner: int | None) -> list[Figure]:
        who, listed = owner or "nobody", {"view": "awaiting", "owner": owner or "nobody"}
        median = replies.get(owner, Median())
        return [
            Figure(_("Open leads"), str(leads.open_by_owner[owner]), links.behind("open", owner=who)),
            Figure(_("Awaiting reply"), str(waiting.by_owner[owner]), links.leads(**listed)),
            Figure(_("Overdue"), str(overdue.get(owner, 0)), links.behind("overdue", owner=who)),
            _median(_("Reply time"), median, links.behind("replies", owner=who)),
        ]

    return [Person(name, cells(owner)) for owner, name in names.items()]


def _names(report: Report, owners: set[int | None]) -> dict[int | None, str]:
    working = Q(membership__workspace=report.workspace) & ~Q(membership__role=Role.VIEWER)
    found = User.objects.filter(working | Q(pk__in=owners - {None})).distinct()[:MOST_PEOPLE]
    named = [(user.get_full_name() or user.get_username(), user.pk) for user in found]
    return {pk: name for name, pk in sorted(named, key=lambda one: one[0].lower())}


def _day(day: Day, links: Links) -> DayRow:
    told = (
        (_("From customers"), day.inbound, "in"),
        (_("From us"), day.outbound, "out"),
        (_("New leads"), day.new, "new"),
    )
    return DayRow(
        day.date, [Figure(label, str(count), links.behind(what, day=day.date)) for label, count, what in told]
    )


def _median(label: Text, median: Median, url: str) -> Figure:
    answers = ngettext("of %d answer", "of %d answers", median.count) % median.count
    return Figure(label, duration(median.time), url, answers)


def _source(source: str, count: int, links: Links) -> tuple[Text, int, str]:
    if not source:
        return _("Unknown"), count, ""
    return "WhatsApp" if source == "whatsapp" else source, count, links.leads(source=source)


def _parts(told: Iterable[tuple[Text, int, str]]) -> list[Part]:
    rows = list(told)
    of_largest = shares([count for _label, count, _url in rows])
    return [Part(*row, share) for row, share in zip(rows, of_largest, strict=True)]
