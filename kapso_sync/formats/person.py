"""Who a message or a conversation event is about: the customer, never the business number itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from contacts.events import Direction, Person
from kapso_sync.formats.item import Json
from kapso_sync.formats.reading import (
    dig,
    name,
    parent_id_for_phone,
    phone,
    rows,
    table,
    user_id,
    user_id_for_phone,
    username,
)

Path = tuple[str, ...]

# Where to look, first usable wins: CONTRACT.md 8.2. "contact" is Meta's contacts[] card of this person, "status" what
# the newest statuses[] entry says of the recipient.
PHONE: dict[Direction, tuple[Path, ...]] = {
    "inbound": (
        ("message", "from"),
        ("conversation", "phone_number"),
        ("message", "kapso", "phone_number"),
        ("message", "conversation_phone_number"),
        ("contact", "wa_id"),
    ),
    "outbound": (
        ("message", "to"),
        ("status", "recipient_id"),
        ("conversation", "phone_number"),
        ("message", "kapso", "phone_number"),
        ("message", "conversation_phone_number"),
    ),
}
USER_ID: dict[Direction, tuple[Path, ...]] = {
    "inbound": (
        ("message", "business_scoped_user_id"),
        ("message", "from_user_id"),
        ("conversation", "business_scoped_user_id"),
        ("contact", "user_id"),
    ),
    "outbound": (
        ("message", "to_user_id"),
        ("status", "recipient_user_id"),
        ("message", "business_scoped_user_id"),
        ("conversation", "business_scoped_user_id"),
        ("contact", "user_id"),
    ),
}
PARENT: dict[Direction, tuple[Path, ...]] = {
    "inbound": (
        ("message", "parent_business_scoped_user_id"),
        ("message", "from_parent_user_id"),
        ("conversation", "parent_business_scoped_user_id"),
        ("contact", "parent_user_id"),
    ),
    "outbound": (
        ("message", "to_parent_user_id"),
        ("message", "parent_business_scoped_user_id"),
        ("conversation", "parent_business_scoped_user_id"),
        ("contact", "parent_user_id"),
    ),
}
USERNAME: tuple[Path, ...] = (
    ("message", "username"),
    ("conversation", "username"),
    ("contact", "profile", "username"),
)
NAME: tuple[Path, ...] = (
    ("conversation", "kapso", "contact_name"),
    ("conversation", "contact_name"),
    ("message", "kapso", "contact_name"),
    ("message", "contact_name"),
    ("contact", "profile", "name"),
)


def person_in(
    *, direction: Direction, own: Collection[str], message: Json, conversation: Json, contact: Json
) -> Person:
    around = {
        "message": message,
        "conversation": conversation,
        "contact": contact,
        "status": _recipient(message),
    }
    phones = [dig(around, *path) for path in PHONE[direction]]
    found = first(lambda value: phone(value, own), iter(phones))
    return Person(
        phone=found,
        user_id=first(user_id, _values(around, USER_ID[direction])) or first(user_id_for_phone, iter(phones)),
        parent_user_id=first(user_id, _values(around, PARENT[direction]))
        or first(parent_id_for_phone, iter(phones)),
        username=first(username, _values(around, USERNAME)),
        name=first(lambda value: name_of(value, found), _values(around, NAME)),
    )


def name_of(value: object, digits: str | None) -> str | None:
    """A name; where it only repeats the phone, nobody has told one."""
    found = name(value)
    return None if found and digits and phone(found) == digits else found


def first(read: Callable[[Any], str | None], values: Iterator[Any]) -> str | None:
    """What the first usable one says; an empty one says nothing, whatever is read from it."""
    for value in values:
        if value and (found := read(value)):
            return found
    return None


def _values(around: Json, paths: tuple[Path, ...]) -> Iterator[Any]:
    return (dig(around, *path) for path in paths)


def _recipient(message: Json) -> Json:
    """The recipient fields of all statuses; the last one that fills a field wins."""
    statuses = map(table, rows(dig(message, "kapso", "statuses")))
    return {key: value for status in statuses for key, value in status.items() if value and key in RECIPIENT}


RECIPIENT = {"recipient_id", "recipient_user_id"}
