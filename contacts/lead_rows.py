"""What the list shows of a lead: who waits and since when, how much is left of the window, what somebody must do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import DateTimeField, OuterRef, QuerySet, Subquery, TextField
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from contacts import showing
from contacts.bubbles import TICKS
from contacts.lead_views import CLOSING, WINDOW, has_written_again, is_aside
from contacts.models import Contact, Conversation, FollowUp, LeadStatus
from contacts.models.contact import CLOSED, WAITING_SINCE
from contacts.preview import shorten
from contacts.timeline import Newest, newest_messages

COLOURS = {
    LeadStatus.NEW: "info",
    LeadStatus.QUALIFIED: "warning",
    LeadStatus.CONTACTED: "primary",
    LeadStatus.CONVERTED: "success",
    LeadStatus.ARCHIVED: "default",
}

# What is large, and no row says.
NOT_SHOWN = ("metadata", "first_touch", "last_touch", "typed_at", "workspace__business_hours")

TAGS_SHOWN = 4
LONGEST_NAME, LONGEST_HANDLE = 120, 40


def with_facts(leads: QuerySet[Any]) -> QuerySet[Any]:
    """A page of leads with what their rows need of other tables. For a page only: each row is a few look-ups."""
    follow_up = FollowUp.objects.filter(contact=OuterRef("pk"), done_at=None)
    handoff = Conversation.objects.filter(contact=OuterRef("pk"), handoff_at__isnull=False).order_by(
        "-handoff_at"
    )
    annotated: QuerySet[Any] = leads.annotate(
        waiting_since=WAITING_SINCE,
        handoff_at=Subquery(handoff.values("handoff_at")[:1], output_field=DateTimeField()),
        handoff_reason=Subquery(handoff.values("handoff_reason")[:1], output_field=TextField()),
        follow_up_at=Subquery(follow_up.values("due_at")[:1], output_field=DateTimeField()),
        follow_up_remark=Subquery(follow_up.values("remark")[:1], output_field=TextField()),
    )
    return annotated.select_related("owner", "workspace").defer(*NOT_SHOWN)


def rows_of(leads: Iterable[Any], now: datetime) -> list[Row]:
    """One more query: the newest message of each."""
    found = list(leads)
    newest = newest_messages(found)
    return [Row(lead, newest.get(lead.pk), now) for lead in found]


def lasting(span: timedelta) -> str:
    """How long, in the fewest words."""
    if span < timedelta(minutes=1):
        return _("< 1 min")
    if span < timedelta(hours=1):
        return _("%(count)d min") % {"count": span // timedelta(minutes=1)}
    if span < timedelta(days=1):
        return _("%(count)d h") % {"count": span // timedelta(hours=1)}
    days = span // timedelta(days=1)
    return ngettext("%(count)d day", "%(count)d days", days) % {"count": days}


@dataclass(frozen=True)
class Row:
    """A lead as the list shows it. `lead` comes from `with_facts`. What the page asks more than once is kept."""

    lead: Any
    newest: Newest | None
    now: datetime

    @cached_property
    def name(self) -> str:
        return showing.name_of(self.lead)

    @cached_property
    def short_name(self) -> str:
        return shorten(self.name, LONGEST_NAME)

    @property
    def choosing(self) -> str:
        return _("Select %(name)s") % {"name": self.short_name}

    @property
    def handles(self) -> list[str]:
        """By what else the person is known."""
        lead: Contact = self.lead
        known = (showing.phone(lead.phone), f"@{lead.username}" if lead.username else "")
        return [shorten(handle, LONGEST_HANDLE) for handle in known if handle and handle != self.name]

    @property
    def tags_more(self) -> int:
        """How many tags are not shown."""
        return max(0, len(self.lead.tags) - TAGS_SHOWN)

    @property
    def tags(self) -> list[str]:
        tags: list[str] = self.lead.tags
        return tags[:TAGS_SHOWN]

    @cached_property
    def source(self) -> str:
        return "WhatsApp" if self.lead.source in ("", "whatsapp") else self.lead.source

    @property
    def short_source(self) -> str:
        return shorten(self.source, LONGEST_HANDLE)

    @cached_property
    def owner(self) -> str:
        owner = self.lead.owner
        return (owner.get_full_name() or owner.get_username()) if owner else ""

    @property
    def active(self) -> str:
        return showing.relative_time(self.lead.last_activity_at)

    @property
    def tick(self) -> tuple[str, object] | None:
        """Icon and meaning of how far our message came."""
        return TICKS.get(self.newest.status) if self.newest else None

    @cached_property
    def is_unread(self) -> bool:
        """The customer wrote more than the team has read."""
        wrote, read = self.lead.last_inbound_at, self.lead.read_at
        return wrote is not None and (read is None or wrote > read)

    @property
    def is_closed(self) -> bool:
        return self.lead.lead_status in CLOSED

    @cached_property
    def wrote_again(self) -> bool:
        return has_written_again(self.lead)

    @cached_property
    def customer_waits_since(self) -> datetime | None:
        """As `lead_views.awaiting_reply` has it, whether put aside or not."""
        wrote, answered = self.lead.last_inbound_at, self.lead.last_contact_at
        if wrote is None or (answered is not None and answered >= wrote) or self.is_done:
            return None
        since: datetime = self.lead.waiting_since
        return since

    @cached_property
    def is_done(self) -> bool:
        return self.is_closed and not self.wrote_again

    @cached_property
    def customer_waits(self) -> str:
        since = self.customer_waits_since
        return _("customer, %(time)s") % {"time": lasting(self.now - since)} if since else ""

    @cached_property
    def we_wait(self) -> str:
        """Since when it is the customer's turn."""
        wrote, answered = self.lead.last_inbound_at, self.lead.last_contact_at
        if answered is None or self.is_done or (wrote is not None and wrote > answered):
            return ""
        return _("us, %(time)s") % {"time": lasting(self.now - answered)}

    @cached_property
    def window_until(self) -> datetime | None:
        wrote: datetime | None = self.lead.last_inbound_at
        return wrote + WINDOW if wrote else None

    @cached_property
    def window_left(self) -> str:
        """ "" once it is closed: open until exactly 24 hours after the customer's last message."""
        until = self.window_until
        if until is None or until <= self.now:
            return ""
        return _("%(left)s left") % {"left": lasting(min(until - self.now, WINDOW))}

    @property
    def is_window_closing(self) -> bool:
        until = self.window_until
        return until is not None and timedelta(0) < until - self.now < CLOSING

    @cached_property
    def aside_until(self) -> datetime | None:
        """When it is back, unless the customer writes before."""
        until: datetime | None = self.lead.snoozed_until
        return until if is_aside(self.lead, self.now) else None

    @cached_property
    def needs_human(self) -> bool:
        asked, cleared = self.lead.handoff_at, self.lead.handoff_cleared_at
        return asked is not None and (cleared is None or asked > cleared)

    @property
    def has_marks(self) -> bool:
        lead = self.lead
        return bool(
            lead.tags or lead.follow_up_at or self.needs_human or self.wrote_again or self.aside_until
        )

    @property
    def is_follow_up_due(self) -> bool:
        return self.lead.follow_up_at is not None and self.lead.follow_up_at <= self.now
