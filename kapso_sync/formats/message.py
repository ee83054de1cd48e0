"""A Meta-shaped message object, told by any of the three formats, as one event."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contacts.events import Direction, Event, MessageTold, Person, Receipt, Session
from kapso_sync.formats import noting
from kapso_sync.formats.content import CONTENT, basename, readable
from kapso_sync.formats.identity import identity_changed
from kapso_sync.formats.item import Item, Json
from kapso_sync.formats.person import person_in
from kapso_sync.formats.reading import (
    MAX_DEPTH,
    Unparseable,
    clean,
    dig,
    first_moment,
    moment,
    parse,
    phone,
    rows,
    session_id,
    table,
    text,
    wamid,
    word,
)
from kapso_sync.formats.receipts import errors_of, receipts_of

TYPE_LENGTH = 64
STATUS_LENGTH = 20
WAMID_PREFIX = "wamid."
ORIGINS = {"cloud_api", "business_app", "history_sync"}
# Meta's flags and the product that a message asks about; context.id is told as `reply_to`.
CONTEXT = ("forwarded", "frequently_forwarded", "referred_product")
MEDIA_DATA = ("content_type", "byte_size")
# Which field of which type names the message that it acts on: CONTRACT.md 10.3 and 10.4.
TARGET = {"reaction": "message_id", "edit": "original_message_id", "revoke": "original_message_id"}

# The key of what the writer of such a message said in words.
OWN_WORDS = {
    "text": "body",
    "image": "caption",
    "video": "caption",
    "document": "caption",
    "audio": "caption",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One message object and what stands around it, whatever the wire format.

    `source` stands for this item of the body. `contact` is Meta's contacts[] card of the person. `plain` is v1's text.
    `own_word` is the status that this telling itself is about; `word_timed` is False where the message's time is not
    the status's.
    """

    number: str
    message: Json
    direction: Direction
    received_at: datetime
    source: str
    origin: str = "cloud_api"
    own: Collection[str] = ()
    conversation: Json = field(default_factory=dict)
    contact: Json = field(default_factory=dict)
    plain: str = ""
    own_word: str = ""
    word_timed: bool = True

    def event(self) -> Event:
        told = _message(self)
        return identity_changed(told, self.message, self.own) if told.message_type == "system" else told


def item_of(telling: Telling) -> Item:
    """The telling as an item, or the reason why it is none."""
    if is_group(telling.message, telling.conversation):
        return Item(number=telling.number, ignored="a group message")
    if not wamid(telling.message.get("id")):
        return Item(number=telling.number, ignored="a message without an id")
    event = telling.event()
    notes = noting.on_message(telling)
    if isinstance(event, MessageTold) and not (event.person.phone or event.person.user_id):
        # EDGE_CASES.md 64: kept, counted, and attached as soon as its conversation is known.
        notes = (*notes, "message names nobody by phone or user ID")
    return Item(number=telling.number, events=(event,), notes=notes)


def is_group(message: Json, conversation: Json) -> bool:
    """Group messages are out of scope: they must not land in the sender's private thread."""
    statuses = rows(dig(message, "kapso", "statuses"))
    return (
        bool(message.get("group_id"))
        or message.get("recipient_type") == "group"
        or conversation.get("type") == "group"
        or any(dig(status, "recipient_type") == "group" for status in statuses)
    )


def direction_from_sender(message: Json, own: Collection[str]) -> Direction:
    return "outbound" if phone(message.get("from")) in own else "inbound"


def own_digits(*phones: object) -> frozenset[str]:
    """The digits of the business number, however it is written, to tell it from customers."""
    return frozenset(filter(None, map(phone, phones)))


def session_in(
    conversation: Json, kapso: Json, *, at: datetime, source: str, received_at: datetime
) -> Session | None:
    """As it was at its own time, else `at`, the time of what it comes with; `source` if that has none either."""
    kapso_id = session_id(conversation.get("id"))
    if not kapso_id:
        other = session_id(kapso.get("whatsapp_conversation_id"))
        return Session(kapso_id=other, status="", at=at, source=source) if other else None
    times = (conversation.get("updated_at"), conversation.get("last_active_at"))
    status = word(conversation.get("status"), STATUS_LENGTH).lower()
    own_at = first_moment(received_at, *times)
    at, source = (own_at, "") if own_at else (at, source)
    summary = _summary(conversation, at, received_at)
    return Session(kapso_id=kapso_id, status=status, at=at, source=source, **summary)


def _summary(conversation: Json, at: datetime, received_at: datetime) -> dict[str, Any]:
    """What Kapso says that there is in the session: a message that is not here was lost on the way."""
    told = table(conversation.get("kapso"))
    count, last = told.get("messages_count"), wamid(told.get("last_message_id"))
    messages = (
        count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**31 else None
    )
    # An id of Kapso's own would be missing for ever.
    last_wamid = last if last.startswith(WAMID_PREFIX) else ""
    if messages is None and not last_wamid:
        return {}
    newest = moment(told.get("last_message_timestamp"), received_at)
    return {"messages": messages, "last_wamid": last_wamid, "summed_up_at": max(at, newest or at)}


def _message(telling: Telling) -> MessageTold:
    message, kapso, message_type = (
        telling.message,
        table(telling.message.get("kapso")),
        _type(telling.message),
    )
    sent_at = moment(message.get("timestamp"), telling.received_at)
    at, source = (sent_at, "") if sent_at else (telling.received_at, telling.source)
    referral = table(message.get("referral"))
    return MessageTold(
        number=telling.number,
        wamid=wamid(message["id"]),
        direction=telling.direction,
        message_type=message_type,
        content=readable(message_type, message, plain=telling.plain),
        at=at,
        source=source,
        person=_person(telling),
        session=session_in(
            telling.conversation, kapso, at=at, source=source, received_at=telling.received_at
        ),
        origin=telling.origin if telling.origin in ORIGINS else "cloud_api",
        payload=_payload(message_type, message, kapso, telling.plain),
        is_label=not telling.plain and not _says_something(message_type, message.get(message_type)),
        media_url=text(kapso.get("media_url")) or text(dig(kapso, "media_data", "url")),
        transcript=text(dig(kapso, "transcript", "text")),
        reply_to=_reply_to(table(message.get("context"))),
        target=_target(message_type, message),
        referral=clean(referral) if referral else None,
        receipts=_receipts(telling, sent_at),
    )


def _type(message: Json) -> str:
    """The provider's word; without one, the known type whose content is there."""
    told = word(message.get("type"), TYPE_LENGTH)
    return told or next((known for known in CONTENT if isinstance(message.get(known), dict)), "unknown")


def _person(telling: Telling) -> Person:
    return person_in(
        direction=telling.direction,
        own=telling.own,
        message=telling.message,
        conversation=telling.conversation,
        contact=telling.contact,
    )


def _receipts(telling: Telling, sent_at: datetime | None) -> tuple[Receipt, ...]:
    if telling.direction == "inbound":
        return errors_of(telling.message, sent_at)
    return receipts_of(
        telling.message,
        own_word=telling.own_word,
        own_at=sent_at if telling.word_timed else None,
        received_at=telling.received_at,
    )


def _reply_to(context: Json) -> str:
    """A product enquiry's context.id names a catalogue message, not one of the chat."""
    replied = context.get("id")
    return wamid(replied) if isinstance(replied, str) and not context.get("referred_product") else ""


def _target(message_type: str, message: Json) -> str:
    return wamid(dig(message, message_type, TARGET[message_type])) if message_type in TARGET else ""


def _says_something(message_type: str, content: object) -> bool:
    """Whether there is more to read than a label. A picture may come with its caption in one event, without in another."""
    own_words = OWN_WORDS.get(message_type)
    return bool(text(table(content).get(own_words))) if own_words else content is not None


def _payload(message_type: str, message: Json, kapso: Json, plain: str) -> Json:
    content = message.get(message_type)
    if content is None:
        payload = {"body": plain} if plain else {}
    else:
        payload = clean(content if isinstance(content, dict) else {message_type: content})
    extras = {
        "context": {key: value for key in CONTEXT if (value := dig(message, "context", key))},
        "errors": rows(message.get("errors")),
        "media": _media(table(kapso.get("media_data"))),
        "flow_response": kapso.get("flow_response"),
        "message_type_data": kapso.get("message_type_data") if content is None else None,
        "response": _form_response(content),
        "callback_data": _callback_data(rows(kapso.get("statuses"))),
    }
    return payload | {key: clean(value, MAX_DEPTH - 1) for key, value in extras.items() if value}


def _media(data: Json) -> Json:
    facts = {key: data[key] for key in MEDIA_DATA if isinstance(data.get(key), str | int)}
    filename = basename(data.get("filename"))
    return {"filename": filename} | facts if filename else facts


def _form_response(content: object) -> Any:
    """The answers to a form come as JSON in a string; what is none stays text where it is."""
    answers = dig(content, "nfm_reply", "response_json")
    if not isinstance(answers, str):
        return None
    try:
        return parse(answers.encode())
    except (Unparseable, UnicodeEncodeError):
        return None


def _callback_data(statuses: list[Any]) -> str:
    return next(filter(None, (text(dig(status, "biz_opaque_callback_data")) for status in statuses)), "")
