"""A lead with all that its page shows beside the messages, but for its history: one statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import CharField, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast, JSONObject

from contacts.models import Contact, Conversation, CustomField, FollowUp, Identity, Tag
from contacts.rights import WORKERS

MOST_IDENTITIES = 50
MOST_THREADS = 5
# As many as anybody scrolls through; beyond, people are found by typing.
MOST_CHOICES = 100


@dataclass(frozen=True, slots=True)
class Member:
    pk: int
    name: str


@dataclass(frozen=True, slots=True)
class Known:
    """A phone or user id that the lead has or had."""

    kind: str
    value: str
    first_seen_at: datetime | None
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Thread:
    pk: int
    number: str


@dataclass(frozen=True, slots=True)
class Handoff:
    """An automation asked for somebody, and nobody has taken care of it."""

    handoff_at: datetime
    handoff_reason: str


@dataclass(frozen=True, slots=True)
class Planned:
    due_at: datetime
    remark: str


@dataclass(slots=True)
class Surroundings:
    """`members` are those who may own the lead, one more than `MOST_CHOICES` at most; `threads` the newest
    first, and `handoffs` of whatever thread."""

    identities: list[Known]
    members: list[Member]
    fields: list[CustomField]
    suggested_tags: list[str]
    threads: list[Thread]
    handoffs: list[Handoff]
    follow_up: Planned | None


def lead_and_surroundings(leads: QuerySet[Contact], pk: int) -> tuple[Contact, Surroundings] | None:
    """None where there is no such lead among these."""
    lead: Any = leads.select_related("owner", "workspace").annotate(**_SURROUNDINGS).filter(pk=pk).first()
    if lead is None:
        return None
    follow_up = lead.next_follow_up
    return lead, Surroundings(
        identities=[
            Known(told["kind"], told["value"], _time(told["first"]), _time(told["last"]))
            for told in lead.known_as
        ],
        members=[Member(told["id"], full_name(told)) for told in lead.workers],
        fields=[CustomField(workspace_id=lead.workspace_id, **told) for told in lead.extra_fields],
        suggested_tags=list(lead.suggested_tags),
        threads=[_thread(told) for told in lead.newest_threads],
        handoffs=[
            Handoff(datetime.fromisoformat(told["handoff_at"]), told["handoff_reason"])
            for told in lead.open_handoffs
        ],
        follow_up=Planned(datetime.fromisoformat(follow_up["due_at"]), follow_up["remark"])
        if follow_up
        else None,
    )


def members_like(workspace_id: int, term: str) -> list[Member]:
    """Those who may own leads there and whose name has these letters."""
    people = _people(Q(membership__workspace=workspace_id, membership__role__in=WORKERS))
    for word in term.split()[:5]:
        people = people.filter(
            Q(username__icontains=word) | Q(first_name__icontains=word) | Q(last_name__icontains=word)
        )
    return [Member(told["id"], full_name(told)) for told in people.values(*_NAMES)[:MOST_CHOICES]]


def full_name(told: dict[str, Any]) -> str:
    return f"{told['first_name']} {told['last_name']}".strip() or str(told["username"])


def _people(working_here: Q) -> QuerySet[User]:
    return User.objects.filter(working_here, is_active=True).order_by("first_name", "last_name", "username")


def _time(told: str | None) -> datetime | None:
    return datetime.fromisoformat(told) if told else None


def _thread(told: dict[str, Any]) -> Thread:
    number = f"+{digits}" if (digits := "".join(filter(str.isdecimal, told["number"]))) else told["number_id"]
    return Thread(told["id"], number)


_NAMES = ("id", "first_name", "last_name", "username")
_HERE = {"workspace": OuterRef("workspace")}
_SURROUNDINGS = {
    "known_as": ArraySubquery(
        Identity.objects.filter(contact=OuterRef("pk"))
        .exclude(kind=Identity.Kind.LEAD)
        .with_last_seen()
        .order_by(F("seen_at").desc(nulls_last=True), "value")
        .values_list(JSONObject(kind="kind", value="value", first="first_seen_at", last="seen_at"))[
            :MOST_IDENTITIES
        ]
    ),
    "workers": ArraySubquery(
        _people(Q(membership__workspace=OuterRef("workspace"), membership__role__in=WORKERS)).values_list(
            JSONObject(**{name: name for name in _NAMES})
        )[: MOST_CHOICES + 1]
    ),
    "extra_fields": ArraySubquery(
        CustomField.objects.filter(**_HERE).values_list(
            JSONObject(id="id", key="key", label="label", kind="kind", choices="choices")
        )[:MOST_CHOICES]
    ),
    "suggested_tags": ArraySubquery(
        Tag.objects.filter(**_HERE).values_list(Cast("name", CharField()))[:MOST_CHOICES]
    ),
    "newest_threads": ArraySubquery(
        Conversation.objects.filter(contact=OuterRef("pk"))
        .order_by(F("last_message_at").desc(nulls_last=True), "pk")
        .values_list(
            JSONObject(
                id="id",
                number="phone_number__display_phone_number",
                number_id="phone_number__phone_number_id",
            )
        )[:MOST_THREADS]
    ),
    "open_handoffs": ArraySubquery(
        Conversation.objects.filter(contact=OuterRef("pk"), handoff_at__isnull=False)
        .filter(
            Q(contact__handoff_cleared_at=None) | Q(handoff_at__gt=F("contact__handoff_cleared_at")),
        )
        .order_by("-handoff_at", "pk")
        .values_list(JSONObject(handoff_at="handoff_at", handoff_reason="handoff_reason"))[:MOST_THREADS]
    ),
    "next_follow_up": Subquery(
        FollowUp.objects.filter(
            contact__in=Contact.objects.rows_of(OuterRef(OuterRef("pk"))).values("pk"), done_at=None
        ).values_list(JSONObject(due_at="due_at", remark="remark"))[:1]
    ),
}  # fmt: skip
