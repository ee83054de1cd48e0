"""Leads: the list, newest activity first, and the page of one with its messages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.translation import gettext_lazy as _

from contacts.admin import (
    bulk,
    exporting,
    importing,
    lead_list,
    lead_page,
    live_list,
    merging,
    saved_filters,
    working,
)
from contacts.admin.lead_filters import FILTERS
from contacts.admin.lead_list import LeadList
from contacts.admin.tenancy import MemberAdmin, rights_of, workspaces_of
from contacts.admin.unfolded import TextInput
from contacts.lead_form import NewLeadForm, hold_identities
from contacts.lead_search import search
from contacts.lead_views import NEWEST_FIRST
from contacts.models import Contact
from contacts.rights import WORKERS


@admin.register(Contact)
class LeadAdmin(MemberAdmin):
    form = NewLeadForm
    changelist = LeadList
    list_filter = FILTERS
    ordering = NEWEST_FIRST
    search_fields = ("name",)  # see get_search_results
    search_help_text = _("Name, phone, @username, e-mail or words of a message")
    actions = None
    add_fieldsets = (
        (
            None,
            {
                "fields": (
                    "workspace",
                    "phone",
                    "name",
                    "email",
                    "tags",
                    "lead_score",
                    "business_scoped_user_id",
                )
            },
        ),
    )

    # The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self._seen(request).filter(merged_into=None)

    def _seen(self, request: HttpRequest) -> QuerySet[Any]:
        """Merged ones, too."""
        return super().get_queryset(request).filter(rights_of(request).leads())

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        more = bulk.shown_with(request) | (extra_context or {})
        response = super().changelist_view(request, more)
        context = getattr(response, "context_data", None) or {}
        if found := context.get("cl"):
            context |= lead_list.shown(request, found) | lead_list.shown_around(request, found)
        return response

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return lead_list.paginator_of(request)(*args, **kwargs)

    def get_search_results(
        self, request: HttpRequest, leads: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found, is_common = search(leads, search_term, workspaces_of(request))
        lead_list.note_common_name(request, is_common=is_common)
        return found, False

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, *args, **kwargs)
        form.rights = rights_of(request)  # a class of its own for each request
        return form

    # The page of one lead

    def get_urls(self) -> list[URLPattern]:
        parts = (lead_page, merging, working, bulk, saved_filters, exporting, importing)
        live = live_list.urls(self, lead_list.shown)
        return [*(url for part in parts for url in part.urls(self)), *live, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",  # noqa: ARG002
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """Not one form, but a page with a small one for each thing that people do (contacts.admin.working)."""
        if not object_id.isascii() or not object_id.isdecimal() or len(object_id) > 18:
            raise Http404
        return lead_page.page(request, int(object_id), admin=self)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "workspace":
            mine = db_field.remote_field.model.objects.filter(pk__in=rights_of(request).where(*WORKERS))
            kwargs |= {"queryset": mine, "initial": mine.first()}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Without the buttons that add or change a workspace on the side."""
        if db_field.name == "tags":
            kwargs["widget"] = TextInput()
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "workspace":
            field.widget = getattr(field.widget, "widget", field.widget)
        return field

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        context |= {
            "show_save_and_add_another": False,
            "show_save_and_continue": False,
            "title": _("Add a lead"),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: ARG002
        obj.save()
        hold_identities()

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().add_view(request, *args, **kwargs)
        except IntegrityError:
            self.message_user(request, _("This lead was added just now by somebody else."), messages.WARNING)
            return HttpResponseRedirect(reverse("admin:contacts_contact_changelist"))

    def response_add(
        self,
        request: HttpRequest,
        obj: Any,
        post_url_continue: str | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        self.message_user(request, f"{obj.shown_name} is a lead now.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:contacts_contact_change", args=[obj.pk]))
