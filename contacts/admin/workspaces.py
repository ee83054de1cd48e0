"""Workspaces and who works in them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from contacts.admin.tenancy import MemberAdmin, user_of
from contacts.admin.unfolded import TabularInline
from contacts.models import Membership, Workspace


class MemberInline(TabularInline):  # type: ignore[type-arg]
    model = Membership
    extra = 0
    tab = False
    autocomplete_fields = ("user",)
    verbose_name_plural = "People who work here"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return user_of(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return user_of(request).is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return user_of(request).is_superuser


@admin.register(Workspace)
class WorkspaceAdmin(MemberAdmin):
    """Superusers arrange workspaces; their members may look at their own."""

    list_display = ("name",)
    search_fields = ("name", "slug")
    fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    inlines = (MemberInline,)
    actions = None
    ordering = ("name", "pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Workspace.objects.for_user(user_of(request)).order_by("name", "pk")

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        return self.prepopulated_fields if user_of(request).is_superuser else {}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return user_of(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return user_of(request).is_superuser
