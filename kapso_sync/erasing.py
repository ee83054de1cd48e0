"""Erasing one person from everything: the stored deliveries here, the CRM in contacts.erasing.

Bodies first: as long as the lead is there, an erasure that was interrupted can be started again. Then the CRM, with the
tombstones, in one transaction. Then the bodies that came meanwhile; whatever comes later finds the tombstones, and its
body is cleared as soon as it is stored (kapso_sync.clearing).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from contacts import erasing
from contacts.erasing import Named, Person
from contacts.models import Workspace
from contacts.tombstones import ERASED
from kapso_sync import sync
from kapso_sync.clearing import FINISHED, clear
from kapso_sync.finding import Finder, batches, deliveries_of
from kapso_sync.models import WebhookDelivery
from kapso_sync.parts import told_by
from kapso_sync.rebuilding import Rebuild

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
    with transaction.atomic():
        outcome.person = erasing.erase(workspace_id, lead_id, named)
        # A rebuild that was begun has them in its shadow: it has to begin anew.
        Rebuild(Workspace.objects.get(pk=workspace_id)).shadow.drop()
    _clear_bodies(outcome, since=started - LATE)
    _clear_errors(outcome.person)
    return outcome


def count_bodies(person: Person, *, on_batch: Callable[[int], None] = lambda _: None) -> int:
    """How many stored bodies tell of the person: what an erasure would clear."""
    finder = Finder(person)
    count = 0
    for batch in batches(deliveries_of(person.workspace_id)):
        count += len(finder.found(batch))
        on_batch(len(batch))
    return count


def _clear_bodies(
    outcome: Erased, *, since: datetime | None = None, on_batch: Callable[[int], None] = lambda _: None
) -> None:
    deliveries = deliveries_of(outcome.person.workspace_id)
    finder = Finder(outcome.person, with_erased=True)
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
        clear(left, told_by(left), unfinished=ERASED, reason=ERASED)


def _clear_errors(person: Person) -> None:
    """What a delivery without a body says of itself may name a session or quote somebody."""
    finder = Finder(person)
    told = deliveries_of(person.workspace_id).without_bodies().exclude(error="").exclude(error=ERASED)
    for key, error in told.values_list("pk", "error").iterator(chunk_size=2000):
        if finder.names(error):
            WebhookDelivery.objects.filter(pk=key).update(error=ERASED)
