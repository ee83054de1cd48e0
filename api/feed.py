"""The feed of changes: what changed after a cursor, each row as it is now and as its own resource shows it.

Whoever keeps a copy takes a cursor, then lists everything, and then follows from that cursor; so nothing is missed, and
what comes twice is the same or newer. What the user does not see (any more) is told as deleted, whether it is there or
not. A cursor goes with the rights that it was given for: with others there would be rows that never change and yet
come or go, so the copy has to be made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from django.db.models import QuerySet
from rest_framework.serializers import ModelSerializer

from api import cursors
from api.cursors import Unreadable
from api.serializers.contacts import ContactSerializer
from api.serializers.talk import ConversationSerializer, MessageSerializer
from contacts import news
from contacts.lead_standing import with_standing
from contacts.models import Contact, Conversation, Message
from contacts.news import Changed, Kind, News, Position
from contacts.rights import Rights


class RightsChanged(Exception):  # noqa: N818 - said to clients, not raised by a fault
    """The cursor was given to somebody who saw something else."""


class Entry(TypedDict):
    kind: str
    id: int
    deleted: bool
    data: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Shape:
    """How the rows of a kind are read and shown: by the same rights and in the same words as their own resource."""

    serializer: type[ModelSerializer[Any]]
    visible: Callable[[Rights, datetime], QuerySet[Any]]


def _contacts(rights: Rights, now: datetime) -> QuerySet[Any]:
    return with_standing(Contact.objects.living().filter(rights.leads()), now)


SHAPES = {
    Kind.CONTACT: Shape(ContactSerializer, _contacts),
    Kind.CONVERSATION: Shape(
        ConversationSerializer, lambda rights, _: Conversation.objects.filter(rights.of_leads())
    ),
    Kind.MESSAGE: Shape(MessageSerializer, lambda rights, _: Message.objects.filter(rights.of_leads())),
}
NAMES = {kind: kind.name.lower() for kind in Kind}


def cursor_of(rights: Rights, position: Position) -> str:
    return cursors.write(rights.fingerprint, position.xid, position.entry)


def position_of(rights: Rights, cursor: str) -> Position:
    """Raises `Unreadable`, and `RightsChanged`."""
    parts = cursors.read(cursor)
    if [type(part) for part in parts] != [str, int, int] or min(parts[1:]) < 0:
        raise Unreadable
    if parts[0] != rights.fingerprint:
        raise RightsChanged
    return Position(*parts[1:])


def look(rights: Rights, after: Position, limit: int) -> News:
    """What changed; one statement. Raises `news.TooOld`."""
    return news.read(after, workspaces=rights.places, limit=limit)


def entries(rights: Rights, changed: Iterable[Changed], now: datetime) -> list[Entry]:
    """As the rows are now: a statement for each kind. Read after `look`, so each is at least as new as its change."""
    changed = list(changed)
    shown: dict[Changed, dict[str, Any]] = {}
    for kind, shape in SHAPES.items():
        keys = [change.row_id for change in changed if change.kind == kind]
        rows = shape.visible(rights, now).filter(pk__in=keys)
        for data in shape.serializer(rows, many=True, context={"now": now, "rights": rights}).data:
            shown[Changed(kind, data["id"])] = data
    return [
        {
            "kind": NAMES[change.kind],
            "id": change.row_id,
            "deleted": change not in shown,
            "data": shown.get(change),
        }
        for change in changed
    ]
