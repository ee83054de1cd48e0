"""What people are told: a lead of theirs, a mention, a follow-up, a number that fell silent.

Each reason is told once, however often and by however many at once it is found: its key is unique for a person, and a
row that is there already is left as it is. Rows keep no text of a lead's: what they are about is read when they are
shown (contacts.told), by whoever may see it by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from django.contrib.auth.models import User
from django.db.models import Max, Q
from django.utils import timezone

from contacts import mentions
from contacts.facts import as_json
from contacts.models import (
    Contact,
    LeadChange,
    Membership,
    Note,
    Notification,
    PhoneNumber,
    Preferences,
    Workspace,
)
from contacts.rights import MANAGERS
from contacts.statements import run
from contacts.statements.follow_ups_due import FOLLOW_UPS_DUE

Kind = Notification.Kind

KEPT = timedelta(days=180)


def lead_assigned(lead: Contact, *, by: User | None) -> None:
    """Tell the lead's owner, unless they took it themselves. To be called once the change is recorded."""
    leads_assigned([lead], by=by)


def leads_assigned(leads: Iterable[Contact], *, by: User | None) -> None:
    """As `lead_assigned`, for any number of leads with the same two statements."""
    taker = by and by.pk
    given = [(lead, owner) for lead in leads if (owner := lead.owner_id) and owner != taker]
    if not given:
        return
    changes = LeadChange.objects.filter(contact__in=[lead for lead, _ in given], kind=LeadChange.Kind.OWNER)
    newest = dict(changes.order_by().values_list("contact").annotate(Max("pk")))
    _tell(
        Notification(
            workspace_id=lead.workspace_id,
            user_id=owner,
            kind=Kind.ASSIGNED,
            key=f"{lead.pk}:{newest.get(lead.pk, 0)}",
            contact=lead,
            by=by,
        )
        for lead, owner in given
    )


def mentioned(note: Note) -> None:
    """Tell those whom the note names (contacts.mentions), each once for a note."""
    _tell(
        Notification(
            workspace_id=note.workspace_id,
            user=user,
            kind=Kind.MENTION,
            key=str(note.pk),
            contact_id=note.contact_id,
            by_id=note.by_id,
        )
        for user in mentions.mentioned(note)
    )


def follow_ups_due(now: datetime) -> None:
    """Tell the owners, or else who planned them, of the follow-ups that are due by the end of their day."""
    ends = {zone: end_of_day(now, zone).isoformat() for zone in _zones()}
    run(FOLLOW_UPS_DUE, {"ends": as_json(ends), "end": end_of_day(now, "").isoformat(), "now": now})


def number_silent(number: PhoneNumber, *, since: datetime, what: str) -> None:
    """Tell the owners and managers, once for each silence. `since` is when it was last heard, `what` says it in words."""
    members = Membership.objects.filter(workspace=number.workspace_id, user__is_active=True)
    told = members.filter(Q(role__in=MANAGERS) | Q(user__is_superuser=True))
    _tell(
        Notification(
            workspace_id=number.workspace_id,
            user_id=user,
            kind=Kind.SILENCE,
            key=f"{number.pk}:{since.isoformat()}",
            phone_number=number,
            text=what[:255],
        )
        for user in told.values_list("user", flat=True)
    )


def forget_old(now: datetime) -> None:
    Notification.objects.filter(at__lt=now - KEPT).delete()


def end_of_day(now: datetime, zone: str) -> datetime:
    """The midnight that ends the day there; an unknown zone is the site's."""
    local = timezone.localtime(now, zone_of(zone))
    return (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def zone_of(name: str) -> ZoneInfo:
    known = name in available_timezones()
    return ZoneInfo(name if known else timezone.get_default_timezone_name())


def _zones() -> set[str]:
    places = Workspace.objects.order_by().values_list("time_zone").distinct()
    people = Preferences.objects.exclude(time_zone="").values_list("time_zone").distinct()
    return {zone for (zone,) in places.union(people)}


def _tell(notifications: Iterable[Notification]) -> None:
    Notification.objects.bulk_create(notifications, ignore_conflicts=True)
