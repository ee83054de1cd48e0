"""Workspaces: their settings. The owners arrange them, the other members may look, superusers make new ones."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from contacts.admin import arranging, members
from contacts.admin.tenancy import MemberAdmin, rights_of, user_of
from contacts.models import Membership, Role, Workspace
from contacts.workspace_form import DAYS, SettingsForm

HOURS = tuple((f"opens_{day}", f"closes_{day}") for day in DAYS)


@admin.register(Workspace)
class WorkspaceAdmin(MemberAdmin):
    form = SettingsForm
    list_display = ("name",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    change_form_outer_before_template = "contacts/workspace/tabs.html"
    actions = None
    ordering = ("name", "pk")
    add_fieldsets = ((None, {"fields": ("name", "slug")}),)
    look_fieldsets = (
        (None, {"fields": ("name", "time_zone", "hours_shown", "follow_up_shown", "agents_see_all")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Workspace.objects.filter(pk__in=list(rights_of(request).workspaces)).order_by("name", "pk")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": _("Workspaces")} | (extra_context or {}))

    def get_urls(self) -> list[URLPattern]:
        return [*members.PAGES, *arranging.PAGES, *super().get_urls()]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A new one needs a name, the rest is as usual; who may not change it gets no form to do so."""
        if obj is None or not self.has_change_permission(request, obj):
            kwargs["form"] = ModelForm
        else:
            hidden = () if user_of(request).is_superuser else ("slug",)
            kwargs["fields"] = [name for name in SettingsForm.Meta.fields if name not in hidden]
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        if not self.has_change_permission(request, obj):
            return self.look_fieldsets
        named = ("name", "slug", "time_zone") if user_of(request).is_superuser else ("name", "time_zone")
        work = (("follow_up_every", "follow_up_unit"), "agents_see_all", "assigns_in_turn")
        return (
            (None, {"fields": named}),
            (_("Leads"), {"fields": work}),
            (_("Working hours"), {"fields": HOURS, "classes": ["hours"]}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        looks = obj is not None and not self.has_change_permission(request, obj)
        return ("hours_shown", "follow_up_shown") if looks else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        return {} if obj else self.prepopulated_fields

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        workspace = kwargs.get("obj")
        is_theirs = workspace is not None and rights_of(request).may_arrange(workspace.pk)
        context |= {"workspace": workspace, "is_theirs": is_theirs, "show_save_and_add_another": False}
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Whoever makes it is its first owner. Of a known one only what stands in the form: its salt is not ours."""
        if change:
            obj.save(update_fields=[*form.Meta.fields, "follow_up_hours", "business_hours"])
            return
        obj.save()
        Membership.objects.create(workspace=obj, user=user_of(request), role=Role.OWNER)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return user_of(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Without a row this does not say no: what is not there is not found, whoever asks."""
        return self.has_view_permission(request, obj) and (
            obj is None or rights_of(request).may_arrange(obj.pk)
        )

    @admin.display(description=_("Working hours"))
    def hours_shown(self, workspace: Workspace) -> str:
        days = zip(WEEKDAYS.values(), workspace.business_hours or [], strict=False)
        return ", ".join(f"{day} {hours[0]}–{hours[1]}" for day, hours in days if hours)

    @admin.display(description=_("Follow up after"))
    def follow_up_shown(self, workspace: Workspace) -> str:
        return _("%(hours)s hours") % {"hours": workspace.follow_up_hours}
