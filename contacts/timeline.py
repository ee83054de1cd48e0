"""The messages of a lead as its page shows them: bubbles and lines, oldest first, in a fixed number of queries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Left, Length
from django.utils.translation import gettext as _

from contacts.models import Contact, Message
from contacts.preview import file_name, label, preview, shorten

PAGE = 100
# Of a longer text the page shows the beginning and a link to the rest.
LONGEST = 5000
QUOTE = 120
LINES = ("system", "request_welcome")

_BEFORE = re.compile(r"(-?\d{1,17})-(\d{1,18})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TICKS = {
    "pending": ("schedule", "Waiting to be sent"),
    "sent": ("check", "Sent"),
    "delivered": ("done_all", "Delivered"),
    "read": ("done_all", "Read"),
    "failed": ("error", "Not delivered"),
}


@dataclass(slots=True)
class Entry:
    """One bubble, or one centred line."""

    row: dict[str, Any]
    quote: str | None = None
    reactions: list[str] = field(default_factory=list)

    @property
    def pk(self) -> int:
        return int(self.row["id"])

    @property
    def at(self) -> datetime:
        at: datetime = self.row["sent_at"]
        return at

    @property
    def is_line(self) -> bool:
        return self.row["message_type"] in LINES

    @property
    def is_ours(self) -> bool:
        return bool(self.row["direction"] == Message.Direction.OUTBOUND)

    @property
    def is_deleted(self) -> bool:
        return self.row["revoked_at"] is not None

    @property
    def is_edited(self) -> bool:
        return self.row["edited_at"] is not None or self.row["message_type"] == "edit"

    @property
    def is_from_phone(self) -> bool:
        return self.is_ours and self.row["origin"] == "business_app"

    @property
    def medium(self) -> str:
        """ "📄 offer.pdf" or "📷 Photo"; "" for mere words."""
        emoji, word = self._label
        return f"{emoji} {file_name(self.row['payload']) or word}".strip()

    @property
    def text(self) -> str:
        """The words, without what the medium's label says already."""
        content: str = self.row["text"]
        said = {self._label[1], file_name(self.row["payload"])}
        return self.row["spoken"] or ("" if self.medium and content in said else content)

    @property
    def is_cut(self) -> bool:
        return int(self.row["length"]) > LONGEST

    @property
    def tick(self) -> str:
        return TICKS.get(self.row["status"], ("", ""))[0] if self.is_ours else ""

    @property
    def tick_meaning(self) -> str:
        return TICKS.get(self.row["status"], ("", ""))[1]

    @property
    def failure(self) -> str | None:
        """Why it did not arrive, None if it did."""
        if not self.is_ours or self.row["status"] != Message.Status.FAILED:
            return None
        return self.row["error_message"] or (
            f"Error {self.row['error_code']}" if self.row["error_code"] else ""
        )

    @property
    def _label(self) -> tuple[str, str]:
        return label(self.row["message_type"], self.row["payload"], self.row["text"])


@dataclass(slots=True)
class Timeline:
    entries: list[Entry]
    # Where the page of older messages begins; "" if there are none.
    older: str
    is_newest: bool


def timeline(lead: Contact, before: str = "") -> Timeline:
    """The newest messages of the lead, or the newest of those before a `Timeline.older`."""
    rows, older = _rows(lead, _moment(before))
    entries = [Entry(row) for row in rows]
    _quote(lead, entries)
    _react(lead, entries)
    return Timeline(entries, older, is_newest=_moment(before) is None)


COLUMNS = (
    "id", "phone_number_id", "kapso_message_id", "direction", "message_type", "payload", "origin", "status", "sent_at",
    "error_code", "error_message", "reply_to_kapso_id", "target_kapso_id", "edited_at", "revoked_at",
)  # fmt: skip


def _rows(lead: Contact, before: tuple[datetime, int] | None) -> tuple[list[dict[str, Any]], str]:
    """A page of rows, oldest first, and where the next older page begins.

    Reactions and revokes act on a bubble; an edit is one itself only while its original is unknown.
    """
    target = Message.objects.filter(
        phone_number=OuterRef("phone_number"), kapso_message_id=OuterRef("target_kapso_id")
    )
    newer_edit = Message.objects.filter(
        phone_number=OuterRef("phone_number"),
        target_kapso_id=OuterRef("target_kapso_id"),
        message_type="edit",
        sent_at__gt=OuterRef("sent_at"),
    ).exclude(target_kapso_id="")
    messages = (
        Message.objects.filter(contact=lead, workspace=lead.workspace_id)
        .exclude(message_type__in=("reaction", "revoke"))
        .exclude(Q(message_type="edit") & (Exists(target) | Exists(newer_edit)))
    )
    if before:
        at, pk = before
        messages = messages.filter(Q(sent_at__lt=at) | Q(sent_at=at, id__lt=pk), sent_at__lte=at)
    page = messages.order_by("-sent_at", "-id").values(
        *COLUMNS,
        text=Left("content", LONGEST),
        length=Length("content") + Length("transcript"),
        spoken=Left("transcript", LONGEST),
    )
    found: list[dict[str, Any]] = list(page[: PAGE + 1])
    rows = found[:PAGE][::-1]
    return rows, _cursor(rows[0]) if len(found) > PAGE else ""


def _quote(lead: Contact, entries: Iterable[Entry]) -> None:
    """Show with each reply the beginning of what it replies to, as far as that is known."""
    replies = {entry.row["reply_to_kapso_id"] for entry in entries} - {""}
    quoted = Message.objects.filter(contact=lead, **_addressed(entries, replies)).values(
        "phone_number_id", "kapso_message_id", "message_type", "payload", "revoked_at",
        text=Left("content", LONGEST), spoken=Left("transcript", LONGEST),
    )  # fmt: skip
    texts = {
        (row["phone_number_id"], row["kapso_message_id"]): shorten(
            preview(
                row["message_type"],
                row["text"],
                transcript=row["spoken"],
                payload=row["payload"],
                is_deleted=row["revoked_at"] is not None,
            ),
            QUOTE,
        )
        for row in quoted
    }
    for entry in entries:
        if target := entry.row["reply_to_kapso_id"]:
            entry.quote = texts.get((entry.row["phone_number_id"], target), "")


def _react(lead: Contact, entries: Iterable[Entry]) -> None:
    """Each side's newest reaction to a message; an empty one takes the former back (CONTRACT.md 10.3)."""
    reactions = (
        Message.objects.filter(
            message_type="reaction",
            **_addressed(entries, {entry.row["kapso_message_id"] for entry in entries}, "target_kapso_id"),
        )
        .filter(Q(contact=lead) | Q(contact=None))
        .order_by("sent_at", "kapso_message_id")
        .values_list("phone_number_id", "target_kapso_id", "direction", "payload__emoji")
    )
    newest = {(number, target, side): emoji for number, target, side, emoji in reactions}
    for entry in entries:
        here = (entry.row["phone_number_id"], entry.row["kapso_message_id"])
        found = (newest.get((*here, side)) for side in Message.Direction)
        entry.reactions = [emoji for emoji in found if isinstance(emoji, str) and emoji.strip()]


def _addressed(
    entries: Iterable[Entry], wamids: set[str], column: str = "kapso_message_id"
) -> dict[str, Any]:
    return {
        "phone_number__in": {entry.row["phone_number_id"] for entry in entries},
        f"{column}__in": wamids,
    }


def _cursor(row: dict[str, Any]) -> str:
    return f"{(row['sent_at'] - _EPOCH) // timedelta(microseconds=1)}-{row['id']}"


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
