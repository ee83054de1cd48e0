"""Who sees what in the admin: members of a workspace see its rows as their role has it, and nothing of any other.

What somebody may not see is not found (404); what they see but may not do is refused (403).
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ShowFacets
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils.functional import cached_property

from contacts.admin.unfolded import ChangeList, ModelAdmin
from contacts.rights import WORKERS, Rights


def user_of(request: HttpRequest) -> User:
    """Behind the admin's login there is always one."""
    assert isinstance(request.user, User)  # noqa: S101 - tells mypy
    return request.user


def rights_of(request: HttpRequest) -> Rights:
    """What the user may see and do; asked once per request."""
    kept = vars(request)
    if "leadcrm_rights" not in kept:
        kept["leadcrm_rights"] = Rights.of(user_of(request))
    found: Rights = kept["leadcrm_rights"]
    return found


def workspaces_of(request: HttpRequest) -> dict[int, str]:
    """Ids and names of the workspaces that the user may see."""
    return rights_of(request).workspaces


def allow(may: bool) -> None:
    """403 for somebody who sees the thing but may not do this to it."""
    if not may:
        raise PermissionDenied


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than anybody pages: on a large table a full count takes longer than the page."""

    template_name = "contacts/pagination.html"
    MOST = 10_000

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by().values("pk")[: self.MOST + 1].count()

    @property
    def is_capped(self) -> bool:
        return self.count > self.MOST


class CappedList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count  # the count is shown once, below the list


class MemberAdmin(ModelAdmin):  # type: ignore[type-arg]
    """Rows of the user's workspaces: staff see them and, unless they are viewers there, change them.

    Django's own permissions per model are not asked. Every view of its admin takes its object from `get_queryset`, so
    what is not in there does not exist: 404.
    """

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they count the whole table once for each choice
    list_per_page = 50
    list_max_show_all = 50
    list_filter_submit = True
    sortable_by = ()
    changelist: type[ChangeList] = CappedList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return (
            rows if user_of(request).is_superuser else rows.filter(workspace__in=list(workspaces_of(request)))
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002
        return self.changelist

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_staff(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_staff(request) and _is_theirs(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Without a row this does not say no: what is not there is not found, whoever asks."""
        return self.has_view_permission(request, obj) and (obj is None or _may_work(request, obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_staff(request) and _may_work(request, None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> Any:  # noqa: ARG002
        raise Http404


class SuperuserAdmin(ModelAdmin):  # type: ignore[type-arg]
    """For the installation's superusers only."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return _is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return _is_superuser(request)


def _is_staff(request: HttpRequest) -> bool:
    return request.user.is_active and request.user.is_staff


def _is_theirs(request: HttpRequest, row: Any) -> bool:
    """Of a row that belongs to a workspace; anything else (no row, a mere id) says nothing of its own."""
    workspace = getattr(row, "workspace_id", None)
    return workspace is None or workspace in workspaces_of(request)


def _may_work(request: HttpRequest, row: Any) -> bool:
    """On this row; without one, anywhere."""
    workspace, rights = getattr(row, "workspace_id", None), rights_of(request)
    return bool(rights.where(*WORKERS)) if workspace is None else rights.may_work(workspace)


def _is_superuser(request: HttpRequest) -> bool:
    return _is_staff(request) and request.user.is_superuser
