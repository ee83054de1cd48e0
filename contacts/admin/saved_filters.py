"""Views of the list that somebody gave a name, for themselves or for the workspace."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from contacts.admin.lead_filters import query_of
from contacts.admin.tenancy import MemberAdmin, rights_of, user_of, workspaces_of
from contacts.models import SavedFilter

MOST_SHOWN = 50


class SaveForm(forms.Form):
    name = forms.CharField(
        max_length=60, error_messages={"required": gettext_lazy("Give the filter a name.")}
    )
    query = forms.CharField(
        max_length=2000,
        error_messages={
            "required": gettext_lazy("Choose a tab, a filter or a search first: this is the whole list.")
        },
    )
    workspace = forms.TypedChoiceField(
        coerce=int, error_messages={"invalid_choice": gettext_lazy("You do not work there.")}
    )
    shared = forms.BooleanField(required=False)

    def __init__(self, data: Any, workspaces: dict[int, str]) -> None:
        super().__init__(data)
        self.fields["workspace"].choices = list(workspaces.items())  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())

    def clean_query(self) -> str:
        query = query_of(QueryDict(self.cleaned_data["query"]))
        if not query:
            raise forms.ValidationError(self.fields["query"].error_messages["required"])
        return query


def urls(leads: MemberAdmin) -> list[URLPattern]:
    """Below the list's own address."""
    return [
        path(
            "filters/",
            leads.admin_site.admin_view(require_POST(save_view)),
            name="contacts_contact_filter_save",
        ),
        path(
            "filters/<int:filter_id>/<str:what>/",
            leads.admin_site.admin_view(require_POST(change_view)),
            name="contacts_contact_filter",
        ),
    ]


def shown(request: HttpRequest, query: str) -> dict[str, Any]:
    """The saved filters that the user may use; the name of the one that is on, if one is."""
    found = list(seen_by(request).select_related("by")[:MOST_SHOWN])
    user, rights = user_of(request), rights_of(request)
    return {
        "saved": [
            {
                "filter": each,
                "is_on": bool(query) and each.query == query,
                "is_mine": each.by_id == user.pk,
                "by": each.by.get_full_name() or each.by.get_username(),
                "may_share": each.by_id == user.pk and rights.may_work(each.workspace_id),
                "may_delete": _may_delete(request, each),
            }
            for each in found
        ],
        "saved_name": next((each.name for each in found if query and each.query == query), ""),
        "query": query,
        "saved_workspaces": list(workspaces_of(request).items())[:MOST_SHOWN],
        "may_share": any(map(rights.may_work, rights.places)),
    }


def seen_by(request: HttpRequest) -> QuerySet[SavedFilter]:
    """One's own, and those shared in one's workspaces; nothing of a workspace that one has left."""
    theirs = Q(by=user_of(request)) | Q(is_shared=True)
    return SavedFilter.objects.filter(theirs, workspace__in=list(workspaces_of(request))).order_by(
        "name", "pk"
    )


def save_view(request: HttpRequest) -> HttpResponse:
    form = SaveForm(request.POST, workspaces_of(request))
    if not form.is_valid():
        for errors in form.errors.values():
            messages.error(request, " ".join(map(str, errors)))
        return _back(request.POST.get("query", ""))
    told = form.cleaned_data
    is_shared = told["shared"] and rights_of(request).may_work(told["workspace"])
    try:
        with transaction.atomic():
            SavedFilter.objects.create(
                workspace_id=told["workspace"],
                by=user_of(request),
                name=told["name"],
                query=told["query"],
                is_shared=is_shared,
            )
    except IntegrityError:
        messages.error(request, _("You have a filter called “%(name)s” already.") % {"name": told["name"]})
    else:
        messages.success(request, _("Saved as “%(name)s”.") % {"name": told["name"]})
    return _back(told["query"])


def change_view(request: HttpRequest, filter_id: int, what: str) -> HttpResponse:
    """share, unshare or delete it."""
    saved = get_object_or_404(seen_by(request), pk=filter_id)
    is_mine = saved.by_id == user_of(request).pk
    if what == "delete" and _may_delete(request, saved):
        saved.delete()
        messages.success(request, _("“%(name)s” is deleted. No lead was changed.") % {"name": saved.name})
    elif what in ("share", "unshare") and is_mine and rights_of(request).may_work(saved.workspace_id):
        SavedFilter.objects.filter(pk=saved.pk).update(is_shared=what == "share")
        told = _("Everybody in %(workspace)s sees “%(name)s” now.")
        if what == "unshare":
            told = _("Only you see “%(name)s” now.")
        messages.success(request, told % {"name": saved.name, "workspace": saved.workspace.name})
    else:
        messages.error(request, _("This filter is not yours to change."))
    return _back(request.POST.get("query", ""))


def _may_delete(request: HttpRequest, saved: SavedFilter) -> bool:
    """Its maker; and whoever arranges the workspace in which it is shared."""
    return saved.by_id == user_of(request).pk or rights_of(request).may_arrange(saved.workspace_id)


def _back(query: str) -> HttpResponse:
    """To the list as it was; only of what it knows."""
    return HttpResponseRedirect(
        f"{reverse('admin:contacts_contact_changelist')}?{query_of(QueryDict(query))}"
    )
