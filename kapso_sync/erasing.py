"""Erasing one person from everything: the stored deliveries here, the CRM in contacts.erasing.

Bodies first: as long as the lead is there, an erasure that was interrupted can be started again. Then the CRM, with the
tombstones, in one transaction. Then the bodies that came meanwhile; whatever comes later finds the tombstones, and its
body is cleared as soon as it is stored (kapso_sync.clearing).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from contacts import erasing
from contacts.erasing import Named, Person
from contacts.events import AutomationTold
from contacts.models import PhoneNumber
from contacts.tombstones import ERASED, Mark, Tombstones, is_erased, marks
from kapso_sync import sync
from kapso_sync.clearing import FINISHED, clear
from kapso_sync.models import WebhookDelivery, WebhookDeliveryQuerySet
from kapso_sync.sync import Part

BATCH_SIZE = 500
# How long ago a delivery may have been received that was committed only now, with a wide margin.
LATE = timedelta(hours=1)


@dataclass(slots=True)
class Erased:
    """What came of an erasure."""

    person: Person
    bodies: int = 0
    never_applied: int = 0  # of those, how many others' events could not be applied before


def erase_person(
    workspace_id: int,
    lead_id: int | None,
    named: Sequence[Named] = (),
    *,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Erased:
    """Erase the lead, or whoever the identities `named` belong to, from the CRM and from every stored delivery.

    May be interrupted and started again: by the lead as long as there is one, then by a phone or user id. `on_batch`
    is told how many deliveries were looked through.
    """
    started = timezone.now()
    outcome = Erased(Person.of(workspace_id, lead_id, named))
    _clear_bodies(outcome, on_batch=on_batch)
    outcome.person = erasing.erase(workspace_id, lead_id, named)
    _clear_bodies(outcome, since=started - LATE)
    _clear_errors(outcome.person)
    return outcome


def bodies_of(workspace_id: int) -> WebhookDeliveryQuerySet:
    """The deliveries that may tell of somebody in this workspace, and still have a body."""
    return _deliveries_of(workspace_id).with_bodies()


def _deliveries_of(workspace_id: int) -> WebhookDeliveryQuerySet:
    return WebhookDelivery.objects.filter(Q(workspace=workspace_id) | Q(workspace=None))


class Finder:
    """Knows a person again in what was delivered, whether or not it could be read."""

    def __init__(self, person: Person) -> None:
        self.marks = person.marks
        self.workspace_id = person.workspace_id
        numbers = PhoneNumber.objects.filter(workspace=person.workspace_id)
        self.numbers = set(numbers.values_list("phone_number_id", flat=True))
        self.words = {value for _, kind, value in self.marks if kind != "phone"}
        # The digits one after the other, with whatever people put between them.
        phones = (r"[^0-9]{0,3}".join(phone) for phone in person.phones)
        wamids = (rf"wamid\.[\w+/]{{4}}{re.escape(hidden)}" for hidden in person.hidden_in_wamids)
        patterns = [*phones, *wamids]
        self.pattern = re.compile("|".join(patterns)) if patterns else None

    def found(self, deliveries: Sequence[WebhookDelivery]) -> list[WebhookDelivery]:
        """Those of the deliveries that tell of the person, or of somebody who was erased before."""
        parts = sync.told_by(deliveries)
        told = {mark for part in parts for mark in _marks(part)}
        erased = erasing.tombstones_of(told)
        about = {id(part.delivery) for part in parts if self._is_about(part, erased)}
        return [d for d in deliveries if id(d) in about or (self._is_ours(d) and self.names(_text(d)))]

    def names(self, text: str) -> bool:
        if self.pattern and self.pattern.search(text):
            return True
        return bool(self.words) and not self.words.isdisjoint(_words(text))

    def _is_about(self, part: Part, erased: Tombstones) -> bool:
        number = part.number
        if number is None:
            ids = {event.session_id for event in part.events if isinstance(event, AutomationTold)}
            return any((self.workspace_id, "session", session) in self.marks for session in ids)
        if not self.marks.isdisjoint(_marks(part)):
            return True
        return any(is_erased(number, event, erased) for event in part.events)

    def _is_ours(self, delivery: WebhookDelivery) -> bool:
        """What names only others' numbers is not ours to clear, even if the same person is in it."""
        named = delivery.numbers_named
        return delivery.workspace_id is not None or not named or not self.numbers.isdisjoint(named)


def _marks(part: Part) -> set[Mark]:
    number = part.number
    return {mark for event in part.events for mark in marks(number, event)} if number else set()


def _words(text: str) -> Iterator[str]:
    return (match[0] for match in re.finditer(r'[^\s"\\,{}\[\]]+', text))


def _text(delivery: WebhookDelivery) -> str:
    """The body as it came, and with what JSON escapes written out."""
    raw = delivery.raw_body.decode(errors="replace")
    if "\\" not in raw or delivery.unparseable:
        return raw
    try:
        return f"{raw}\n{json.dumps(delivery.payload, ensure_ascii=False)}"
    except (ValueError, RecursionError):
        return raw


def batches(deliveries: WebhookDeliveryQuerySet, size: int = BATCH_SIZE) -> Iterator[list[WebhookDelivery]]:
    """In the order of arrival; memory is bounded by the batch."""
    keys = list(deliveries.order_by("id").values_list("pk", flat=True))
    for start in range(0, len(keys), size):
        yield list(WebhookDelivery.objects.filter(pk__in=keys[start : start + size]).replayable())


def _clear_bodies(
    outcome: Erased, *, since: datetime | None = None, on_batch: Callable[[int], None] = lambda _: None
) -> None:
    deliveries = bodies_of(outcome.person.workspace_id)
    finder = Finder(outcome.person)
    for batch in batches(deliveries.filter(received_at__gte=since) if since else deliveries):
        found = finder.found(batch)
        if found:
            _clear(outcome, found)
        on_batch(len(batch))


def _clear(outcome: Erased, found: list[WebhookDelivery]) -> None:
    """Others lose nothing: what they are told in the same bodies is applied, where it was not yet, and sealed."""
    unfinished = [delivery for delivery in found if delivery.status not in FINISHED]
    if unfinished:
        sync.replay(unfinished)
    outcome.never_applied += sum(delivery.status not in FINISHED for delivery in unfinished)
    outcome.bodies += len(found)
    left = [delivery for delivery in found if delivery.body_cleared_at is None]
    with transaction.atomic():
        clear(left, sync.told_by(left), unfinished=ERASED, reason=ERASED)


def _clear_errors(person: Person) -> None:
    """What a delivery without a body says of itself may name a session or quote somebody."""
    finder = Finder(person)
    told = _deliveries_of(person.workspace_id).without_bodies().exclude(error="").exclude(error=ERASED)
    for key, error in told.values_list("pk", "error").iterator(chunk_size=2000):
        if finder.names(error):
            WebhookDelivery.objects.filter(pk=key).update(error=ERASED)
