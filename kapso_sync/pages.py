"""Two pages of the admin that list no model: the numbers' health, and what is out of the ordinary today."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts.admin.tenancy import rights_of, user_of
from kapso_sync import usual, watching
from kapso_sync.tallies import tallies

VERDICTS = {
    "new": ("danger", gettext_lazy("New")),
    "more": ("warning", gettext_lazy("More than usual")),
    "less": ("warning", gettext_lazy("Less than usual")),
    "usual": ("", gettext_lazy("As usual")),
}


def numbers_health(request: HttpRequest) -> TemplateResponse:
    """Of the numbers of the user's workspaces: every member sees them, their deliveries only who manages there."""
    pictures = watching.pictures_for(user_of(request))
    context = {"pictures": pictures, "managed": rights_of(request).manages()}
    return _page(request, "kapso_sync/numbers_health.html", _("Numbers' health"), **context)


def drift(request: HttpRequest) -> TemplateResponse:
    """Of the whole installation, so for superusers."""
    if not user_of(request).is_superuser:
        raise PermissionDenied
    tallies.flush()
    compared = usual.today_and_usual(timezone.now().astimezone(UTC))
    rows = [(one, *VERDICTS[one.verdict]) for one in compared]
    return _page(request, "kapso_sync/drift.html", _("Drift"), rows=rows)


def _page(request: HttpRequest, template: str, title: str, **context: Any) -> TemplateResponse:
    return TemplateResponse(request, template, admin.site.each_context(request) | {"title": title} | context)
