"""Who may log in: users and groups, for superusers; and what the first page says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from procrastinate.contrib.django.models import ProcrastinateJob

from contacts.admin import reports, start
from contacts.admin.tenancy import SuperuserAdmin, rights_of, user_of, workspaces_of
from contacts.admin.unfolded import TabularInline
from contacts.members import leads_of
from contacts.models import Contact, Membership
from kapso_sync.afterwards import ask_for_retries
from kapso_sync.attention import sees_deliveries
from kapso_sync.sync_health import SyncHealth, sync_health
from leadcrm import deactivating

if TYPE_CHECKING:
    from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
else:
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

admin.site.unregister(User)
admin.site.unregister(Group)
admin.site.unregister(ProcrastinateJob)  # the queue's own pages know no workspaces


class WorkspaceInline(TabularInline):  # type: ignore[type-arg]
    model = Membership
    extra = 0
    verbose_name = _("workspace")
    verbose_name_plural = _("Works in")
    autocomplete_fields = ("workspace",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("workspace")


@admin.register(User)
class UserAdmin(SuperuserAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    """People work in the admin as staff; what they see there follows from their workspaces."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active")
    inlines = (WorkspaceInline,)
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "last_name", "email")}),
        (_("What they may do"), {"fields": ("is_active", "is_staff", "is_superuser")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "fields": ("username", "usable_password", "password1", "password2", "is_staff"),
                "classes": ("wide",),
            },
        ),
    )
    readonly_fields = ("last_login", "date_joined")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": _("Users")} | (extra_context or {}))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_staff": True} | super().get_changeform_initial_data(request)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(deactivating.reassign_leads)
        return [path("<int:pk>/leads/", view, name="auth_user_leads"), *super().get_urls()]

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Whoever cannot log in any more answers nobody: whose are their leads now?"""
        if not obj.is_active and leads_of(obj).exists():
            return HttpResponseRedirect(reverse("admin:auth_user_leads", args=[obj.pk]))
        return super().response_change(request, obj)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:  # noqa: ARG002
        return self.inlines if obj else ()


@admin.register(Group)
class GroupAdmin(SuperuserAdmin, DjangoGroupAdmin):
    pass


def is_superuser(request: HttpRequest) -> bool:
    return bool(user_of(request).is_superuser)


def manages(request: HttpRequest) -> bool:
    """Of the menu: deliveries and possible duplicates are for managers."""
    return sees_deliveries(request)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The first page: what there is to do today; for managers how it goes, and whether everything arrives."""
    ask_for_retries(request)  # a number that is quiet gets no webhook that would see what is due
    mine, now = list(workspaces_of(request)), timezone.now()
    health = _health(request)
    todos = start.today(request, now) if mine else []
    return context | {
        "title": _("Home"),
        "workspaces": mine,
        "todos": todos,
        "team": reports.in_short(request, now),
        "health": health,
        "alerts": health.alerts if health else [],
        "has_lead": any(todo.rows for todo in todos) or _has_lead(request),
    }


def _health(request: HttpRequest) -> SyncHealth | None:
    """Deliveries are the managers' business; a superuser is told of those that are nobody's, too."""
    managed = list(reports.managed(request))
    return sync_health(request, managed) if managed or is_superuser(request) else None


def _has_lead(request: HttpRequest) -> bool:
    return Contact.objects.filter(rights_of(request).leads()).living().exists()


def is_among_leads(request: HttpRequest) -> bool:
    """Whether the menu shows that we are there: possible duplicates live below it and have their own item."""
    leads, duplicates = (reverse(f"admin:contacts_contact_{page}") for page in ("changelist", "duplicates"))
    return request.path.startswith(leads) and not request.path.startswith(duplicates)
