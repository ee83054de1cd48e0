"""Which leads ask for what: the tabs of the list, and the numbers of the start page (DESIGN.md section 4).

Each condition takes leads and a moment and answers with those that meet it. All but
`needs_human` look at the lead's own columns, and those that few leads of many meet have an index (Contact.Meta).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import (
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from contacts.models import Contact, Message
from contacts.models.contact import CLOSED, UNANSWERED, WROTE_AGAIN
from contacts.models.message import NOT_A_TURN

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Leads: TypeAlias = QuerySet[Contact]

# WhatsApp takes free text until exactly so long after the customer's last message; then approved templates only.
WINDOW = timedelta(hours=24)
CLOSING = timedelta(hours=2)

BEFORE_ALL = Value(datetime(1970, 1, 1, tzinfo=UTC), output_field=DateTimeField())


def awaiting_reply(leads: Leads, now: datetime) -> Leads:
    return leads.filter(awaits_reply(now))


def awaits_reply(now: datetime) -> Q:
    """The customer wrote last. Who was closed since then waits no more, until they write again."""
    return UNANSWERED & (~Q(lead_status__in=CLOSED) | WROTE_AGAIN) & is_awake(now)


def longest_waiting(leads: Leads, now: datetime) -> Leads:
    """Those that await a reply, with the time since which they do; in this order everywhere."""
    waiting = awaiting_reply(leads, now).annotate(waiting_since=waiting_since())
    return waiting.order_by(*LONGEST_WAIT_FIRST)


def needs_follow_up(leads: Leads, now: datetime) -> Leads:
    return leads.filter(is_overdue(now))


def is_overdue(now: datetime) -> Q:
    """Open, and we never wrote, or longer ago than the workspace's period."""
    period = ExpressionWrapper(
        F("workspace__follow_up_hours") * Value(timedelta(hours=1), output_field=DurationField()),
        output_field=DurationField(),
    )
    due = ExpressionWrapper(Value(now) - period, output_field=DateTimeField())
    quiet = Q(last_contact_at=None) | Q(last_contact_at__lt=due)
    return ~Q(lead_status__in=CLOSED) & quiet & is_awake(now)


def window_open(leads: Leads, now: datetime) -> Leads:
    return leads.filter(last_inbound_at__gt=now - WINDOW)


def window_closing(leads: Leads, now: datetime) -> Leads:
    """Less than two hours are left."""
    return window_open(leads, now).filter(last_inbound_at__lt=now - WINDOW + CLOSING)


def window_closed(leads: Leads, now: datetime) -> Leads:
    """Templates only: the customer never wrote, or too long ago."""
    return leads.filter(Q(last_inbound_at=None) | Q(last_inbound_at__lte=now - WINDOW))


def never_contacted(leads: Leads, now: datetime) -> Leads:  # noqa: ARG001 - asked like the others
    """We never wrote, or nothing of it arrived."""
    return leads.filter(last_contact_at=None)


def mine(leads: Leads, user: User) -> Leads:
    return leads.filter(owner=user)


def unassigned(leads: Leads) -> Leads:
    return leads.filter(owner=None)


def wrote_again(leads: Leads) -> Leads:
    """Archived or converted, and the customer wrote since: until the status is changed, answered or not."""
    return leads.filter(WROTE_AGAIN)


def needs_human(leads: Leads) -> Leads:
    """An automation asked for somebody, and nobody has taken care of it."""
    asked = Q(conversations__handoff_at__isnull=False) & (
        Q(handoff_cleared_at=None) | Q(conversations__handoff_at__gt=F("handoff_cleared_at"))
    )
    return leads.filter(pk__in=Contact.objects.filter(asked).values("pk"))


def not_snoozed(leads: Leads, now: datetime) -> Leads:
    return leads.filter(is_awake(now))


def is_awake(now: datetime) -> Q:
    """Not put aside, or back: on their date, or when the customer writes, whichever is first."""
    return Q(snoozed_until=None) | Q(snoozed_until__lte=now) | Q(last_inbound_at__gt=F("snoozed_at"))


def is_aside(lead: Contact, now: datetime) -> bool:
    """As `is_awake`, the other way round, of a row that is at hand."""
    wrote, since = lead.last_inbound_at, lead.snoozed_at
    if lead.snoozed_until is None or lead.snoozed_until <= now:
        return False
    return wrote is None or since is None or wrote <= since


def has_written_again(lead: Contact) -> bool:
    """As `WROTE_AGAIN`, of a row that is at hand."""
    wrote, since = lead.last_inbound_at, lead.closed_at or lead.last_contact_at
    return lead.lead_status in CLOSED and wrote is not None and (since is None or wrote > since)


def waiting_since() -> Coalesce:
    """When the customer began to wait: their first message that we have not answered, not their last reminder."""
    unanswered = (
        Message.objects.filter(contact=OuterRef("pk"), direction=Message.Direction.INBOUND)
        .exclude(message_type__in=NOT_A_TURN)
        .exclude(status=Message.Status.FAILED)
        .filter(sent_at__gt=Coalesce(OuterRef("last_contact_at"), BEFORE_ALL))
        .order_by("sent_at")
    )
    return Coalesce(Subquery(unanswered.values("sent_at")[:1]), F("last_inbound_at"))


# Newest activity first, as the index `contact_activity` has them.
NEWEST_FIRST = (F("last_activity_at").desc(nulls_last=True), "-pk")
LONGEST_WAIT_FIRST = ("waiting_since", "pk")
CLOSES_FIRST = ("last_inbound_at", "pk")


@dataclass(frozen=True, slots=True)
class View:
    """A tab of the list."""

    title: str | Promise
    heading: str | Promise
    # What an empty tab says.
    nothing: str | Promise
    select: Callable[[Leads, User, datetime], Leads]
    order: tuple[Any, ...] = NEWEST_FIRST


VIEWS = {
    "all": View(_("All"), _("Leads"), _("No leads yet."), lambda leads, _user, _now: leads),
    "awaiting": View(
        _("Awaiting reply"),
        _("Leads awaiting a reply"),
        _("Nobody is waiting for an answer. Well done!"),
        lambda leads, _user, now: longest_waiting(leads, now),
        LONGEST_WAIT_FIRST,
    ),
    "follow-up": View(
        _("Needs follow-up"),
        _("Leads that need follow-up"),
        _("Everybody has heard from you lately."),
        lambda leads, _user, now: needs_follow_up(leads, now),
    ),
    "closing": View(
        _("Window closing"),
        _("Leads whose window closes soon"),
        _("No 24-hour window closes within the next two hours."),
        lambda leads, _user, now: window_closing(leads, now),
        CLOSES_FIRST,
    ),
    "never": View(
        _("Never contacted"),
        _("Leads never contacted"),
        _("You have written to everybody at least once."),
        lambda leads, _user, now: never_contacted(leads, now),
    ),
    "mine": View(
        _("Mine"),
        _("My leads"),
        _("No lead is assigned to you."),
        lambda leads, user, _now: mine(leads, user),
    ),
    "unassigned": View(
        _("Unassigned"),
        _("Leads without an owner"),
        _("Every lead has an owner."),
        lambda leads, _user, _now: unassigned(leads),
    ),
    "again": View(
        _("Wrote again"),
        _("Closed leads that wrote again"),
        _("No archived or converted lead has written since."),
        lambda leads, _user, _now: wrote_again(leads),
    ),
}


# Nobody works through more than that: each count stops there, however many there are.
MOST_COUNTED = 1000


def counts(leads: Leads, user: User, now: datetime) -> dict[str, int]:
    """How many of these leads each tab has, `MOST_COUNTED` + 1 standing for more. One statement."""
    parts = [_count(view.select(leads, user, now)) for view in VIEWS.values()]
    with connections[leads.db].cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(sql for sql, _params in parts)}",
            [value for _sql, params in parts for value in params],
        )
        return dict(zip(VIEWS, cursor.fetchone(), strict=True))


def _count(leads: Leads) -> tuple[str, tuple[Any, ...]]:
    try:
        sql, params = leads.order_by().values("pk")[: MOST_COUNTED + 1].query.sql_with_params()
    except EmptyResultSet:  # who is in no workspace
        return "0", ()
    return f"(SELECT count(*) FROM ({sql}) AS counted)", params  # noqa: S608 - the ORM's own SQL
