"""The rows behind a figure of a report, as a plain list: messages, leads, or answers with the time they took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from contacts import showing
from contacts.admin.figures import AGE_NAMES, duration
from contacts.admin.reports import report_of
from contacts.admin.tenancy import CappedPaginator
from contacts.models import Contact, Message
from contacts.preview import preview
from contacts.reports import MOST_ROWS, Report

PER_PAGE = 50

Text = str | Promise


@dataclass(frozen=True, slots=True)
class Line:
    lead: Contact
    cells: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        return showing.name_of(self.lead)

    @property
    def url(self) -> str:
        return reverse("admin:contacts_contact_change", args=[self.lead.pk])


@dataclass(frozen=True, slots=True)
class Listing:
    """`items` are those of all pages, `lines` makes what is shown of one page of them."""

    title: Text
    columns: tuple[Text, ...]
    items: Any
    lines: Callable[[Sequence[Any]], list[Line]]


def behind_view(request: HttpRequest) -> HttpResponse:
    report = report_of(request, timezone.now())
    find = FINDERS.get(request.GET.get("of", ""))
    if find is None:
        raise Http404
    listing = find(report, request)
    paginator = CappedPaginator if isinstance(listing.items, QuerySet) else Paginator
    page = paginator(listing.items, PER_PAGE).get_page(request.GET.get("page"))
    kept = request.GET.copy()
    kept.pop("page", None)
    context = {
        "title": listing.title,
        "listing": listing,
        "lines": [
            (line, list(zip(listing.columns, line.cells, strict=True)))
            for line in listing.lines(list(page.object_list))
        ],
        "page": page,
        "is_cut": not isinstance(listing.items, QuerySet) and len(listing.items) >= MOST_ROWS,
        "query": kept.urlencode(),
        "report": report,
        "day": _day(report, request),
    }
    return TemplateResponse(request, "contacts/behind.html", admin.site.each_context(request) | context)


def _messages(title: Text, direction: str) -> Callable[[Report, HttpRequest], Listing]:
    def find(report: Report, request: HttpRequest) -> Listing:
        found = report.messages(direction, _day(report, request)).select_related("contact")
        return Listing(title, (_("When"), _("Message")), found, _of_messages)

    return find


def _new(report: Report, request: HttpRequest) -> Listing:
    found = report.new_leads(_day(report, request))
    return Listing(_("New leads"), (_("Status"), _("Owner")), found, _of_leads)


def _answers(title: Text, *, only_first: bool) -> Callable[[Report, HttpRequest], Listing]:
    def find(report: Report, request: HttpRequest) -> Listing:
        of_owner, owner = _owner(request)
        found = report.answers(only_first=only_first, of_owner=of_owner, owner=owner)
        return Listing(title, (_("Customer wrote"), _("We answered"), _("Took")), found, _of_answers)

    return find


def _waiting(report: Report, request: HttpRequest) -> Listing:
    age = request.GET.get("age", "")
    if age not in AGE_NAMES:
        raise Http404
    found = report.waiting_leads(age).select_related("owner")
    return Listing(AGE_NAMES[age], (_("Customer wrote"), _("Owner")), found, _of_waiting)


def _open(report: Report, request: HttpRequest) -> Listing:
    found = report.open_leads(_owner(request)[1]).select_related("owner")
    return Listing(_("Open leads"), (_("Status"), _("Owner")), found, _of_rows)


def _overdue(report: Report, request: HttpRequest) -> Listing:
    found = report.overdue_leads().filter(owner=_owner(request)[1]).select_related("owner")
    return Listing(_("Overdue follow-ups"), (_("Status"), _("Owner")), found, _of_rows)


def _of_messages(messages: Sequence[Message]) -> list[Line]:
    return [
        Line(one.contact, (showing.exact_time(one.sent_at), _preview(one))) for one in messages if one.contact
    ]


def _of_leads(keys: Sequence[int]) -> list[Line]:
    found = Contact.objects.select_related("owner").in_bulk(keys)
    return _of_rows([found[pk] for pk in keys if pk in found])


def _of_rows(leads: Sequence[Contact]) -> list[Line]:
    return [Line(lead, (lead.get_lead_status_display(), _name(lead))) for lead in leads]


def _of_waiting(leads: Sequence[Any]) -> list[Line]:
    return [Line(lead, (showing.exact_time(lead.waiting_since), _name(lead))) for lead in leads]


def _of_answers(answers: Sequence[Any]) -> list[Line]:
    leads = Contact.objects.in_bulk([answer.contact_id for answer in answers])
    return [
        Line(leads[one.contact_id],
            (showing.exact_time(one.began_at), showing.exact_time(one.answered_at), duration(one.took)))
        for one in answers
        if one.contact_id in leads
    ]  # fmt: skip


def _preview(message: Message) -> str:
    return preview(
        message.message_type,
        message.content,
        transcript=message.transcript,
        payload=message.payload,
        is_deleted=message.revoked_at is not None,
    )


def _name(lead: Contact) -> str:
    return (lead.owner.get_full_name() or lead.owner.get_username()) if lead.owner else str(_("Nobody"))


def _day(report: Report, request: HttpRequest) -> date | None:
    """One of the report's days; None for all of them."""
    asked = request.GET.get("day", "")
    if not asked:
        return None
    found = next((day for day in report.dates if day.isoformat() == asked), None)
    if found is None:
        raise Http404
    return found


def _owner(request: HttpRequest) -> tuple[bool, int | None]:
    """Whether one was asked for, and whom: None is nobody."""
    asked = request.GET.get("owner", "")
    if asked in ("", "nobody"):
        return bool(asked), None
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 10):
        raise Http404
    return True, int(asked)


FINDERS: dict[str, Callable[[Report, HttpRequest], Listing]] = {
    "in": _messages(_("Messages from customers"), Message.Direction.INBOUND),
    "out": _messages(_("Messages from us"), Message.Direction.OUTBOUND),
    "new": _new,
    "first": _answers(_("First responses, the slowest first"), only_first=True),
    "replies": _answers(_("Answers, the slowest first"), only_first=False),
    "waiting": _waiting,
    "open": _open,
    "overdue": _overdue,
}
