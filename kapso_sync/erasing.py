"""Erasing one person from everything: the stored deliveries here, the CRM in contacts.erasing.

Bodies first: as long as the lead is there, an erasure that was interrupted can be started again. Then the CRM, with the
tombstones, in one transaction. Then the bodies that came meanwhile; whatever comes later finds the tombstones, and its
body is cleared as soon as it is stored (kapso_sync.clearing).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop, ngettext

from contacts import erasing
from contacts.erasing import Named, Person
from contacts.models import Workspace
from contacts.tombstones import ERASED
from kapso_sync import sync
from kapso_sync.clearing import clear
from kapso_sync.finding import Finder, deliveries_of, self_told
from kapso_sync.models import FINISHED, WebhookDelivery
from kapso_sync.parts import Part, told_by
from kapso_sync.patience import InTheWay, TooBusy, patiently
from kapso_sync.rebuilding import Rebuild
from kapso_sync.replaying import in_batches

Status = WebhookDelivery.Status

NOTHING_ERASED = gettext_noop(
    "The workspace was busy, so the person was not erased. Nothing is lost: try again in a moment."
)
BODIES_LEFT = gettext_noop(
    "The person was erased from the CRM. Not so from stored deliveries that came meanwhile: others were at work on "
    "them. Erase the person again in a moment, by the phone or user ID: manage.py erase_person --help says how."
)

# How long ago a delivery may have been received that was committed only now, with a wide margin.
LATE = timedelta(hours=1)


@dataclass(slots=True)
class Erased:
    """What came of an erasure."""

    person: Person
    bodies: int = 0
    never_applied: int = 0  # of those, how many others' events could not be applied before
    kept: set[int] = field(default_factory=set)  # deliveries in which somebody else still waits to be applied

    def __str__(self) -> str:
        """In words, for whoever asked for it."""
        text = ngettext(
            "The person was erased, and %(count)s stored delivery cleared.",
            "The person was erased, and %(count)s stored deliveries cleared.",
            self.bodies,
        )
        said = [text % {"count": self.bodies}]
        if self.never_applied:
            text = ngettext(
                "%(count)s stored delivery of those had never been applied, for others neither.",
                "%(count)s stored deliveries of those had never been applied, for others neither.",
                self.never_applied,
            )
            said.append(text % {"count": self.never_applied})
        if self.kept:
            text = ngettext(
                "%(count)s stored delivery is kept until what is told of others there can be applied: a number is not active or not registered, or something failed. Then the person is left out, and the body cleared.",
                "%(count)s stored deliveries are kept until what is told of others there can be applied: a number is not active or not registered, or something failed. Then the person is left out, and the body cleared.",
                len(self.kept),
            )
            said.append(text % {"count": len(self.kept)})
        return " ".join(said)


def erase_person(
    workspace_id: int,
    lead_id: int | None,
    named: Sequence[Named] = (),
    *,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Erased:
    """Erase the lead, or whoever the identities `named` belong to, from the CRM and from every stored delivery.

    May be interrupted and started again: by the lead as long as there is one, then by a phone or user id. Raises
    `TooBusy`, which says what is to be done, where others are in the way for too long. `on_batch` is told how many
    deliveries were looked through.
    """
    started = timezone.now()
    outcome = Erased(Person.of(workspace_id, lead_id, named))
    try:
        _clear_bodies(outcome, on_batch=on_batch)
        outcome.person = patiently(lambda: _erase_from_crm(workspace_id, lead_id, named))
    except TooBusy as error:
        raise TooBusy(gettext(NOTHING_ERASED)) from error
    try:
        _clear_bodies(outcome, since=started - LATE)
        _clear_errors(outcome.person)
    except TooBusy as error:
        raise TooBusy(gettext(BODIES_LEFT)) from error
    return outcome


@transaction.atomic
def _erase_from_crm(workspace_id: int, lead_id: int | None, named: Sequence[Named]) -> Person:
    person = erasing.erase(workspace_id, lead_id, named)
    # A rebuild that was begun has them in its shadow: it has to begin anew.
    Rebuild(Workspace.objects.get(pk=workspace_id)).shadow.drop()
    return person


def count_bodies(person: Person, *, on_batch: Callable[[int], None] = lambda _: None) -> int:
    """How many stored bodies tell of the person: what an erasure would clear."""
    finder = Finder(person)
    count = 0
    for batch in in_batches(deliveries_of(person.workspace_id)):
        count += len(finder.found(batch))
        on_batch(len(batch))
    return count


def _clear_bodies(
    outcome: Erased, *, since: datetime | None = None, on_batch: Callable[[int], None] = lambda _: None
) -> None:
    deliveries = deliveries_of(outcome.person.workspace_id)
    finder = Finder(outcome.person, with_erased=True)
    for batch in in_batches(deliveries.filter(received_at__gte=since) if since else deliveries):
        found = finder.found(batch)
        if found:
            _clear(outcome, found, finder)
        on_batch(len(batch))


def _clear(outcome: Erased, found: list[WebhookDelivery], finder: Finder) -> None:
    """Others lose nothing: what they are told in the same bodies is applied, where it was not yet, and sealed."""
    patiently(lambda: _apply_what_waits(found))
    gone = patiently(lambda: _empty(found, finder))
    outcome.kept = (outcome.kept | {delivery.pk for delivery in found}) - {delivery.pk for delivery in gone}
    outcome.never_applied += sum(delivery.status not in FINISHED for delivery in gone)
    outcome.bodies += len(gone)


def _apply_what_waits(found: list[WebhookDelivery]) -> None:
    needing = [delivery for delivery in found if delivery.needs_something]
    if needing and any(d.status == Status.FAILED and d.met_others for d in sync.replay(needing)):
        raise InTheWay


@transaction.atomic
def _empty(found: list[WebhookDelivery], finder: Finder) -> list[WebhookDelivery]:
    """Clear what nobody else waits for; returns those, cleared by now whoever did it."""
    parts = told_by(WebhookDelivery.objects.lock_to_replay(found))
    kept = {part.delivery.pk for part in parts if _still_waits(part, finder)}
    gone = [delivery for delivery in found if delivery.pk not in kept]
    left = [delivery for delivery in gone if delivery.body_cleared_at is None]
    told = [part for part in parts if part.delivery.pk not in kept]
    clear(left, told, unfinished=ERASED, reason=ERASED)
    return gone


def _still_waits(part: Part, finder: Finder) -> bool:
    """Whether it tells of somebody else what may be applied one day: for a number that is not active or not registered
    yet, or in another workspace, where nobody asked for this erasure.
    """
    if not part.events or finder.is_about(part):
        return False
    is_elsewhere = part.number is not None and part.number.workspace_id != finder.workspace_id
    return bool(part.waits_for) or (is_elsewhere and part.delivery.status not in FINISHED)


def _deliveries(count: int) -> str:
    return "1 stored delivery" if count == 1 else f"{count} stored deliveries"


def _clear_errors(person: Person) -> None:
    """What a delivery without a body says of itself may name a session or quote somebody."""
    finder = Finder(person)
    for key, error in self_told(person.workspace_id).values_list("pk", "error").iterator(chunk_size=2000):
        if finder.names(error):
            WebhookDelivery.objects.filter(pk=key).update(error=ERASED)
