"""The list of leads: a page of them with what each row shows, and its filters."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest

from contacts.admin.tenancy import CappedList, rights_of, user_of, workspaces_of
from contacts.admin.unfolded import DropdownFilter, TextFilter
from contacts.models import LeadStatus
from contacts.timeline import newest_messages


class LeadList(CappedList):
    """A page of leads, each with its newest message: one more query, however many there are."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        mine = list(workspaces_of(request))
        if len(mine) > 1 and rights_of(request).sees_all and not self.query and not self.has_active_filters:
            self.result_list = self._page_of(mine)
        leads = list(self.result_list)
        newest = newest_messages(leads)
        for lead in leads:
            lead.newest_message = newest.get(lead.pk)
        self.result_list = leads

    def _page_of(self, workspaces: list[int]) -> QuerySet[Any]:
        """The same page, out of the newest of each workspace: the index has one workspace after the other."""
        last = self.page_num * self.list_per_page
        candidates = RawSQL(NEWEST_OF_EACH, [workspaces, last])  # noqa: S611 - a constant, with parameters
        leads: QuerySet[Any] = self.queryset.filter(pk__in=candidates)
        return leads[last - self.list_per_page : last]


NEWEST_OF_EACH = """
SELECT newest.id FROM unnest(%s::bigint[]) AS mine(workspace_id) CROSS JOIN LATERAL (
    SELECT c.id FROM contacts_contact c WHERE c.workspace_id = mine.workspace_id AND c.merged_into_id IS NULL
    ORDER BY c.last_activity_at DESC NULLS LAST, c.id DESC LIMIT %s) AS newest
"""


class StatusFilter(DropdownFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        return list(LeadStatus.choices)

    def queryset(self, _request: HttpRequest, leads: QuerySet[Any]) -> QuerySet[Any]:
        return leads.filter(lead_status=self.value()) if self.value() in LeadStatus.values else leads


class OwnerFilter(DropdownFilter):
    title = "owner"
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        people = get_user_model().objects.filter(workspaces__in=list(workspaces_of(request))).distinct()
        named = [(str(user.pk), user.get_full_name() or user.get_username()) for user in people]
        return [("me", "Me"), ("nobody", "Nobody"), *sorted(named, key=lambda user: user[1].lower())]

    def queryset(self, request: HttpRequest, leads: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value == "me":
            return leads.filter(owner=user_of(request))
        if value == "nobody":
            return leads.filter(owner=None)
        known = value in {str(key) for key, _ in self.lookup_choices}
        return leads.filter(owner=value) if known else leads


class TagFilter(TextFilter):
    title = "tag"
    parameter_name = "tag"

    def queryset(self, _request: HttpRequest, leads: QuerySet[Any]) -> QuerySet[Any]:
        tag = (self.value() or "").replace("\x00", "").strip()
        return leads.filter(tags__contains=[tag[:50]]) if tag else leads


class WorkspaceFilter(DropdownFilter):
    title = "workspace"
    parameter_name = "workspace"

    def lookups(self, request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        mine = workspaces_of(request)
        return [(str(pk), name) for pk, name in mine.items()] if len(mine) > 1 else []

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        known = self.value() in {str(key) for key, _ in self.lookup_choices}
        return rows.filter(workspace=self.value()) if known else rows
