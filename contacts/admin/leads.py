"""Leads: the list, newest activity first, and the page of one with its messages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.translation import gettext_lazy as _

from contacts import showing
from contacts.admin import lead_list, lead_page, live_list, merging, saved_filters
from contacts.admin.lead_filters import FILTERS
from contacts.admin.lead_list import LeadList
from contacts.admin.tenancy import MemberAdmin, user_of, workspaces_of
from contacts.admin.unfolded import TextInput
from contacts.lead_form import LeadForm, MemberField, NewLeadForm
from contacts.lead_search import matching
from contacts.lead_views import NEWEST_FIRST
from contacts.models import Contact, TransitionRefused


@admin.register(Contact)
class LeadAdmin(MemberAdmin):
    form = LeadForm
    changelist = LeadList
    list_filter = FILTERS
    ordering = NEWEST_FIRST
    search_fields = ("name",)  # see get_search_results
    search_help_text = _("Name, phone, @username, e-mail or words of a message")
    actions = None
    readonly_fields = (
        "phone_shown", "kapso_name", "username", "user_id", "source_shown", "last_activity",
        "last_inbound", "last_contact",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("name", "lead_status", "owner", "email", "lead_score", "tags")}),
        (
            "WhatsApp",
            {
                "fields": (
                    "phone_shown", "kapso_name", "username", "user_id", "source_shown",
                    "last_activity", "last_inbound", "last_contact",
                )
            },
        ),
    )  # fmt: skip
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
        return super().get_queryset(request).filter(merged_into=None)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None) or {}
        if found := context.get("cl"):
            context |= lead_list.shown(request, found) | lead_list.shown_around(request, found)
        return response

    def get_search_results(
        self, request: HttpRequest, leads: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return matching(leads, search_term, workspaces_of(request)), False

    # The page of one lead

    def get_urls(self) -> list[URLPattern]:
        below = (lead_page.urls(self), merging.urls(self), saved_filters.urls(self))
        live = live_list.urls(self, lead_list.shown)
        return [*(url for urls in below for url in urls), *live, *super().get_urls()]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(
            request, obj, change, **({"form": LeadForm} if obj else {"form": NewLeadForm}) | kwargs
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        return self.readonly_fields if obj else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "workspace":
            mine = db_field.remote_field.model.objects.for_user(user_of(request))
            kwargs |= {"queryset": mine, "initial": mine.first()}
        if db_field.name == "owner":
            kwargs |= {"form_class": MemberField, "queryset": get_user_model().objects.none()}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Without the buttons that add or change a user or a workspace on the side."""
        if db_field.name == "tags":
            kwargs["widget"] = TextInput()
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name in ("owner", "workspace"):
            field.widget = getattr(field.widget, "widget", field.widget)
        return field

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        context |= {"show_save_and_add_another": False, "title": "Add a lead"}
        if lead := kwargs.get("obj"):
            context |= {
                "title": lead.name or lead.kapso_name or showing.phone(lead.phone) or lead.shown_name,
                "subtitle": None,
                **lead_page.shown(request, lead),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Write what was typed and nothing else: a webhook may have moved the lead's clocks meanwhile."""
        if not change:
            obj.save()
            with connection.cursor() as cursor:  # speak up now, not when all is committed
                cursor.execute("SET CONSTRAINTS contact_phone, contact_user_id IMMEDIATE")
            return
        typed = {name: getattr(obj, name) for name in form.changed_data if name != "lead_status"}
        if typed.get("name"):
            typed["chosen_name"] = ""  # from now on the sync leaves the name alone
        if typed:
            Contact.objects.filter(pk=obj.pk).update(**typed)
        if "lead_status" in form.changed_data:
            self._move(request, obj, form.cleaned_data["lead_status"])

    def _move(self, request: HttpRequest, lead: Contact, status: str) -> None:
        try:
            lead.change_status(status, by=user_of(request))
        except TransitionRefused as refusal:
            self.message_user(request, f"The status was not changed. {refusal}", messages.ERROR)

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().add_view(request, *args, **kwargs)
        except IntegrityError:
            self.message_user(request, "This lead was added just now by somebody else.", messages.WARNING)
            return HttpResponseRedirect(reverse("admin:contacts_contact_changelist"))

    def response_add(
        self,
        request: HttpRequest,
        obj: Any,
        post_url_continue: str | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        self.message_user(request, f"{obj.shown_name} is a lead now.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:contacts_contact_change", args=[obj.pk]))

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str
    ) -> HttpResponse:
        """An old link to a lead that was merged leads to where its messages are now."""
        mine = super().get_queryset(request)
        merged = (
            mine.filter(pk=object_id, merged_into__isnull=False).first() if object_id.isdecimal() else None
        )
        if merged:
            return HttpResponseRedirect(
                reverse("admin:contacts_contact_change", args=[merged.merged_into_id])
            )
        return super()._get_obj_does_not_exist_redirect(request, opts, object_id)  # type: ignore[misc,no-any-return]

    @admin.display(description="Phone")
    def phone_shown(self, lead: Contact) -> str:
        return showing.phone(lead.phone) or "Hidden by WhatsApp"

    @admin.display(description="User ID")
    def user_id(self, lead: Contact) -> str:
        return lead.business_scoped_user_id or ""

    @admin.display(description="Came from")
    def source_shown(self, lead: Contact) -> str:
        return "WhatsApp" if lead.source == "whatsapp" else lead.source

    @admin.display(description="Last activity")
    def last_activity(self, lead: Contact) -> str:
        return showing.exact_time(lead.last_activity_at)

    @admin.display(description="Customer last wrote")
    def last_inbound(self, lead: Contact) -> str:
        return showing.exact_time(lead.last_inbound_at)

    @admin.display(description="We last wrote")
    def last_contact(self, lead: Contact) -> str:
        return showing.exact_time(lead.last_contact_at)
