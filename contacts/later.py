"""Turning to a lead later: its next follow-up, and putting it aside until a date or until the customer writes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts.changing import Refused, Stale, line, locked, record, write
from contacts.lead_views import is_aside
from contacts.models import Contact, FollowUp, LeadChange
from contacts.when import ahead, as_json, is_same

LONGEST_REMARK = 500


@transaction.atomic
def plan_follow_up(
    lead: Contact, due_at: datetime, remark: str = "", *, by: User | None, seen: str | None = None
) -> FollowUp:
    """When to turn to the lead next. The one that is open moves; a lead that was merged may have several: now one."""
    remark, due_at = line(remark, LONGEST_REMARK), ahead(due_at)
    row = locked(lead)
    before = _next_follow_up(row, seen)
    _open_follow_ups(row).exclude(contact=row).update(done_at=timezone.now(), done_by=by)
    now = {"due_at": due_at, "remark": remark, "by": by, "at": timezone.now()}
    planned, _made = FollowUp.objects.update_or_create(
        contact=lead, done_at=None, defaults=now, create_defaults=now | {"workspace_id": row.workspace_id}
    )
    if follow_up_as_json(planned) != before:
        record(row, LeadChange.Kind.FOLLOW_UP, before, follow_up_as_json(planned), by=by)
    return planned


@transaction.atomic
def finish_follow_up(lead: Contact, *, by: User | None, seen: str | None = None) -> LeadChange:
    row = locked(lead)
    before = _next_follow_up(row, seen)
    if before is None:
        raise Refused(_("No follow-up is planned."))
    _open_follow_ups(row).update(done_at=timezone.now(), done_by=by)
    return record(row, LeadChange.Kind.FOLLOW_UP, before, None, by=by)


def follow_up_as_json(planned: FollowUp | None) -> dict[str, Any] | None:
    return {"due_at": as_json(planned.due_at), "remark": planned.remark} if planned else None


def _next_follow_up(row: Contact, seen: str | None) -> dict[str, Any] | None:
    planned = _open_follow_ups(row).order_by("due_at", "pk").first()
    if seen is not None and not is_same(planned and planned.due_at, seen.strip()):
        raise Stale.of(_("the follow-up"), planned and _shown_time(planned.due_at))
    return follow_up_as_json(planned)


def _open_follow_ups(row: Contact) -> Any:
    return FollowUp.objects.of(row).filter(done_at=None)


@transaction.atomic
def snooze(lead: Contact, until: datetime, *, by: User | None, seen: str | None = None) -> LeadChange | None:
    """Put the lead aside until then, or until the customer writes, whichever is first.

    What the customer had written is what we know of: a message that is on its way to us counts as a new one.
    """
    until, now = ahead(until), timezone.now()
    row = locked(lead)
    before = _snoozed_until(row, seen)
    write(lead, snoozed_until=until, snoozed_at=row.last_inbound_at or now)
    return (
        record(row, LeadChange.Kind.SNOOZE, before, as_json(until), by=by)
        if before != as_json(until)
        else None
    )


@transaction.atomic
def wake(lead: Contact, *, by: User | None, seen: str | None = None) -> LeadChange | None:
    """Take it up again now; None if it was not put aside any more."""
    row = locked(lead)
    before = _snoozed_until(row, seen)
    write(lead, snoozed_until=None, snoozed_at=None)
    return record(row, LeadChange.Kind.SNOOZE, before, None, by=by) if before else None


def _snoozed_until(row: Contact, seen: str | None) -> str | None:
    until = row.snoozed_until if is_aside(row, timezone.now()) else None
    if seen is not None and not is_same(until, seen.strip()):
        raise Stale.of(_("the date until which it is put aside"), until and _shown_time(until))
    return as_json(until)


def _shown_time(at: datetime) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M}"
