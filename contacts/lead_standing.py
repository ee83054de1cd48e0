"""Where leads stand just now, as columns of their rows: what the tabs of the list select (contacts.lead_views)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import BooleanField, Case, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, JSONObject
from django.db.models.lookups import GreaterThan

from contacts.lead_views import BEFORE_ALL, awaits_reply, is_overdue
from contacts.models import Contact, Conversation, FollowUp


def with_standing(leads: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """A page of leads with `awaiting_reply`, `needs_follow_up`, `needs_human` and `next_follow_up`."""
    standing: QuerySet[Any] = leads.annotate(
        awaiting_reply=_whether(awaits_reply(now)),
        needs_follow_up=_whether(is_overdue(now)),
        needs_human=_whether(_asks_for_somebody()),
        next_follow_up=Subquery(_next_follow_up()),
    )
    return standing


def _whether(condition: Any) -> Case:
    """Not null where the condition is neither."""
    return Case(When(condition, then=Value(True)), default=Value(False), output_field=BooleanField())


def _asks_for_somebody() -> GreaterThan:
    """The newest hand-off came after what somebody took care of. (An EXISTS would be hashed, out of all threads.)"""
    asked = Conversation.objects.filter(contact=OuterRef("pk"), handoff_at__isnull=False)
    newest = Subquery(asked.order_by("-handoff_at").values("handoff_at")[:1])
    return GreaterThan(newest, Coalesce("handoff_cleared_at", BEFORE_ALL))


def _next_follow_up() -> QuerySet[FollowUp, Any]:
    """Also one of a lead that was merged into it: it stays with its row."""
    rows = Contact.objects.rows_of(OuterRef(OuterRef("pk"))).values("pk")
    planned = FollowUp.objects.filter(contact__in=rows, done_at=None).order_by("due_at", "pk")
    return planned.values_list(JSONObject(id="id", due_at="due_at", remark="remark"))[:1]
