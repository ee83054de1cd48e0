"""Leads: the list, newest activity first, and the page of one with its messages."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from contacts import showing
from contacts.admin import lead_page, merging
from contacts.admin.lead_list import LeadList, OwnerFilter, StatusFilter, TagFilter, WorkspaceFilter
from contacts.admin.tenancy import MemberAdmin, rights_of, user_of, workspaces_of
from contacts.admin.unfolded import TextInput, labelled
from contacts.lead_form import LeadForm, MemberField, NewLeadForm
from contacts.models import Contact, LeadStatus, TransitionRefused
from contacts.phone_forms import phones_like
from contacts.rights import WORKERS

COLOURS = {
    LeadStatus.NEW: "info",
    LeadStatus.QUALIFIED: "warning",
    LeadStatus.CONTACTED: "primary",
    LeadStatus.CONVERTED: "success",
    LeadStatus.ARCHIVED: "",
}


@admin.register(Contact)
class LeadAdmin(MemberAdmin):
    form = LeadForm
    changelist = LeadList
    list_display = ("lead", "last_message", "status", "active", "owned_by")
    list_display_links = ("lead",)
    list_filter = (StatusFilter, OwnerFilter, TagFilter, WorkspaceFilter)
    list_select_related = ("owner", "workspace")
    list_before_template = "contacts/leads_hint.html"
    ordering = (F("last_activity_at").desc(nulls_last=True), "-id")
    search_fields = ("name",)  # see get_search_results
    search_help_text = "Name, phone, e-mail"
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
        return self._seen(request).filter(merged_into=None)

    def _seen(self, request: HttpRequest) -> QuerySet[Any]:
        """Merged ones, too."""
        return super().get_queryset(request).filter(rights_of(request).leads())

    def get_list_display(self, request: HttpRequest) -> Any:
        several = len(workspaces_of(request)) > 1
        return (*self.list_display, "workspace") if several else self.list_display

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": "Leads", "workspaces": workspaces_of(request)}
        return super().changelist_view(request, context | (extra_context or {}))

    def get_search_results(
        self, request: HttpRequest, leads: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Every word in one of the names or the e-mail; or a phone in any format; or exactly a user id."""
        term = search_term.strip()
        if not term:
            return leads, False
        named = Q()
        for word in term.split()[:8]:
            bare = word.removeprefix("@")
            named &= (
                Q(name__icontains=word)
                | Q(kapso_name__icontains=word)
                | Q(username__icontains=bare)
                | Q(email__icontains=word)
            )
        digits = re.sub(r"\D", "", term).lstrip("0")
        if len(digits) >= 3 and digits.isascii() and not re.search(r"[^\W\d_]", term):
            named |= phones_like(digits, workspaces_of(request))
        return leads.filter(named | Q(business_scoped_user_id=term)), False

    @admin.display(description="Lead")
    def lead(self, lead: Contact) -> SafeString:
        name = lead.name or lead.kapso_name or showing.phone(lead.phone) or lead.shown_name
        return format_html("<bdi>{}</bdi>", name)

    @admin.display(description="Last message")
    def last_message(self, lead: Any) -> SafeString | str:
        newest = lead.newest_message
        if newest is None:
            return "No messages yet"
        return format_html('<span class="lead-whose">{}</span><bdi>{}</bdi>', newest.whose, newest.text)

    @labelled(COLOURS, "Status")
    def status(self, lead: Contact) -> tuple[str, str]:
        return lead.lead_status, lead.get_lead_status_display()

    @admin.display(description="Active")
    def active(self, lead: Contact) -> str:
        return showing.relative_time(lead.last_activity_at)

    @admin.display(description="Owner")
    def owned_by(self, lead: Contact) -> str:
        return (lead.owner.get_full_name() or lead.owner.get_username()) if lead.owner else ""

    # The page of one lead

    def get_urls(self) -> list[URLPattern]:
        return [*lead_page.urls(self), *merging.urls(self), *super().get_urls()]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(
            request, obj, change, **({"form": LeadForm} if obj else {"form": NewLeadForm}) | kwargs
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        return self.readonly_fields if obj else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "workspace":
            mine = db_field.remote_field.model.objects.filter(pk__in=rights_of(request).where(*WORKERS))
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
                "may_manage": rights_of(request).may_manage(lead.workspace_id),
                "may_erase": rights_of(request).may_erase(lead.workspace_id),
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
        merged = (
            self._seen(request)
            .filter(pk=object_id, merged_into__isnull=False)
            .select_related("merged_into")
            .first()
            if object_id.isdecimal()
            else None
        )
        if merged and rights_of(request).sees(merged.merged_into):
            return HttpResponseRedirect(
                reverse("admin:contacts_contact_change", args=[merged.merged_into_id])
            )
        return super()._get_obj_does_not_exist_redirect(request, opts, object_id)  # type: ignore[no-any-return]

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
