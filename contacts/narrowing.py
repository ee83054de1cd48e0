"""What a list of leads can be narrowed to beside its tabs (contacts.lead_views): in the admin, and for programs.

Whatever names nothing finds nobody: a filter that is on never shows all.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, F, OuterRef, Q

from contacts.lead_views import IsOneOf, Leads
from contacts.models import Conversation, FollowUp
from contacts.models.contact import UNREAD

ME, NOBODY = "me", "nobody"
LONGEST_TAG = 50


def is_id(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) <= 18


def owned_by(leads: Leads, who: str, user_id: int | None) -> Leads:
    """`me`, `nobody`, or a user's id."""
    if who == ME:
        return leads.filter(owner=user_id)
    if who == NOBODY:
        return leads.filter(owner=None)
    return leads.filter(owner=int(who)) if is_id(who) else leads.none()


def tagged(leads: Leads, tag: str) -> Leads:
    return leads.exclude(tags=[]).filter(tags__contains=[tag[:LONGEST_TAG]])


def on_number(leads: Leads, number: int) -> Leads:
    """With a thread on this business number."""
    return leads.filter(Exists(Conversation.objects.filter(contact=OuterRef("pk"), phone_number=number)))


def unread(leads: Leads) -> Leads:
    return leads.filter(UNREAD)


def follow_up_due(leads: Leads, now: datetime, workspaces: Collection[int]) -> Leads:
    """Those are looked up first, in these workspaces: they are few among many, and lie anywhere in the order of a list."""
    due = FollowUp.objects.filter(workspace__in=workspaces, done_at=None, due_at__lte=now)
    return leads.filter(IsOneOf("pk", ArraySubquery(due.order_by().values("contact"))))


def put_aside(leads: Leads, now: datetime) -> Leads:
    """Those who are not awake (contacts.lead_views)."""
    silent = Q(last_inbound_at=None) | Q(snoozed_at=None) | Q(last_inbound_at__lte=F("snoozed_at"))
    return leads.filter(silent, snoozed_until__gt=now)
