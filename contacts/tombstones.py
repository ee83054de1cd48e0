"""Whose events do nothing any more: people who were erased stay gone, whatever is replayed, retried or imported.

An erasure leaves salted hashes (contacts.models.Tombstone) of the person's phones, user ids, sessions and WAMIDs. The
first statement of every batch asks for those of what the batch names, so live webhooks, replays, retries, imports and
rebuilds all meet them. Whether an event is dropped depends on the event and the tombstones alone, never on the order
in which events come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from contacts.events import (
    Event,
    IdentityChanged,
    MessageTold,
    Person,
    ProfileTold,
    ReceiptsTold,
    SessionTold,
)
from contacts.models import PhoneNumber

Mark = tuple[int, str, str]  # workspace, kind, value: what a tombstone may stand for

ERASED = "It is about somebody who was erased."


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a tombstone covers: up to `until`, from `since` on (None: from the beginning)."""

    since: datetime | None
    until: datetime

    def covers(self, at: datetime) -> bool:
        return at <= self.until and (self.since is None or at >= self.since)


Tombstones = Mapping[Mark, Span]
NOBODY: Tombstones = {}


class ErasedPeople(Exception):  # noqa: N818 - not an error: the batch has to be applied again, without them
    """The batch tells of people who were erased: roll back, and apply it again with these `tombstones`."""

    def __init__(self, tombstones: Tombstones) -> None:
        super().__init__()
        self.tombstones = tombstones


def marks(number: PhoneNumber, event: Event) -> Iterator[Mark]:
    """Everything in an event that somebody who was erased could be known by."""
    workspace = number.workspace_id
    match event:
        case MessageTold():
            yield workspace, "message", message_key(number.phone_number_id, event.wamid)
            yield from _people(number, event.person)
            if event.session:
                yield workspace, "session", event.session.kapso_id
        case ReceiptsTold():
            yield workspace, "message", message_key(number.phone_number_id, event.wamid)
        case ProfileTold():
            yield from _people(number, event.person)
        case SessionTold():
            yield workspace, "session", event.session.kapso_id
            yield from _people(number, event.person)
        case IdentityChanged():
            yield from _people(number, event.before)
            yield from _people(number, event.after)
            if event.message:
                yield from marks(number, event.message)


def message_key(number_id: str, wamid: str) -> str:
    """The value of a message's mark: a WAMID is one message for each number (`number_id` is Meta's)."""
    return f"{number_id}/{wamid}"


def is_erased(number: PhoneNumber, event: Event, tombstones: Tombstones) -> bool:
    """Whether the event is about somebody who was erased, and from before that.

    A message that was erased is dropped whenever it is told of. Anything else is theirs up to the time that the
    tombstone says: what they write later makes a new lead.
    """
    if not tombstones:
        return False
    workspace = number.workspace_id
    match event:
        case MessageTold():
            named = list(_people(number, event.person))
            if not named and event.session:  # it belongs to whom its session names (contacts.people)
                named = [(workspace, "session", event.session.kapso_id)]
            return (
                workspace,
                "message",
                message_key(number.phone_number_id, event.wamid),
            ) in tombstones or _any(named, event.at, tombstones)
        case ReceiptsTold():
            return (workspace, "message", message_key(number.phone_number_id, event.wamid)) in tombstones
        case ProfileTold():
            return _any(_people(number, event.person), event.at, tombstones)
        case SessionTold():
            return _any(marks(number, event), event.session.at, tombstones)
        case IdentityChanged():
            named = [*_people(number, event.before), *_people(number, event.after)]
            told = event.message is not None and is_erased(number, event.message, tombstones)
            return told or _any(named, event.at, tombstones)
    return False


def raise_if_erased(told: Sequence[tuple[PhoneNumber, Event]], found: Tombstones) -> None:
    if found and any(is_erased(number, event, found) for number, event in told):
        raise ErasedPeople(found)


def _people(number: PhoneNumber, person: Person) -> Iterator[Mark]:
    """The business number itself is nobody (EDGE_CASES.md 84)."""
    if person.phone and person.phone != number.own_phone:
        yield number.workspace_id, "phone", person.phone
    if person.user_id:
        yield number.workspace_id, "user", person.user_id


def _any(named: Iterable[Mark], at: datetime, tombstones: Tombstones) -> bool:
    return any(mark in tombstones and tombstones[mark].covers(at) for mark in named)
