"""The list of leads: one page of a view, narrowed by filters or a search, and all that stands around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from contacts import lead_views
from contacts.admin import exporting, live_list, saved_filters
from contacts.admin.lead_choices import NEWEST_OF_EACH
from contacts.admin.lead_filters import PARAMETERS, LeadFilter, query_of
from contacts.admin.tenancy import CappedList, CappedPaginator, rights_of, user_of, workspaces_of
from contacts.lead_rows import COLOURS, Row, rows_of, with_facts
from contacts.lead_views import VIEWS
from contacts.models import Contact, LeadStatus


class Found(CappedPaginator):
    """Leads that were looked for, by a tab, a filter or a search: whatever is asked about them, they are looked for once.

    Their ids are read in the order of the list, so many at most: they are the count, and each page is some of them.
    """

    MOST = 1000

    @cached_property
    def found(self) -> list[int]:
        leads: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return list(leads.values_list("pk", flat=True)[: self.MOST + 1])

    @cached_property
    def count(self) -> int:
        return len(self.found)

    def leads_of(self, number: int) -> QuerySet[Contact]:
        """Those of a page, in no order."""
        last = number * self.per_page
        return Contact.objects.filter(pk__in=self.found[last - self.per_page : last])


class FoundByCommonName(Found):
    """Whoever finds more types more: among the leads of a common name the newest few are soon found, and more are not."""

    MOST = 100


def note_common_name(request: HttpRequest, *, is_common: bool) -> None:
    vars(request)["leadcrm_common_name"] = is_common


def paginator_of(request: HttpRequest) -> type[CappedPaginator]:
    if vars(request).get("leadcrm_common_name"):
        return FoundByCommonName
    asked = {name for name in PARAMETERS if request.GET.get(name)}
    is_every_lead = asked <= {"view"} and request.GET.get("view") not in VIEWS.keys() - {"all"}
    return CappedPaginator if is_every_lead else Found


@dataclass(frozen=True, slots=True)
class Count:
    """What a tab says of how many leads it has; "" where that is not known."""

    said: str
    # Of which leads this is told, if not of all.
    is_of_newest: bool = False

    @classmethod
    def up_to(cls, most: int, count: int) -> Count:
        return cls(f"{_number(most)}+" if count > most else _number(count))

    @classmethod
    def at_least(cls, count: int) -> Count:
        return cls(f"{_number(count)}+" if count else "", is_of_newest=True)


class LeadList(CappedList):
    """A page of leads as rows: two queries, however many there are."""

    filter_specs: list[LeadFilter]  # type: ignore[assignment]
    result_list: Any
    paginator: CappedPaginator

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        asked = request.GET.get("view", "all")
        self.view_key = asked if asked in VIEWS else "all"
        self.view = VIEWS[self.view_key]
        self.now = timezone.now()
        self.cursor = live_list.cursor_of(user_of(request))  # first: what comes in meanwhile is news
        super().__init__(request, *args, **kwargs)

    def get_filters_params(self, params: Any = None) -> Any:
        left = super().get_filters_params(params)
        left.pop("view", None)
        return left

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        leads = super().get_queryset(request, exclude_parameters).filter(rights_of(request).leads())
        return self.view.select(leads, user_of(request), self.now).order_by(*self.view.order)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        page, places = self.result_list, rights_of(request).places
        if isinstance(self.paginator, Found):
            page = self.paginator.leads_of(self.page_num if self.multi_page else 1)
            page = page.order_by(*self.view.order)
        elif len(places) > 1 and all(place.sees_all for place in places.values()):
            page = self._page_of(list(places))
        self.result_list: list[Row] = rows_of(with_facts(page), self.now)

    def _page_of(self, workspaces: list[int]) -> QuerySet[Any]:
        """The same page, out of the newest of each workspace: the index has one workspace after the other."""
        last = self.page_num * self.list_per_page
        candidates = RawSQL(NEWEST_OF_EACH, [workspaces, last])  # noqa: S611 - a constant, with parameters
        leads: QuerySet[Any] = self.queryset.filter(pk__in=candidates)
        return leads[last - self.list_per_page : last]

    @property
    def is_narrowed(self) -> bool:
        return bool(self.query or self.has_active_filters or self.view_key != "all")

    def counts(self, request: HttpRequest) -> dict[str, Count]:
        """Of each tab, with the filters that are on, without the search."""
        leads = self.root_queryset.filter(rights_of(request).leads())
        if not self.has_active_filters:
            found = lead_views.counts(leads, user_of(request), self.now)
            return {key: Count.up_to(lead_views.MOST_COUNTED, count) for key, count in found.items()}
        for each in self.filter_specs:
            leads = each.queryset(request, leads)
        if isinstance(self.paginator, Found) and self.view_key == "all" and not self.query:
            newest = self.paginator.found
        else:
            newest = lead_views.newest(leads, Found.MOST + 1)
        found = lead_views.counts_among(newest[: Found.MOST], user_of(request), self.now)
        if len(newest) <= Found.MOST:
            return {key: Count.up_to(Found.MOST, count) for key, count in found.items()}
        return {key: Count.at_least(count) for key, count in found.items()}


def shown(request: HttpRequest, leads: LeadList) -> dict[str, Any]:
    """What the rows and the tabs need: also what a live update brings."""
    counts = leads.counts(request)
    return {
        "cl": leads,
        # The way back from a lead's page, the same whether its row came with the page or later.
        "way_back": _way_back(request, leads),
        "rows": leads.result_list,
        "labelled_rows": _with_labels(leads.result_list),
        "tabs": [
            {
                "title": view.title,
                "is_on": key == leads.view_key,
                "link": address(request, view=None if key == "all" else key, q=None),
                "count": counts[key],
            }
            for key, view in VIEWS.items()
        ],
        "without_filters": "?" + query_of({name: request.GET.get(name, "") for name in ("view", "q")}),
        "without_search": address(request, q=None),
        "several": len(workspaces_of(request)) > 1,
        "workspaces": workspaces_of(request),
        "is_filtered": leads.has_active_filters,
        "cursor": leads.cursor,
        "most": _number(leads.paginator.MOST),
        "looked_at": _number(Found.MOST),
        "pagination_required": leads.multi_page,
        "page_range": leads.paginator.get_elided_page_range(leads.page_num) if leads.multi_page else [],
    }


def shown_around(request: HttpRequest, leads: LeadList) -> dict[str, Any]:
    """What stands around the rows, and stays when they are brought up to date."""
    saved = saved_filters.shown(request, query_of(request.GET))
    return {
        "title": _heading(leads, saved["saved_name"]),
        "chips": [
            {
                "title": each.title,
                "chosen": each.chosen,
                "without": address(request, **{each.parameter_name: None}),
            }
            for each in leads.filter_specs
            if each.parameter_name and each.chosen
        ],
        "kept_by_search": _others(request, "q"),
        "kept_by_filters": [(name, value) for name, value in _others(request) if name in ("view", "q")],
        "live": reverse("admin:contacts_contact_live"),
        "exported": query_of(request.GET),
        **exporting.shown(request),
        **saved,
    }


def address(request: HttpRequest, **changes: str | None) -> str:
    """The first page of this list with some of its parameters changed, or taken away."""
    asked = {name: request.GET.get(name, "") for name in PARAMETERS}
    return "?" + query_of(asked | {name: value or "" for name, value in changes.items()})


def _here(request: HttpRequest, leads: LeadList) -> str:
    page = [urlencode({"p": leads.page_num})] if leads.page_num > 1 else []
    return "&".join(filter(None, [query_of(request.GET), *page]))


def _way_back(request: HttpRequest, leads: LeadList) -> str:
    here = _here(request, leads)
    return f"?{urlencode({'_changelist_filters': here})}" if here else ""


def _with_labels(rows: list[Row]) -> list[tuple[Row, str]]:
    """Each with its status as a coloured label: there are more rows than statuses."""
    statuses = {LeadStatus(row.lead.lead_status) for row in rows}
    labels = {
        status: render_to_string(
            "unfold/helpers/label.html", {"type": COLOURS[status], "text": status.label, "size": "md"}
        )
        for status in statuses
    }
    return [(row, labels[row.lead.lead_status]) for row in rows]


def _others(request: HttpRequest, *names: str) -> list[tuple[str, str]]:
    asked = ((name, request.GET.get(name, "")) for name in PARAMETERS if name not in names)
    return [(name, value) for name, value in asked if value]


def _heading(leads: LeadList, saved_name: str) -> str:
    """What the list is, in a few words: "My leads", "Qualified leads"."""
    if leads.query:
        return _("Leads matching “%(typed)s”") % {"typed": leads.query[:60]}
    on = {each.parameter_name: each for each in leads.filter_specs if each.chosen}
    if saved_name or leads.view_key != "all" or len(on) != 1:
        return saved_name or str(leads.view.heading)
    (name, only), *_rest = on.items()
    special = {("owner", "me"): "mine", ("owner", "nobody"): "unassigned"}.get((str(name), str(only.value())))
    if special:
        return str(VIEWS[special].heading)
    return _("Leads: %(filter)s") % {"filter": f"{only.title} {only.chosen}".strip()}


def _number(count: int) -> str:
    return number_format(count, use_l10n=True, force_grouping=True)
