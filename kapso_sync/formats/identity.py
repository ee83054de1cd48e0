"""System lines in which WhatsApp says that a person's number or user id changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace

from contacts.events import IdentityChanged, MessageTold, Person
from kapso_sync.formats.item import Json
from kapso_sync.formats.reading import phone, table, text, user_id, user_id_for_phone

# "User NAME changed from OLD to NEW": a name may read like this itself, so only the end of the text counts.
CHANGED = re.compile(r".*changed from (\S{1,256}) to \S{1,257}\s*", re.DOTALL)
LONGEST_ENDING = 600


def identity_changed(told: MessageTold, message: Json, own: Collection[str]) -> MessageTold | IdentityChanged:
    """The change that a system line tells, or the line alone where it names only one side."""
    system = table(message.get("system"))
    sides = SIDES.get(text(system.get("type")))
    if sides is None:
        return told
    before, after = sides(system, message.get("from"), own), _after(system, own)
    if before == after or not _named(before) or not _named(after):
        return told
    return IdentityChanged(
        number=told.number,
        before=before,
        after=after,
        at=told.at,
        source=told.source,
        message=replace(told, person=before),
    )


def _number_before(_: Json, sender: object, own: Collection[str]) -> Person:
    return Person(phone=phone(sender, own), user_id=user_id_for_phone(sender))


def _user_id_before(system: Json, sender: object, own: Collection[str]) -> Person:
    previous = user_id(system.get("previous_user_id")) or _parsed(system) or user_id_for_phone(sender)
    return Person(user_id=previous) if previous else Person(phone=phone(sender, own))


def _after(system: Json, own: Collection[str]) -> Person:
    new = system.get("wa_id")
    return Person(phone=phone(new, own), user_id=user_id(system.get("user_id")) or user_id_for_phone(new))


def _parsed(system: Json) -> str | None:
    found = CHANGED.fullmatch(text(system.get("body"))[-LONGEST_ENDING:])
    return user_id(found.group(1)) if found else None


def _named(person: Person) -> bool:
    return bool(person.phone or person.user_id)


# CONTRACT.md 8.5, after developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components, "system object"
SIDES: dict[str, Callable[[Json, object, Collection[str]], Person]] = {
    "user_changed_number": _number_before,
    "user_changed_user_id": _user_id_before,
}
