"""The filters of the list of leads. Each is a parameter of its address, so that a link or a saved filter can name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from contacts import lead_views, narrowing
from contacts.admin.lead_choices import MOST_OPTIONS, Options, choices_of
from contacts.admin.tenancy import user_of, workspaces_of
from contacts.models import LeadStatus
from contacts.narrowing import is_id

LONGEST_SPAN = 36_500


class LeadFilter(SimpleListFilter):
    """One choice. Whatever else stands in the address finds nobody: a filter that is shown as on never shows all."""

    # The browser's own select: nothing to load, and the best there is on a phone. Written out in one go: Django's widget
    # includes two templates for each option.
    template = "contacts/lead_filter.html"
    empty = _("Any")

    def options(self, request: HttpRequest) -> Options:
        raise NotImplementedError

    def narrow(self, leads: QuerySet[Any], value: str, request: HttpRequest) -> QuerySet[Any]:
        raise NotImplementedError

    def named(self, _value: str) -> str:
        """How a value reads that is none of the options."""
        return gettext("Unknown")

    def value(self) -> str | None:
        return (super().value() or "").replace("\x00", "").strip()[:255] or None

    def lookups(self, request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        options = self.options(request)
        value = self.value()
        strange = value is not None and value not in dict(options)
        return [*options, *([(value, self.named(value))] if strange and value else [])]

    def queryset(self, request: HttpRequest, leads: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return self.narrow(leads, value, request) if value else leads

    def choices(self, _changelist: Any) -> Iterator[Any]:
        yield {"options": [("", self.empty), *self.lookup_choices], "chosen": self.value() or ""}

    @property
    def chosen(self) -> str:
        """The option that is on, in words; "" for none."""
        value = self.value()
        return str(dict(self.lookup_choices)[value]) if value else ""


class StatusFilter(LeadFilter):
    title = _("Status")
    parameter_name = "status"

    def options(self, _request: HttpRequest) -> Options:
        return [(value, str(label)) for value, label in LeadStatus.choices]

    def narrow(self, leads: QuerySet[Any], value: str, _request: HttpRequest) -> QuerySet[Any]:
        return leads.filter(lead_status=value)


class OwnerFilter(LeadFilter):
    title = _("Owner")
    parameter_name = "owner"

    def options(self, request: HttpRequest) -> Options:
        return [("me", gettext("Me")), ("nobody", gettext("Nobody")), *choices_of(request)["owner"]]

    def narrow(self, leads: QuerySet[Any], value: str, request: HttpRequest) -> QuerySet[Any]:
        return narrowing.owned_by(leads, value, user_of(request).pk)


class TagFilter(LeadFilter):
    title = _("Tag")
    parameter_name = "tag"

    def options(self, request: HttpRequest) -> Options:
        return choices_of(request)["tag"]

    def named(self, value: str) -> str:
        return value

    def narrow(self, leads: QuerySet[Any], value: str, _request: HttpRequest) -> QuerySet[Any]:
        return narrowing.tagged(leads, value)


class SourceFilter(LeadFilter):
    title = _("Source")
    parameter_name = "source"

    def options(self, request: HttpRequest) -> Options:
        return choices_of(request)["source"]

    def named(self, value: str) -> str:
        return value

    def narrow(self, leads: QuerySet[Any], value: str, _request: HttpRequest) -> QuerySet[Any]:
        return leads.filter(source=value)


class NumberFilter(LeadFilter):
    title = _("WhatsApp number")
    parameter_name = "number"

    def options(self, request: HttpRequest) -> Options:
        numbers = choices_of(request)["number"]
        return numbers if len(numbers) > 1 else []  # one is no choice

    def narrow(self, leads: QuerySet[Any], value: str, _request: HttpRequest) -> QuerySet[Any]:
        return narrowing.on_number(leads, int(value)) if is_id(value) else leads.none()


class WindowFilter(LeadFilter):
    title = _("24-hour window")
    parameter_name = "window"

    def options(self, _request: HttpRequest) -> Options:
        return [
            ("open", gettext("Open")),
            ("closing", gettext("Closes within 2 hours")),
            ("closed", gettext("Closed: templates only")),
        ]

    def narrow(self, leads: QuerySet[Any], value: str, _request: HttpRequest) -> QuerySet[Any]:
        now = timezone.now()
        if value == "open":
            return lead_views.window_open(leads, now)
        if value == "closing":
            return lead_views.window_closing(leads, now)
        return lead_views.window_closed(leads, now) if value == "closed" else leads.none()


class QuietFilter(LeadFilter):
    title = _("Last contact")
    parameter_name = "quiet"

    def options(self, _request: HttpRequest) -> Options:
        return [(str(days), self.named(str(days))) for days in (1, 3, 7, 14, 30, 90)]

    def named(self, value: str) -> str:
        days = _days(value)
        if days is None:
            return value
        return ngettext("Over %(count)d day ago", "Over %(count)d days ago", days) % {"count": days}

    def narrow(self, leads: QuerySet[Any], value: str, _request: HttpRequest) -> QuerySet[Any]:
        days = _days(value)
        before = timezone.now() - timedelta(days=days or 0)
        return leads.none() if days is None else leads.filter(last_contact_at__lt=before)


class CreatedFilter(LeadFilter):
    """Within the last so many days; or on one day (2026-06-10), which the charts link to."""

    title = _("Created")
    parameter_name = "created"

    def options(self, _request: HttpRequest) -> Options:
        return [(str(days), self.named(str(days))) for days in (1, 7, 30, 90)]

    def named(self, value: str) -> str:
        days = _days(value)
        if days is None:
            return value
        return ngettext("In the last %(count)d day", "In the last %(count)d days", days) % {"count": days}

    def narrow(self, leads: QuerySet[Any], value: str, _request: HttpRequest) -> QuerySet[Any]:
        if (days := _days(value)) is not None:
            return leads.filter(created_at__gte=timezone.now() - timedelta(days=days))
        begin = _midnight(value)
        if begin is None:
            return leads.none()
        return leads.filter(created_at__gte=begin, created_at__lt=begin + timedelta(days=1))


class MarkFilter(LeadFilter):
    title = _("Marked")
    parameter_name = "marked"

    def options(self, _request: HttpRequest) -> Options:
        return [
            ("unread", gettext("Unread")),
            ("human", gettext("Needs a human")),
            ("due", gettext("Follow-up due")),
            ("aside", gettext("Put aside")),
        ]

    def narrow(self, leads: QuerySet[Any], value: str, request: HttpRequest) -> QuerySet[Any]:
        now = timezone.now()
        if value == "unread":
            return narrowing.unread(leads)
        if value == "human":
            return lead_views.needs_human(leads, list(workspaces_of(request)))
        if value == "due":
            return narrowing.follow_up_due(leads, now, list(workspaces_of(request)))
        return narrowing.put_aside(leads, now) if value == "aside" else leads.none()


class WorkspaceFilter(LeadFilter):
    title = _("Workspace")
    parameter_name = "workspace"

    def options(self, request: HttpRequest) -> Options:
        mine = workspaces_of(request)
        return [(str(pk), name) for pk, name in mine.items()][:MOST_OPTIONS] if len(mine) > 1 else []

    def narrow(self, leads: QuerySet[Any], value: str, _request: HttpRequest) -> QuerySet[Any]:
        return leads.filter(workspace=value) if is_id(value) else leads.none()


FILTERS = (
    StatusFilter, OwnerFilter, TagFilter, SourceFilter, NumberFilter, WindowFilter, QuietFilter, CreatedFilter,
    MarkFilter, WorkspaceFilter,
)  # fmt: skip

# Everything that an address of the list may say, but for the page.
PARAMETERS = ("view", "q", *(each.parameter_name or "" for each in FILTERS))


def query_of(parameters: Mapping[str, str]) -> str:
    """What an address of the list says, in one way of several: without a page, and without what nobody knows."""
    known = ((name, parameters.get(name) or "") for name in PARAMETERS)
    return urlencode([(name, value) for name, value in known if value and (name, value) != ("view", "all")])


def _days(value: str) -> int | None:
    return int(value) if is_id(value) and int(value) <= LONGEST_SPAN else None


def _midnight(value: str) -> datetime | None:
    """When that day began where the user is."""
    try:
        day = parse_date(value)
    except ValueError:
        return None
    if day is None or not 2000 <= day.year <= 2200:
        return None
    return datetime.combine(day, time(), timezone.get_current_timezone())
