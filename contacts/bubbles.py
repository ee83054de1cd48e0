"""One message as the thread on a lead's page shows it: a bubble, or a line in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from contacts.cards import MEDIA, Card, ad_of, card_of, notes_on
from contacts.failures import Failure, explain
from contacts.models import Message
from contacts.preview import file_name, label, preview, shorten, worded

# Of a longer text the page shows the beginning and a link to the rest.
LONGEST = 5000
QUOTE = 120
LINES = ("system", "request_welcome")

TICKS = {
    "pending": ("schedule", _("Waiting to be sent")),
    "sent": ("check", _("Sent")),
    "delivered": ("done_all", _("Delivered")),
    "read": ("done_all", _("Read")),
    "failed": ("error", _("Not delivered")),
}
# How a message of ours came to be; the customer's own need no word.
ORIGINS = {
    "business_app": pgettext_lazy("origin of a message", "from the phone"),
    "cloud_api": pgettext_lazy("origin of a message", "by API"),
}
IMPORTED = pgettext_lazy("origin of a message", "imported")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def place(at: datetime, pk: int) -> str:
    """Where a message stands among those of its lead, for addresses: what is before it has an earlier one."""
    return f"{(at - _EPOCH) // timedelta(microseconds=1)}-{pk}"


@dataclass(frozen=True, slots=True)
class Quote:
    """What a reply replies to. `pk` is None where that message is not here; `at` is its place in the timeline."""

    text: str = ""
    pk: int | None = None
    at: str = ""
    is_ours: bool = False


@dataclass
class Bubble:
    row: dict[str, Any]

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
    def is_theirs(self) -> bool:
        """Something that the customer said, so that somebody may have to answer."""
        return not self.is_ours and not self.is_line

    @property
    def is_deleted(self) -> bool:
        return self.row["revoked_at"] is not None

    @property
    def is_edited(self) -> bool:
        return self.row["edited_at"] is not None or self.row["message_type"] == "edit"

    @property
    def number(self) -> str:
        """The business number that it went through."""
        return str(self.row["number"] or self.row["number_id"])

    @property
    def origin(self) -> Any:
        if self.row["origin"] == "history_sync":
            return IMPORTED
        return ORIGINS.get(self.row["origin"], "") if self.is_ours else ""

    @cached_property
    def card(self) -> Card | None:
        return card_of(self.row["message_type"], self.row["data"], self.row["text"])

    @property
    def notes(self) -> list[str]:
        return list(notes_on(self.row["data"]))

    @property
    def ad(self) -> Card | None:
        return ad_of(self.row["referral"])

    @property
    def text(self) -> str:
        """The words, without what the card says already."""
        content: str = self.row["text"]
        if self.row["message_type"] in MEDIA:
            word = label(self.row["message_type"], self.row["data"], content)[1]
            return "" if content in (word, file_name(self.row["data"])) else content
        shown = worded(self.row["message_type"], content)
        if self.card is None:
            return shown
        says = self.row["message_type"] in SAID_BY_CARD
        titles = (self.card.title, f"Template: {self.card.title}")
        return "" if says or content in titles or shown in titles else shown

    @property
    def transcript(self) -> str:
        """What a machine heard in a voice message."""
        return str(self.row["spoken"])

    @property
    def is_cut(self) -> bool:
        return int(self.row["length"]) > LONGEST

    @property
    def tick(self) -> str:
        return TICKS.get(self.row["status"], ("", ""))[0] if self.is_ours else ""

    @property
    def tick_meaning(self) -> Any:
        return TICKS.get(self.row["status"], ("", ""))[1]

    @property
    def failure(self) -> Failure | None:
        """Why it did not arrive, None if it did."""
        if not self.is_ours or self.row["status"] != Message.Status.FAILED:
            return None
        return explain(self.row["error_code"], self.row["error_message"])

    @property
    def former_failure(self) -> Failure | None:
        """It arrived, and somebody said before or after that it had not."""
        if not self.is_ours or self.failure or not (self.row["error_code"] or self.row["error_message"]):
            return None
        return explain(self.row["error_code"], self.row["error_message"])

    @property
    def quote(self) -> Quote | None:
        if not self.row["reply_to_kapso_id"]:
            return None
        told = self.row["quoted"]
        if not told:
            return Quote()
        text = preview(
            told["type"],
            told["text"],
            transcript=told["spoken"],
            payload=told,
            is_deleted=told["is_deleted"],
        )
        at = place(datetime.fromisoformat(told["sent_at"]), told["id"] + 1)
        return Quote(shorten(text, QUOTE), told["id"], at, told["direction"] == Message.Direction.OUTBOUND)

    @property
    def reactions(self) -> list[str]:
        """Each side's newest, the customer's first; an empty one took the former back (CONTRACT.md 10.3)."""
        newest = {told["direction"]: told["emoji"] for told in self.row["reactions"]}
        found = (newest.get(side) for side in Message.Direction)
        return [shorten(emoji, 16) for emoji in found if isinstance(emoji, str) and emoji.strip()]


# Their text is a label that only says again what the card shows.
SAID_BY_CARD = frozenset({"location", "contacts", "unsupported", "media_placeholder"})
