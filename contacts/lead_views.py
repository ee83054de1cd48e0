"""Which leads ask for what: the tabs of the list, and the numbers of the start page (DESIGN.md section 4).

Each condition takes leads and a moment and answers with those that meet it. All but
`needs_human` look at the lead's own columns, and those that few leads of many meet have an index (Contact.Meta).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import (
    BooleanField,
    Count,
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Value,
)
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from contacts.models import Contact, Conversation
from contacts.models.contact import CLOSED, OPEN, UNANSWERED, WAITING_SINCE, WROTE_AGAIN

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Leads: TypeAlias = QuerySet[Contact]

# WhatsApp takes free text until exactly so long after the customer's last message; then approved templates only.
WINDOW = timedelta(hours=24)
CLOSING = timedelta(hours=2)

BEFORE_ALL = Value(datetime(1970, 1, 1, tzinfo=UTC), output_field=DateTimeField())


class IsOneOf(Func):
    """A value is in an array, which is gathered before anything else is looked at."""

    template = "(%(expressions)s))"
    arg_joiner = " = ANY("
    arity = 2
    output_field = BooleanField()


def awaiting_reply(leads: Leads, now: datetime) -> Leads:
    return leads.filter(awaits_reply(now))


def awaits_reply(now: datetime) -> Q:
    """The customer wrote last. Who was closed since then waits no more, until they write again."""
    return UNANSWERED & (~Q(lead_status__in=CLOSED) | WROTE_AGAIN) & is_awake(now)


def longest_waiting(leads: Leads, now: datetime) -> Leads:
    """Those that await a reply, with the time since which they do; in this order everywhere."""
    waiting = awaiting_reply(leads, now).annotate(waiting_since=WAITING_SINCE)
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
    return Q(lead_status__in=OPEN) & quiet & is_awake(now)


def window_open(leads: Leads, now: datetime) -> Leads:
    return leads.filter(last_inbound_at__gt=now - WINDOW)


def window_closing(leads: Leads, now: datetime) -> Leads:
    return leads.filter(is_closing(now))


def is_closing(now: datetime) -> Q:
    """Open, and less than two hours are left."""
    return Q(last_inbound_at__gt=now - WINDOW, last_inbound_at__lt=now - WINDOW + CLOSING)


def window_closed(leads: Leads, now: datetime) -> Leads:
    """Templates only: the customer never wrote, or too long ago."""
    return leads.filter(Q(last_inbound_at=None) | Q(last_inbound_at__lte=now - WINDOW))


def wrote_again(leads: Leads) -> Leads:
    """Archived or converted, and the customer wrote since: until the status is changed, answered or not."""
    return leads.filter(WROTE_AGAIN)


def needs_human(leads: Leads, workspaces: Collection[int]) -> Leads:
    """An automation asked for somebody, and nobody has taken care of it. They are looked up first, in these workspaces."""
    handed_over = Conversation.objects.filter(workspace__in=workspaces, handoff_at__isnull=False)
    again = handed_over.filter(contact=OuterRef("pk"), handoff_at__gt=OuterRef("handoff_cleared_at"))
    uncared_for = Q(handoff_cleared_at=None) | Exists(again)
    return leads.filter(IsOneOf("pk", ArraySubquery(handed_over.values("contact"))), uncared_for)


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


# Newest activity first, as the index `contact_activity` has them.
NEWEST_FIRST = (F("last_activity_at").desc(nulls_last=True), "-pk")
# As the index `contact_unanswered` has them.
LONGEST_WAIT_FIRST = (WAITING_SINCE, "pk")
CLOSES_FIRST = ("last_inbound_at", "pk")


@dataclass(frozen=True, slots=True)
class View:
    """A tab of the list."""

    title: str | Promise
    heading: str | Promise
    # What an empty tab says.
    nothing: str | Promise
    condition: Callable[[User, datetime], Q]
    order: tuple[Any, ...] = NEWEST_FIRST

    def select(self, leads: Leads, user: User, now: datetime) -> Leads:
        return leads.filter(self.condition(user, now))


VIEWS = {
    "all": View(_("All"), _("Leads"), _("No leads yet."), lambda _user, _now: Q()),
    "awaiting": View(
        _("Awaiting reply"),
        _("Leads awaiting a reply"),
        _("Nobody is waiting for an answer. Well done!"),
        lambda _user, now: awaits_reply(now),
        LONGEST_WAIT_FIRST,
    ),
    "follow-up": View(
        _("Needs follow-up"),
        _("Leads that need follow-up"),
        _("Everybody has heard from you lately."),
        lambda _user, now: is_overdue(now),
    ),
    "closing": View(
        _("Window closing"),
        _("Leads whose window closes soon"),
        _("No 24-hour window closes within the next two hours."),
        lambda _user, now: is_closing(now),
        CLOSES_FIRST,
    ),
    # We never wrote, or nothing of it arrived.
    "never": View(
        _("Never contacted"),
        _("Leads never contacted"),
        _("You have written to everybody at least once."),
        lambda _user, _now: Q(last_contact_at=None),
    ),
    "mine": View(
        _("Mine"), _("My leads"), _("No lead is assigned to you."), lambda user, _now: Q(owner=user.pk)
    ),
    "unassigned": View(
        _("Unassigned"),
        _("Leads without an owner"),
        _("Every lead has an owner."),
        lambda _user, _now: Q(owner=None),
    ),
    "again": View(
        _("Wrote again"),
        _("Closed leads that wrote again"),
        _("No archived or converted lead has written since."),
        lambda _user, _now: WROTE_AGAIN,
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


def newest(leads: Leads, most: int) -> list[int]:
    """The ids of those that were active last."""
    return list(leads.order_by(*NEWEST_FIRST).values_list("pk", flat=True)[:most])


def counts_among(found: list[int], user: User, now: datetime) -> dict[str, int]:
    """How many of these few leads each tab has.

    What a tab and a filter have in common no index knows, and it may be nobody. So of the many leads of a filter those
    that were active last are looked at, for all tabs at once.
    """
    tabs = {key: Count("pk", filter=view.condition(user, now)) for key, view in VIEWS.items()}
    counted = Contact.objects.filter(pk__in=found).aggregate(**tabs)
    return {key: counted[key] for key in VIEWS}


def _count(leads: Leads) -> tuple[str, tuple[Any, ...]]:
    try:
        sql, params = leads.order_by().values("pk")[: MOST_COUNTED + 1].query.sql_with_params()
    except EmptyResultSet:  # who is in no workspace
        return "0", ()
    return f"(SELECT count(*) FROM ({sql}) AS counted)", params  # noqa: S608 - the ORM's own SQL
