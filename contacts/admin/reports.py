"""How a workspace is doing, for its owners and managers: in short on the start page, in full on a page of its own.

Every figure leads to the rows behind it: to the list of leads where that has a filter for it, else to a page that
lists them (contacts.admin.behind).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts.admin import figures
from contacts.admin.figures import Links
from contacts.admin.tenancy import rights_of
from contacts.kept_figures import figures_of
from contacts.models import Workspace
from contacts.reports import Report
from contacts.rights import MANAGERS

PERIODS = (7, 30)
MOST_PLACES = 100  # to choose from


def managed(request: HttpRequest) -> dict[int, str]:
    """The workspaces of whose figures the user is told."""
    rights = rights_of(request)
    return {pk: rights.workspaces[pk] for pk in rights.where(*MANAGERS)}


def is_manager(request: HttpRequest) -> bool:
    return bool(managed(request))


def report_of(request: HttpRequest, now: datetime) -> Report:
    """On the workspace and the days that were asked for, else on the first and on a week.

    A workspace that is not theirs is not found; who manages none has no reports.
    """
    mine = managed(request)
    if not mine:
        raise PermissionDenied
    asked, days = request.GET.get("workspace", ""), request.GET.get("days", "")
    chosen = next((pk for pk in mine if str(pk) == asked), None) if asked else next(iter(mine))
    if chosen is None:
        raise Http404
    workspace = get_object_or_404(Workspace, pk=chosen)
    return Report(workspace, int(days) if days in map(str, PERIODS) else PERIODS[0], now)


def links_of(request: HttpRequest, report: Report) -> Links:
    return Links(report, several=len(rights_of(request).workspaces) > 1)


def in_short(request: HttpRequest, now: datetime) -> dict[str, Any] | None:
    """For the start page: the last week of a workspace. None for those who manage none."""
    if not is_manager(request):
        return None
    report = report_of(request, now)
    links = links_of(request, report)
    found = figures_of(report)
    shown = figures.of_messages(found.days, found.replies, links) | figures.of_waiting(found.waiting, links)
    return shown | {"counted_at": found.at if found.is_much else None} | _chooser(request, report)


def reports_view(request: HttpRequest) -> HttpResponse:
    report = report_of(request, timezone.now())
    links = links_of(request, report)
    replies, waiting, leads = report.replies(), report.waiting(), report.leads()
    context = {
        "title": _("Reports"),
        "team": figures.of_messages(report.by_day(), replies, links)
        | figures.of_waiting(waiting, links)
        | figures.of_leads(leads, links)
        | _chooser(request, report),
        "people": figures.people(leads, waiting, replies.by_owner, report.overdue(), links),
        "periods": PERIODS,
    }
    return TemplateResponse(request, "contacts/reports.html", admin.site.each_context(request) | context)


def _chooser(request: HttpRequest, report: Report) -> dict[str, Any]:
    """The chosen workspace is always among those offered."""
    mine = managed(request)
    offered = dict(list(mine.items())[:MOST_PLACES]) | {report.workspace.pk: report.workspace.name}
    return {"report": report, "places": list(offered.items())[-MOST_PLACES:] if len(mine) > 1 else []}
