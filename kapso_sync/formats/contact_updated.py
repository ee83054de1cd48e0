"""`contact.updated` and the marketing choice: what is said of a person outside of any message (CONTRACT.md 7.5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from contacts.events import Person, ProfileTold
from kapso_sync.formats import noting
from kapso_sync.formats.item import Delivery, Item, Json
from kapso_sync.formats.kapso_v2 import number_of
from kapso_sync.formats.message import own_digits
from kapso_sync.formats.person import Path, first, name_of
from kapso_sync.formats.reading import (
    dig,
    first_moment,
    phone,
    table,
    user_id,
    user_id_for_phone,
    username,
    word,
)

MARKETING_LENGTH = 64

# Either word of each pair may be used, in `contact` or in `data`: all eight combinations occur.
PHONE: tuple[Path, ...] = (("phone_number",), ("wa_id",), ("phone",))
USER_ID: tuple[Path, ...] = (("business_scoped_user_id",), ("user_id",))
PARENT: tuple[Path, ...] = (("parent_business_scoped_user_id",), ("parent_user_id",))
USERNAME: tuple[Path, ...] = (("username",), ("profile", "username"))
NAME: tuple[Path, ...] = (("display_name",), ("profile", "name"))
MARKETING: tuple[Path, ...] = (("value",), ("marketing_preference",), ("preference",), ("status",))
TIME: tuple[Path, ...] = (("timestamp",), ("occurred_at",), ("updated_at",))


def contact_item(body: Json, _: str, delivery: Delivery) -> Item:
    number = number_of(body)
    person = _person(body, number, delivery)
    if not (person.phone or person.user_id):
        return Item(number=number, ignored="contact.updated without a usable phone number")
    if not person.name:
        return Item(number=number, ignored="contact.updated without a name")
    told = ProfileTold(
        number=number,
        person=person,
        at=_at(body, delivery.received_at),
        source=delivery.source,
        counts_as_activity=True,
    )
    return Item(number=number, events=(told,), notes=noting.on_ids(_named_ids(body)))


def marketing_item(body: Json, event: str, delivery: Delivery) -> Item:
    """Kapso names the event and shows no body: read as leniently as its twin in Meta's format allows."""
    number = number_of(body)
    person = _person(body, number, delivery)
    marketing = first(lambda value: word(value, MARKETING_LENGTH).lower(), _values(_places(body), MARKETING))
    if not (person.phone or person.user_id) or not marketing:
        reason = f"{event} without a person or without a choice"
        return Item(number=number, ignored=reason, counted=reason)
    told = ProfileTold(
        number=number,
        person=person,
        at=_at(body, delivery.received_at),
        source=delivery.source,
        marketing=marketing,
    )
    return Item(number=number, events=(told,), notes=noting.on_ids(_named_ids(body)))


def _places(body: Json) -> list[Json]:
    return [table(body.get("contact")), table(body.get("data")), body]


def _person(body: Json, number: str, delivery: Delivery) -> Person:
    own = own_digits(delivery.own_phones.get(number))
    places = _places(body)
    digits = first(lambda value: phone(value, own), _values(places, PHONE))
    return Person(
        phone=digits,
        user_id=first(user_id, _values(places, USER_ID)) or first(user_id_for_phone, _values(places, PHONE)),
        parent_user_id=first(user_id, _values(places, PARENT)),
        username=first(username, _values(places, USERNAME)),
        name=first(lambda value: name_of(value, digits), _values(places, NAME)),
    )


def _named_ids(body: Json) -> Iterator[tuple[str, Any]]:
    return ((".".join(path), dig(place, *path)) for place in _places(body) for path in (*USER_ID, *PARENT))


def _at(body: Json, received_at: datetime) -> datetime:
    contact, data, top = _places(body)
    return first_moment(received_at, *_values([top, contact, data], TIME)) or received_at


def _values(places: list[Json], paths: tuple[Path, ...]) -> Iterator[Any]:
    return (dig(place, *path) for place in places for path in paths)
