"""One person's export, with the deliveries that told of them (contacts.exporting)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from contacts.erasing import Person
from contacts.exporting import export
from kapso_sync.finding import Finder, batches, deliveries_of, marks_of
from kapso_sync.models import WebhookDelivery
from kapso_sync.parts import told_by

OF_OTHERS = "It also tells of other people."


def export_person(person: Person, *, on_batch: Callable[[int], None] = lambda _: None) -> Iterator[str]:
    """The document in pieces; `on_batch` is told how many deliveries were looked through."""
    return export(person, deliveries=_deliveries(person, on_batch))


def _deliveries(person: Person, on_batch: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    """A body that tells of others, too, is named and not handed out: what it says of the person is in `messages`."""
    finder = Finder(person)
    for batch in batches(deliveries_of(person.workspace_id)):
        found = finder.found(batch)
        others = _of_others(found, person)
        for delivery in found:
            withheld = id(delivery) in others
            yield {
                "id": delivery.pk,
                "received_at": delivery.received_at,
                "event": delivery.event,
                "body": None
                if withheld
                else delivery.raw_body.decode(errors="replace").replace("\x00", "\ufffd"),
                "withheld": OF_OTHERS if withheld else "",
            }
        on_batch(len(batch))


def _of_others(deliveries: list[WebhookDelivery], person: Person) -> set[int]:
    """Which of these, by `id()`, name somebody besides the person."""
    known = {(person.workspace_id, held.kind, held.value) for held in person.identities} | person.marks
    return {
        id(part.delivery)
        for part in told_by(deliveries)
        if any(
            kind in ("phone", "user") and (w, kind, value) not in known for w, kind, value in marks_of(part)
        )
    }
