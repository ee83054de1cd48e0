"""Webhooks of Meta's own shape, forwarded unchanged: entries, changes, and in each several kinds of parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contacts.events import IdentityChanged, Person, ProfileTold, ReceiptsTold
from kapso_sync.formats.item import Delivery, Item, Json
from kapso_sync.formats.message import Telling, direction_from_sender, item_of, own_digits
from kapso_sync.formats.person import first, name_of
from kapso_sync.formats.reading import (
    clean_text,
    dig,
    moment,
    number_id,
    phone,
    rows,
    table,
    text,
    user_id,
    user_id_for_phone,
    username,
    vocabulary,
    wamid,
    word,
)
from kapso_sync.formats.receipts import UNEXPLAINED, error_code, explained, receipts_in, status_word

WORD_LENGTH = 64
HISTORY_DECLINED = 2593109


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What all parts of one change share. `name` is its field, `cards` its contacts[] by digits and by user id."""

    number: str
    name: str
    own: frozenset[str]
    delivery: Delivery
    cards: Mapping[str, Json] = field(default_factory=dict)

    def ignored(self, reason: str, *, counted: str = "") -> Item:
        return Item(number=self.number, ignored=reason, counted=counted)

    def card(self, digits: object, person_id: object) -> Json:
        """The card of this very person: contacts[] has no order that could be relied on."""
        found = phone(digits) or user_id_for_phone(digits)
        return self.cards.get(found or "") or self.cards.get(user_id(person_id) or "") or {}

    def moment(self, value: object) -> datetime:
        return moment(value, self.delivery.received_at) or self.delivery.received_at

    def source(self, index: int) -> str:
        return self.delivery.of_item(index).source


Part = tuple["Handler", Any]
Handler = Callable[[Any, Change, int], Item]


def parts(payload: Json, delivery: Delivery) -> Iterator[tuple[Handler, Any, Change]]:
    """Every part of the payload with what reads it."""
    for entry in rows(payload.get("entry")):
        for told in rows(dig(entry, "changes")):
            change = _change(table(told), delivery)
            for handler, part in _parts(change, table(dig(told, "value"))):
                yield handler, part, change


def fields_of(payload: Json) -> list[str]:
    changes = [change for entry in rows(payload.get("entry")) for change in rows(dig(entry, "changes"))]
    return list(dict.fromkeys(filter(None, (word(dig(change, "field"), WORD_LENGTH) for change in changes))))


def numbers_in(payload: Json) -> list[str]:
    changes = (change for entry in rows(payload.get("entry")) for change in rows(dig(entry, "changes")))
    return [number_id(dig(change, "value", "metadata", "phone_number_id")) for change in changes]


def _change(told: Json, delivery: Delivery) -> Change:
    value = table(told.get("value"))
    number = number_id(dig(value, "metadata", "phone_number_id"))
    cards: dict[str, Json] = {}
    for card in map(table, rows(value.get("contacts"))):
        wa_id = card.get("wa_id")
        for key in (phone(wa_id) or user_id_for_phone(wa_id), user_id(card.get("user_id"))):
            if key:
                cards.setdefault(key, card)
    return Change(
        number=number,
        name=word(told.get("field"), WORD_LENGTH),
        own=own_digits(delivery.own_phones.get(number), dig(value, "metadata", "display_phone_number")),
        delivery=delivery,
        cards=cards,
    )


def _parts(change: Change, value: Json) -> Iterator[Part]:
    if change.name and change.name not in FIELDS:
        yield _unused_field, None
        return
    found = [(handler, part) for key, handler in HANDLERS.items() for part in rows(value.get(key))]
    found += [part for chunk in rows(value.get("history")) for part in _history_parts(table(chunk))]
    yield from found or [(_nothing, None)]


def _history_parts(chunk: Json) -> list[Part]:
    found: list[Part] = [(_history_error, error) for error in rows(chunk.get("errors"))]
    for thread in map(table, rows(chunk.get("threads"))):
        found += [(_history_message, (thread.get("id"), message)) for message in rows(thread.get("messages"))]
    return found


def _unused_field(_: object, change: Change, __: int) -> Item:
    counted = f"unused Meta field: {vocabulary(change.name)}"
    return change.ignored(f"Meta's field {change.name} is not used", counted=counted)


def _nothing(_: object, change: Change, __: int) -> Item:
    reason = f"nothing in it to apply (Meta's field {change.name or 'missing'})"
    return change.ignored(reason, counted="nothing in it to apply")


def _message(part: object, change: Change, index: int) -> Item:
    """From a customer, unless its sender is the business; under field `history` these are media that came later."""
    message = table(part)
    imported = change.name == "history"
    direction = direction_from_sender(message, change.own)
    side = "from" if direction == "inbound" else "to"
    return item_of(
        Telling(
            number=change.number,
            message=message,
            direction=direction,
            received_at=change.delivery.received_at,
            source=change.source(index),
            origin="history_sync" if imported else "cloud_api",
            own=change.own,
            contact=change.card(message.get(side), message.get(f"{side}_user_id")),
            own_word=_history_word(message) or "sent",
            word_timed=not _history_word(message),
        )
    )


def _echo(part: object, change: Change, index: int) -> Item:
    """Typed by a person in the WhatsApp Business app."""
    message = table(part)
    return item_of(
        Telling(
            number=change.number,
            message=message,
            direction="outbound",
            received_at=change.delivery.received_at,
            source=change.source(index),
            origin="business_app",
            own=change.own,
            contact=change.card(message.get("to"), message.get("to_user_id")),
            own_word="sent",
        )
    )


def _history_message(part: tuple[object, object], change: Change, index: int) -> Item:
    customer, message = part[0], table(part[1])
    outbound = not _from_customer(message, customer, change.own)
    side = "to" if outbound else "from"
    return item_of(
        Telling(
            number=change.number,
            message=message,
            direction="outbound" if outbound else "inbound",
            received_at=change.delivery.received_at,
            source=change.source(index),
            origin="history_sync",
            own=change.own,
            conversation={"phone_number": customer},
            contact=change.card(message.get(side) or customer, message.get(f"{side}_user_id")),
            own_word=_history_word(message) or "sent",
            word_timed=not _history_word(message),
        )
    )


def _from_customer(message: Json, customer: object, own: frozenset[str]) -> bool:
    """The thread's id is the customer, which tells who wrote where the business number is not known."""
    sender, theirs = phone(message.get("from")), phone(customer)
    if sender and own:
        return sender not in own
    return sender == theirs if sender and theirs else not message.get("to")


def _history_word(message: Json) -> str:
    """What became of an imported message: it happened, nobody says when."""
    told = status_word(dig(message, "history_context", "status"))
    return "failed" if told == "error" else told


def _history_error(part: object, change: Change, _: int) -> Item:
    if error_code(dig(part, "code")) == HISTORY_DECLINED:
        return change.ignored("the owner declined to share history")
    return change.ignored(f"history error {_error_text(part)}", counted="a history error")


def _status(part: object, change: Change, _: int) -> Item:
    """Only ids, no text: never made into a message."""
    status = table(part)
    if status.get("recipient_type") == "group":
        return change.ignored("a status of a group message")
    found, receipts = wamid(status.get("id")), explained(receipts_in(status, change.delivery.received_at))
    if not found or not receipts:
        return change.ignored("a status without a message id or without a word")
    return Item(
        number=change.number,
        events=(ReceiptsTold(number=change.number, wamid=found, receipts=receipts),),
    )


def _account_error(part: object, change: Change, _: int) -> Item:
    return change.ignored(f"account error {_error_text(part)}", counted="an account error")


def _error_text(error: object) -> str:
    code = error_code(dig(error, "code"))
    details = (dig(error, "error_data", "details"), dig(error, "message"), dig(error, "title"))
    message = next(filter(None, map(text, details)), UNEXPLAINED if code is None else "")
    return f"{'' if code is None else code} {message}".strip()[:200]


def _call(_: object, change: Change, __: int) -> Item:
    return change.ignored("calls are not used")


def _address_book_entry(part: object, change: Change, index: int) -> Item:
    """An entry of the phone's address book; that it was removed there deletes nobody here."""
    contact, action = table(dig(part, "contact")), word(dig(part, "action"), WORD_LENGTH)
    if action != "add":
        reason = f"address book action {action or 'missing'} changes nothing"
        return change.ignored(reason, counted="an address book action that changes nothing")
    digits = phone(contact.get("phone_number"), change.own)
    person = Person(
        phone=digits,
        user_id=user_id(contact.get("user_id")) or user_id_for_phone(contact.get("phone_number")),
        username=username(contact.get("username")),
    )
    names = iter((contact.get("full_name"), contact.get("first_name")))
    called = first(lambda value: name_of(value, digits), names)
    if not called or not (person.phone or person.user_id):
        return change.ignored("an address book entry without a name or without a usable phone number")
    told = ProfileTold(
        number=change.number,
        person=person,
        at=change.moment(dig(part, "metadata", "timestamp")),
        source=change.source(index),
        address_book_name=called,
    )
    return Item(number=change.number, events=(told,))


def _preference(part: object, change: Change, index: int) -> Item:
    category, value = dig(part, "category"), word(dig(part, "value"), WORD_LENGTH).lower()
    person = _person(dig(part, "wa_id"), dig(part, "user_id"), dig(part, "parent_user_id"), change)
    if category not in (None, "marketing_messages"):
        reason = f"preference of category {clean_text(str(category))[:WORD_LENGTH]} is not used"
        return change.ignored(reason, counted="a preference of another category")
    if not value or not (person.phone or person.user_id):
        return change.ignored("a preference without a person or without a choice")
    told = ProfileTold(
        number=change.number,
        person=person,
        at=change.moment(dig(part, "timestamp")),
        source=change.source(index),
        marketing=value,
    )
    return Item(number=change.number, events=(told,))


def _user_id_update(part: object, change: Change, index: int) -> Item:
    previous = dig(part, "user_id", "previous"), dig(part, "parent_user_id", "previous")
    current = dig(part, "user_id", "current"), dig(part, "parent_user_id", "current")
    before, after = _person(None, *previous, change), _person(dig(part, "wa_id"), *current, change)
    if not before.user_id or not after.user_id or before.user_id == after.user_id:
        return change.ignored("a user id update without a previous and another current id")
    at = moment(dig(part, "timestamp"), change.delivery.received_at)
    told = IdentityChanged(
        number=change.number,
        before=before,
        after=after,
        at=at or change.delivery.received_at,
        source="" if at else change.source(index),
    )
    return Item(number=change.number, events=(told,))


def _person(digits: object, person_id: object, parent_id: object, change: Change) -> Person:
    return Person(
        phone=phone(digits, change.own),
        user_id=user_id(person_id) or user_id_for_phone(digits),
        parent_user_id=user_id(parent_id),
    )


# developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components: the fields that we read, and in any of them the
# lists that a `value` may hold.
FIELDS = {
    "messages",
    "smb_message_echoes",
    "smb_app_state_sync",
    "history",
    "user_id_update",
    "user_preferences",
    "calls",
}
HANDLERS: dict[str, Handler] = {
    "messages": _message,
    "statuses": _status,
    "errors": _account_error,
    "message_echoes": _echo,
    "state_sync": _address_book_entry,
    "user_id_update": _user_id_update,
    "user_preferences": _preference,
    "calls": _call,
}
