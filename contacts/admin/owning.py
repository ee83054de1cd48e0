"""What the pages have in common on which an owner arranges a workspace."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

from django.contrib import admin, messages
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from contacts.admin.tenancy import allow, rights_of
from contacts.admin.working import busy
from contacts.changing import is_busy
from contacts.models import Workspace

View: TypeAlias = Callable[..., HttpResponse]


def owned(request: HttpRequest, pk: int) -> Workspace:
    """404 for somebody who is not in it, 403 for members who are no owners."""
    workspace = get_object_or_404(Workspace, pk=pk, pk__in=list(rights_of(request).workspaces))
    allow(rights_of(request).may_arrange(pk))
    return workspace


def below(views: dict[str, tuple[str, View]]) -> list[URLPattern]:
    """Pages below a workspace's own address: {name: (route, view)}."""
    return [
        path(f"<int:pk>/{route}", admin.site.admin_view(_patient(view)), name=f"contacts_workspace_{name}")
        for name, (route, view) in views.items()
    ]


def _patient(view: View) -> View:
    """A change of many leads that waits for webhooks gives up as they do; then nothing has happened."""

    @wraps(view)
    def patient(request: HttpRequest, pk: int, **others: Any) -> HttpResponse:
        try:
            return view(request, pk, **others)
        except OperationalError as error:
            if not is_busy(error):
                raise
            messages.error(request, busy())
            return back("change", owned(request, pk))

    return patient


def page(
    request: HttpRequest, workspace: Workspace, template: str, title: Any, **context: Any
) -> TemplateResponse:
    known = admin.site.each_context(request) | {"title": title, "workspace": workspace}
    return TemplateResponse(request, f"contacts/workspace/{template}.html", known | context)


def back(name: str, workspace: Workspace) -> HttpResponse:
    return HttpResponseRedirect(reverse(f"admin:contacts_workspace_{name}", args=[workspace.pk]))
