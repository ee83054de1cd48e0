"""What happened on WhatsApp, in the CRM's own words.

`kapso_sync.formats` turns every shape that Kapso and Meta send into these; `contacts.sync` turns them into leads.
No provider's JSON key is known on this side of the border. Every event names the business number it belongs to and
carries a time, always aware and in UTC.

Where the provider gave no usable time, `at` is when the body came, and `source` stands for that body: the same body
that comes again is the same fact, at the earliest time it came. Where `source` is empty, the time is the provider's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Direction = Literal["inbound", "outbound"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who an event says it is about; each part may be unknown (None), none is ever an empty string.

    `phone` is digits only (7 to 15), `user_id` the business-scoped user id, exactly as received; `username` comes
    without its @. Only phone and user id identify; the rest is what was said about the person.
    """

    phone: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    username: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A Kapso conversation id as an event shows it: sessions rotate, the thread stays.

    `status` is Kapso's word ("active", "ended") or "" where the event does not say; `at` is the time it was true.
    `messages` and `last_wamid` are what Kapso's summary of the session counts and names as its newest, true at
    `summed_up_at`; that is None where there is no summary.
    """

    kapso_id: str
    status: str
    at: datetime
    source: str = ""
    messages: int | None = None
    last_wamid: str = ""
    summed_up_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One delivery status of one message.

    `word` is the provider's, in lower case; `at` is None where the provider tells that it happened but not when.
    `error_code` and `error_message` belong to a failure; `error` is the provider's error object as data.
    """

    word: str
    at: datetime | None
    error_code: int | None = None
    error_message: str = ""
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTold:
    """One telling of a message; several tellings of one WAMID become one row, whatever their order.

    `wamid` identifies the message together with `number`. `at` is when this telling says it was written or, for a
    receipt that carries the message, when the receipt happened. `content` is the full readable text or a label, `payload` the type-specific
    data; `is_label` says that nobody's words are in it (no text, no caption, no data): the content is a mere label. `target` is the WAMID that a reaction, edit or revoke acts on.
    """

    number: str
    wamid: str
    direction: Direction
    message_type: str
    content: str
    at: datetime
    source: str = ""
    person: Person = field(default_factory=Person)
    session: Session | None = None
    origin: str = "cloud_api"
    payload: Mapping[str, Any] = field(default_factory=dict)
    is_label: bool = False
    media_url: str = ""
    transcript: str = ""
    reply_to: str = ""
    target: str = ""
    referral: Mapping[str, Any] | None = None
    receipts: tuple[Receipt, ...] = ()

    @property
    def timed(self) -> bool:
        return not self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptsTold:
    """Statuses of a message that this event does not carry: kept until the message comes, never made into one."""

    number: str
    wamid: str
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTold:
    """What a provider says of a person outside of any message (contact.updated, address book, marketing choice).

    Creates nobody; counts once the person has written. `source` is never empty here: what one body tells of somebody is
    one fact, also where it has a time. `counts_as_activity` is True for contact.updated alone. `marketing` is "stop",
    "resume", another word of the provider's, or "" where nothing was said. `address_book_name` fills an empty name
    only.
    """

    number: str
    person: Person
    at: datetime
    source: str
    counts_as_activity: bool = False
    marketing: str = ""
    address_book_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityChanged:
    """WhatsApp says that one person's identity changed: `before` and `after` are the same person.

    Either side names a phone, a user id or both. `message` is the system line that told it, where there was one.
    """

    number: str
    before: Person
    after: Person
    at: datetime
    source: str = ""
    message: MessageTold | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTold:
    """A conversation event: a session began, ended or went quiet. Creates no lead and moves no clock."""

    number: str
    session: Session
    person: Person = field(default_factory=Person)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomationTold:
    """A Kapso workflow handed a session over to people, or failed on it.

    It names no business number: `number` is empty, the session leads to the thread. `execution_id` and `kind`
    identify the fact; `kind` is "handoff" or "failed".
    """

    session_id: str
    execution_id: str
    kind: Literal["handoff", "failed"]
    reason: str
    at: datetime
    source: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberTold:
    """Kapso connected (`connected=True`) or disconnected a business number."""

    number: str
    connected: bool
    at: datetime
    source: str = ""


Event = MessageTold | ReceiptsTold | ProfileTold | IdentityChanged | SessionTold | AutomationTold | NumberTold
