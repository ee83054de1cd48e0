"""The messages of a lead as its page shows them, oldest first: one statement, however many there are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, Case, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import JSONObject, Left, Length
from django.utils.translation import gettext as _

from contacts.bubbles import LONGEST, Bubble, place
from contacts.models import Contact, Message
from contacts.preview import preview

PAGE = 50

_BEFORE = re.compile(r"(-?\d{1,17})-(\d{1,18})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Timeline:
    entries: list[Bubble]
    # Where the page of older messages begins; "" if there are none.
    older: str
    is_newest: bool


def timeline(lead: Contact, before: str = "") -> Timeline:
    """The newest messages of the lead, or the newest of those before a `Timeline.older`."""
    moment = _moment(before)
    found = list(_rows(lead, moment)[: PAGE + 1])
    rows = found[:PAGE][::-1]
    older = place(rows[0]["sent_at"], rows[0]["id"]) if len(found) > PAGE else ""
    return Timeline([Bubble(row) for row in rows], older, is_newest=moment is None)


COLUMNS = (
    "id", "phone_number_id", "kapso_message_id", "direction", "message_type", "origin", "status", "sent_at", "referral",
    "error_code", "error_message", "reply_to_kapso_id", "target_kapso_id", "edited_at", "revoked_at",
)  # fmt: skip


def _rows(lead: Contact, before: tuple[datetime, int] | None) -> QuerySet[Message, dict[str, Any]]:
    """Newest first, each with what it quotes and the reactions to it.

    Reactions and revokes act on a bubble; an edit is one itself only while its original is unknown.
    """
    of_number = Message.objects.filter(phone_number=OuterRef("phone_number"))
    target = of_number.filter(kapso_message_id=OuterRef("target_kapso_id"))
    newer_edit = of_number.filter(
        target_kapso_id=OuterRef("target_kapso_id"), message_type="edit", sent_at__gt=OuterRef("sent_at")
    ).exclude(target_kapso_id="")
    # Scalar subqueries: PostgreSQL would answer an EXISTS from a hash of the whole table for the sake of one edit.
    messages = (
        Message.objects.filter(contact=lead, workspace=lead.workspace_id)
        .alias(original=Subquery(target.values("pk")[:1]), newer=Subquery(newer_edit.values("pk")[:1]))
        .exclude(message_type__in=("reaction", "revoke"))
        .exclude(message_type="edit", original__isnull=False)
        .exclude(message_type="edit", newer__isnull=False)
    )
    if before:
        at, pk = before
        messages = messages.filter(Q(sent_at__lt=at) | Q(sent_at=at, id__lt=pk), sent_at__lte=at)
    rows: QuerySet[Message, dict[str, Any]] = messages.order_by("-sent_at", "-id").values(
        *COLUMNS,
        number=F("phone_number__display_phone_number"),
        number_id=F("phone_number__phone_number_id"),
        text=Left("content", LONGEST),
        length=Length("content") + Length("transcript"),
        spoken=Left("transcript", LONGEST),
        data=_DATA,
        quoted=Subquery(_quoted(lead, of_number)),
        reactions=ArraySubquery(_reactions(lead, of_number)),
    )
    return rows


# A text's payload is the text once more, however long; only what stands around it is of use.
_DATA = Case(When(message_type="text", then=JSONObject(context=F("payload__context"))), default=F("payload"))


def _quoted(lead: Contact, of_number: QuerySet[Message]) -> QuerySet[Message, Any]:
    """The beginning of what a message replies to, as far as that is known."""
    here = of_number.filter(kapso_message_id=OuterRef("reply_to_kapso_id"), contact=lead)
    return here.values_list(
        JSONObject(
            id="id",
            direction="direction",
            sent_at="sent_at",
            type="message_type",
            text=Left("content", 1000),
            spoken=Left("transcript", 1000),
            voice=F("payload__voice"),
            is_deleted=Case(
                When(revoked_at__isnull=False, then=Value(True)), default=False, output_field=BooleanField()
            ),
        )
    )


def _reactions(lead: Contact, of_number: QuerySet[Message]) -> QuerySet[Message, Any]:
    """Each side's newest reaction to a message."""
    here = of_number.filter(message_type="reaction", target_kapso_id=OuterRef("kapso_message_id"))
    mine = here.filter(Q(contact=lead) | Q(contact=None)).exclude(target_kapso_id="")
    newest = mine.order_by("direction", "-sent_at", "-kapso_message_id").distinct("direction")
    return newest.values_list(JSONObject(direction="direction", emoji=F("payload__emoji")))


def _moment(before: str) -> tuple[datetime, int] | None:
    """None for whatever is no cursor of ours."""
    match = _BEFORE.fullmatch(before)
    if match is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(match[1])), int(match[2])
    except OverflowError:
        return None


@dataclass(frozen=True, slots=True)
class Newest:
    """What a lead last said, or was told, in one line; `whose` stands before it."""

    text: str
    whose: str
    is_ours: bool = False
    # How far ours came: the key of `TICKS`.
    status: str = ""

    @classmethod
    def of(cls, row: dict[str, Any]) -> Newest:
        is_ours = row["direction"] == Message.Direction.OUTBOUND
        failed = is_ours and row["status"] == Message.Status.FAILED
        text = preview(
            row["message_type"],
            row["text"],
            transcript=row["spoken"],
            payload=row["payload"],
            is_deleted=row["is_deleted"],
        )
        whose = _("Not delivered: ") if failed else _("You: ") if is_ours else ""
        return cls(text, str(whose), is_ours, row["status"] if is_ours else "")


def newest_messages(leads: Iterable[Contact]) -> dict[int, Newest]:
    """The newest bubble of each lead, by its id: one query."""
    newest = (
        Message.objects.filter(contact=OuterRef("pk"))
        .exclude(message_type__in=("reaction", "edit", "revoke", "system"))
        .order_by("-sent_at", "-id")
        .values("pk")[:1]
    )
    rows = Message.objects.filter(
        pk__in=Contact.objects.filter(pk__in=[lead.pk for lead in leads]).annotate(newest=newest).values("newest")
    ).values(
        "contact_id", "direction", "message_type", "payload", "status",
        is_deleted=Q(revoked_at__isnull=False), text=Left("content", 2000), spoken=Left("transcript", 2000),
    )  # fmt: skip
    return {row["contact_id"]: Newest.of(dict(row)) for row in rows}
