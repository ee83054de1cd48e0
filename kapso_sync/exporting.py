"""One person's export, with the deliveries that told of them (contacts.exporting)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from contacts.erasing import Person
from contacts.events import AutomationTold, Event
from contacts.exporting import export
from contacts.models import KapsoSession
from contacts.tombstones import Mark, marks
from kapso_sync.finding import Finder, deliveries_of
from kapso_sync.models import WebhookDelivery
from kapso_sync.parts import Part, told_by
from kapso_sync.replaying import in_batches

# Why a body is not handed out.
NOT_READ = "Not all of it could be read, so it may tell of other people."
ELSEWHERE = "It also tells of a number that is not this workspace's."
OF_OTHERS = "It also tells of other people."


def export_person(person: Person, *, on_batch: Callable[[int], None] = lambda _: None) -> Iterator[str]:
    """The document in pieces; `on_batch` is told how many deliveries were looked through."""
    return export(person, deliveries=_deliveries(person, on_batch))


def _deliveries(person: Person, on_batch: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    """A body is handed out only if all of it is known to be about the person, and named otherwise: what it says of them
    is in `messages`.
    """
    finder = Finder(person)
    theirs = Theirs(person)
    for batch in in_batches(deliveries_of(person.workspace_id)):
        found = finder.found(batch)
        withheld = theirs.withheld(found)
        for delivery in found:
            reason = withheld.get(id(delivery), "")
            body = delivery.raw_body.decode(errors="replace").replace("\x00", "\ufffd")
            yield {
                "id": delivery.pk,
                "received_at": delivery.received_at,
                "event": delivery.event,
                "body": None if reason else body,
                "withheld": reason,
            }
        on_batch(len(batch))


class Theirs:
    """Knows what is about one person alone. What it does not know is somebody else's."""

    def __init__(self, person: Person) -> None:
        self.workspace_id = person.workspace_id
        self.marks = person.marks
        named = {(person.workspace_id, held.kind, held.value) for held in person.identities}
        self.known = named | self.marks
        sessions = set(person.sessions.values())
        elsewhere = KapsoSession.objects.filter(kapso_conversation_id__in=sessions)
        elsewhere = elsewhere.exclude(workspace=person.workspace_id)
        self.sessions = sessions - set(elsewhere.values_list("kapso_conversation_id", flat=True))

    def withheld(self, deliveries: Sequence[WebhookDelivery]) -> dict[int, str]:
        """Why which of these, by `id()`, are not handed out."""
        reasons: dict[int, str] = {}
        for part in told_by(deliveries):
            reason = self._reason(part)
            if reason:
                reasons.setdefault(id(part.delivery), reason)
        return reasons

    def _reason(self, part: Part) -> str:
        if not part.events:
            return NOT_READ
        number = part.number
        if number is None:
            is_theirs = all(self._is_their_automation(event) for event in part.events)
            return "" if is_theirs else ELSEWHERE
        if number.workspace_id != self.workspace_id:
            return ELSEWHERE
        return "" if all(self._is_theirs(set(marks(number, event))) for event in part.events) else OF_OTHERS

    def _is_their_automation(self, event: Event) -> bool:
        return isinstance(event, AutomationTold) and event.session_id in self.sessions

    def _is_theirs(self, told: set[Mark]) -> bool:
        people = {mark for mark in told if mark[1] in ("phone", "user")}
        return people <= self.known and not self.marks.isdisjoint(told)
