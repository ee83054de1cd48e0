"""Kapso's own payloads, version 2: one message or one conversation with its number (CONTRACT.md 5.1, 7.1 to 7.3)."""

from __future__ import annotations

from collections.abc import Iterator

from contacts.events import Direction, SessionTold
from kapso_sync.formats import noting
from kapso_sync.formats.item import Delivery, Item, Json
from kapso_sync.formats.message import (
    Telling,
    direction_from_sender,
    is_group,
    item_of,
    own_digits,
    session_in,
)
from kapso_sync.formats.person import person_in
from kapso_sync.formats.reading import dig, number_id, table, text
from kapso_sync.formats.receipts import status_word

# docs.kapso.ai, "Webhook events": one event per status, and what each says of its message.
DIRECTION: dict[str, Direction] = {
    "whatsapp.message.received": "inbound",
    "whatsapp.message.sent": "outbound",
    "whatsapp.message.delivered": "outbound",
    "whatsapp.message.read": "outbound",
    "whatsapp.message.failed": "outbound",
}
DIRECTION_WORD: dict[str, Direction] = {"inbound": "inbound", "outbound": "outbound"}
STATUS_OF_MESSAGE = {
    "whatsapp.message.sent": "sent",
    "whatsapp.message.delivered": "delivered",
    "whatsapp.message.read": "read",
    "whatsapp.message.failed": "failed",
}
STATUS_OF_SESSION = {"whatsapp.conversation.created": "active", "whatsapp.conversation.ended": "ended"}

# Where a payload names its business number, first usable wins: CONTRACT.md 6.1.
NUMBER = (
    ("phone_number_id",),
    ("conversation", "phone_number_id"),
    ("message", "kapso", "phone_number_id"),
    ("whatsapp_config", "phone_number_id"),
)


def numbers_in(body: object) -> Iterator[str]:
    return (number for path in NUMBER if (number := number_id(dig(body, *path))))


def number_of(body: object) -> str:
    return next(numbers_in(body), "")


def message_item(body: Json, event: str, delivery: Delivery) -> Item:
    number, message = number_of(body), table(body.get("message"))
    if not message:
        reason = f"no message in it (event {event or 'unknown'})"
        return Item(number=number, ignored=reason, counted="a message event without a message")
    own = _own(body, number, delivery)
    direction, kapso = _direction(message, event, own), table(message.get("kapso"))
    origin = text(kapso.get("origin"))
    own_word = STATUS_OF_MESSAGE.get(event) or status_word(kapso.get("status"))
    telling = Telling(
        number=number,
        message=message,
        direction=direction,
        received_at=delivery.received_at,
        source=delivery.source,
        origin=origin,
        own=own,
        conversation=table(body.get("conversation")),
        plain=text(body.get("plain")),
        own_word="" if own_word == "received" else own_word,
        # An imported message is timed by when it was written, not by what became of it.
        word_timed=event in STATUS_OF_MESSAGE or own_word == "sent" or origin != "history_sync",
    )
    return noting.directed(item_of(telling), DIRECTION.get(event), direction)


def conversation_item(body: Json, event: str, delivery: Delivery) -> Item:
    number, conversation = number_of(body), table(body.get("conversation"))
    if is_group({}, conversation):
        return Item(number=number, ignored="a group conversation")
    received_at = delivery.received_at
    if event in STATUS_OF_SESSION and not text(conversation.get("status")):
        conversation = conversation | {"status": STATUS_OF_SESSION[event]}
    session = session_in(conversation, {}, at=received_at, source=delivery.source, received_at=received_at)
    if session is None:
        return Item(number=number, ignored="a conversation without an id")
    person = person_in(
        direction="inbound",
        own=_own(body, number, delivery),
        message={},
        conversation=conversation,
        contact={},
    )
    told = SessionTold(number=number, session=session, person=person)
    return Item(number=number, events=(told,), notes=noting.on_conversation(conversation))


def _own(body: Json, number: str, delivery: Delivery) -> frozenset[str]:
    """v1 shows the business number in its `whatsapp_config`."""
    return own_digits(delivery.own_phones.get(number), dig(body, "whatsapp_config", "display_phone_number"))


def _direction(message: Json, event: str, own: frozenset[str]) -> Direction:
    """The message says itself what it is; where it does not, its event, then its sender."""
    told = text(dig(message, "kapso", "direction")).strip().lower()
    return DIRECTION_WORD.get(told) or DIRECTION.get(event) or direction_from_sender(message, own)
