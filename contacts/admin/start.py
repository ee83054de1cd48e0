"""What there is to do today, for whoever looks: short lists on the start page, and a page for each that has no tab."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Case, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from contacts import lead_views, showing
from contacts.admin.tenancy import rights_of, user_of
from contacts.models import Contact, Conversation, FollowUp
from contacts.models.contact import WAITING_SINCE
from contacts.preview import one_line, shorten

# Nobody works through more in a day, and counting them all would cost more than the page.
MOST = 100
SHOWN = 5
LONGEST_REMARK = 120

_NAMES = ("name", "kapso_name", "phone", "username", "business_scoped_user_id", "workspace_id")
_OWNER = ("owner__username", "owner__first_name", "owner__last_name")

Text = str | Promise


@dataclass(frozen=True, slots=True)
class Row:
    """A lead, since when or until when, and why."""

    lead: Contact
    when: str
    at: datetime
    remark: str = ""
    is_late: bool = False

    @property
    def name(self) -> str:
        return showing.name_of(self.lead)

    @property
    def url(self) -> str:
        return reverse("admin:contacts_contact_change", args=[self.lead.pk])

    @property
    def owner(self) -> str:
        owner = self.lead.owner
        return (owner.get_full_name() or owner.get_username()) if owner else ""


@dataclass(frozen=True, slots=True)
class ToDo:
    """One of the short lists. `url` leads to all of it; `nothing` is said where it is empty."""

    key: str
    title: Text
    icon: str
    nothing: Text
    url: str
    rows: list[Row]

    @property
    def count(self) -> str:
        return f"{MOST}+" if len(self.rows) > MOST else str(len(self.rows))

    @property
    def shown(self) -> list[Row]:
        return self.rows[:SHOWN]


def today(request: HttpRequest, now: datetime) -> list[ToDo]:
    """One statement for each, whatever there is: the user's own leads first, then nobody's, then the others'."""
    leads = f"{reverse('admin:contacts_contact_changelist')}?view="
    return [
        ToDo("awaiting", _("Awaiting reply"), "mark_chat_unread", _("Nobody is waiting for an answer. Well done!"),
            f"{leads}awaiting", awaiting(request, now)),
        ToDo("follow-ups", _("Follow-ups due"), "event", _("No follow-up is due today."),
            reverse("today", args=["follow-ups"]), follow_ups(request, now)),
        ToDo("closing", _("Windows closing"), "hourglass_bottom", _("No 24-hour window closes within two hours."),
            f"{leads}closing", closing(request, now)),
        ToDo("needs-human", _("Needs a human"), "front_hand", _("No automation has asked for anybody."),
            reverse("today", args=["needs-human"]), handed_over(request, now)),
    ]  # fmt: skip


def awaiting(request: HttpRequest, now: datetime) -> list[Row]:
    waiting = lead_views.longest_waiting(_leads(request), now)
    found = _first(request, _first_of_each(request, waiting, WAITING_SINCE), WAITING_SINCE)
    return [Row(lead, span_in_words(now - lead.waiting_since), lead.waiting_since) for lead in found]


def closing(request: HttpRequest, now: datetime) -> list[Row]:
    found = _first(request, lead_views.window_closing(_leads(request), now), "last_inbound_at")
    ends = [(lead, lead.last_inbound_at + lead_views.WINDOW) for lead in found if lead.last_inbound_at]
    return [Row(lead, gettext("%s left") % span_in_words(end - now), end) for lead, end in ends]


def follow_ups(request: HttpRequest, now: datetime) -> list[Row]:
    """Due until the end of the user's day. One that was planned for a lead that is merged now is the survivor's."""
    tomorrow = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    due = FollowUp.objects.filter(
        workspace__in=list(rights_of(request).workspaces), done_at=None, due_at__lt=tomorrow
    )
    merged = {"contact__merged_into": None}
    found = due.annotate(
        lead=Coalesce("contact__merged_into", "contact"),
        owner=Case(When(**merged, then="contact__owner"), default="contact__merged_into__owner"),
    ).filter(lead__in=lead_views.not_snoozed(_leads(request), now).values("pk"))
    first = _first_of_each(request, found, "due_at").select_related(
        "contact__owner", "contact__merged_into__owner"
    )
    by_lead: dict[int, Row] = {}
    for one in first.order_by(_whose(request, "owner"), "due_at", "pk")[: MOST + 1]:
        lead = one.contact.merged_into or one.contact
        by_lead.setdefault(lead.pk, _due(lead, one, now))
    return list(by_lead.values())


def handed_over(request: HttpRequest, now: datetime) -> list[Row]:
    """With what the newest hand-off gave as its reason."""
    threads = Conversation.objects.filter(contact=OuterRef("pk"), handoff_at__isnull=False).order_by(
        "-handoff_at"
    )
    leads = lead_views.needs_human(_leads(request), list(rights_of(request).workspaces)).annotate(
        asked_at=Subquery(threads.values("handoff_at")[:1]),
        asked_for=Subquery(threads.values("handoff_reason")[:1]),
    )
    return [
        Row(lead, span_in_words(now - lead.asked_at), lead.asked_at, _short(lead.asked_for))
        for lead in _first(request, leads, "asked_at")
    ]


PAGES: dict[str, tuple[Text, Text, Callable[[HttpRequest, datetime], list[Row]]]] = {
    "follow-ups": (
        _("Follow-ups due"),
        _("No follow-up is due today. Plan one on a lead's page, and it shows here on its day."),
        follow_ups,
    ),
    "needs-human": (
        _("Needs a human"),
        _(
            "No automation has asked for anybody. When a Kapso workflow hands a chat over, its lead shows here."
        ),
        handed_over,
    ),
}


def today_view(request: HttpRequest, what: str) -> HttpResponse:
    if what not in PAGES:
        raise Http404
    title, nothing, find = PAGES[what]
    rows = find(request, timezone.now())
    context = {"title": title, "nothing": nothing, "rows": rows[:MOST], "is_full": len(rows) > MOST}
    return TemplateResponse(request, "contacts/today.html", admin.site.each_context(request) | context)


def span_in_words(span: timedelta) -> str:
    """How long, in the fewest words; what is not yet or no longer a minute is one."""
    minutes = max(1, span // timedelta(minutes=1))
    if minutes < 60:
        return gettext("%d min") % minutes
    if minutes < 48 * 60:
        return gettext("%d h") % (minutes // 60)
    days = minutes // 1440
    return ngettext("%d day", "%d days", days) % days


def _leads(request: HttpRequest) -> QuerySet[Contact]:
    return Contact.objects.living().filter(rights_of(request).leads())


def _first(request: HttpRequest, leads: QuerySet[Contact], *order: Any) -> Iterable[Any]:
    named = leads.select_related("owner").only(*_NAMES, *_OWNER, "last_inbound_at")
    return named.order_by(_whose(request, "owner"), *order, "pk")[: MOST + 1]


def _first_of_each(request: HttpRequest, rows: QuerySet[Any], *order: Any) -> QuerySet[Any]:
    """Whose they are comes before their order, and no index knows who looks: the first of each, where all are many."""
    mine, nobodys = Q(owner=user_of(request).pk), Q(owner=None)
    first, *others = (
        rows.filter(whose).order_by(*order, "pk").values("pk")[: MOST + 1]
        for whose in (mine, nobodys, ~mine & ~nobodys)
    )
    return rows.filter(pk__in=first.union(*others, all=True))


def _whose(request: HttpRequest, owner: str) -> Case:
    mine = When(**{owner: user_of(request).pk}, then=Value(0))
    nobodys = When(**{f"{owner}__isnull": True}, then=Value(1))
    return Case(mine, nobodys, default=Value(2), output_field=IntegerField())


def _due(lead: Contact, planned: FollowUp, now: datetime) -> Row:
    late = now - planned.due_at
    if late > timedelta():
        when = gettext("%s overdue") % span_in_words(late)
    else:
        when = gettext("due in %s") % span_in_words(-late)
    return Row(lead, when, planned.due_at, _short(planned.remark), is_late=late > timedelta())


def _short(text: str) -> str:
    return shorten(one_line(text), LONGEST_REMARK)
