"""Whose the leads become of somebody who cannot log in any more, workspace by workspace. For superusers."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from contacts.admin.reassigning import HeirField
from contacts.admin.tenancy import user_of
from contacts.members import leads_of, name_of, owners_for, reassign
from contacts.models import Workspace


class HeirsForm(forms.Form):
    """One choice for each workspace in which they own leads."""

    def __init__(self, user: User, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.workspaces = Workspace.objects.filter(pk__in=leads_of(user).values("workspace"))
        for workspace in self.workspaces:
            field = HeirField()
            field.offer(owners_for(workspace).exclude(pk=user.pk))
            field.label = _("In %(workspace)s their leads become") % {"workspace": workspace}
            self.fields[f"heir_{workspace.pk}"] = field

    def heirs(self) -> list[tuple[Workspace, User | None]]:
        return [(workspace, self.cleaned_data[f"heir_{workspace.pk}"]) for workspace in self.workspaces]


@require_http_methods(["GET", "POST"])
def reassign_leads(request: HttpRequest, pk: int) -> HttpResponse:
    if not user_of(request).is_superuser:
        raise PermissionDenied
    user = get_object_or_404(User, pk=pk)
    form = HeirsForm(user, request.POST if request.method == "POST" else None)
    if form.is_valid():
        return _reassign(request, user, form)
    title = _("Whose are the leads of %(name)s now?") % {"name": name_of(user)}
    context = admin.site.each_context(request) | {"title": title, "form": form, "gone": user}
    return TemplateResponse(request, "contacts/workspace/leads_of.html", context)


def _reassign(request: HttpRequest, user: User, form: HeirsForm) -> HttpResponse:
    reason = _("%(name)s was deactivated") % {"name": name_of(user)[:150]}
    with transaction.atomic():
        moved = sum(
            reassign(workspace, user, to=heir, by=user_of(request), reason=reason)
            for workspace, heir in form.heirs()
        )
    said = ngettext("%(count)s lead changed hands.", "%(count)s leads changed hands.", moved)
    messages.success(request, said % {"count": moved})
    return HttpResponseRedirect(reverse("admin:auth_user_change", args=[user.pk]))
