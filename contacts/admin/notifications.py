"""What a user is told, in the page: the bell in every page's header, and the list behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from contacts import told
from contacts.admin.tenancy import rights_of, user_of
from contacts.models import Notification

MOST_COUNTED = 99
ON_A_PAGE = 50


def notification_urls() -> list[URLPattern]:
    view = admin.site.admin_view
    return [
        path("notifications/", view(notifications), name="notifications"),
        path("notifications/read/", view(read_all), name="notifications-read"),
        path("notifications/bell/", view(bell_again), name="notifications-bell"),
        path("notifications/<int:pk>/", view(open_one), name="notification"),
    ]


def bell(request: HttpRequest) -> dict[str, Any]:
    """What a page needs to draw the bell. It is counted only where one is drawn."""
    return {"unread_notifications": _counted_once(request)}


def _counted_once(request: HttpRequest) -> Callable[[], int]:
    counted: list[int] = []

    def count() -> int:
        if not counted:
            counted.append(len(_unread(request).values_list("pk")[: MOST_COUNTED + 1]))
        return counted[0]

    return count


def _unread(request: HttpRequest) -> Any:
    return Notification.objects.filter(user=user_of(request), read_at=None).order_by()


@require_GET
def notifications(request: HttpRequest) -> TemplateResponse:
    """Newest first; `before` is the id of the last one on the page before."""
    rows = told.newest(user_of(request))
    if (before := request.GET.get("before", "")).isdecimal() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows.order_by("-pk")[: ON_A_PAGE + 1])
    shown = told.read_out(found[:ON_A_PAGE], rights_of(request))
    context = {
        "title": _("Notifications"),
        "rows": shown,
        "goes_on": len(found) > ON_A_PAGE,
        "before": before,
    }
    return TemplateResponse(
        request, "contacts/notifications.html", admin.site.each_context(request) | context
    )


@require_GET
def open_one(request: HttpRequest, pk: int) -> HttpResponse:
    """To what it is about. Opening it is reading it."""
    one = get_object_or_404(told.newest(user_of(request)), pk=pk)
    _unread(request).filter(pk=pk).update(read_at=timezone.now())
    (row,) = told.read_out([one], rights_of(request))
    return redirect(row.link or "notifications")


@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    """Up to the newest that the page showed: what came since was not seen."""
    upto = request.POST.get("upto", "")
    if upto.isdecimal() and len(upto) < 19:
        _unread(request).filter(pk__lte=int(upto)).update(read_at=timezone.now())
    return redirect("notifications")


@require_GET
def bell_again(request: HttpRequest) -> TemplateResponse:
    """The bell alone, for a page that is looked at again after a while (told.js)."""
    return TemplateResponse(request, "contacts/bell.html", bell(request))
