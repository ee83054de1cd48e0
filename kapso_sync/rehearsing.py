"""What a replay would change, before anything is written: the replay itself, on a shadow that is rolled back."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction

from contacts.difference import LeadDifference, collect_differences, read_differences
from contacts.events import Event
from contacts.models import PhoneNumber
from contacts.shadow import Names, Shadow
from kapso_sync import sync
from kapso_sync.models import WebhookDelivery, WebhookDeliveryQuerySet
from kapso_sync.replaying import BATCH_SIZE, in_batches


@dataclass(slots=True)
class Rehearsal:
    """What would come of the deliveries, by status; `emptied` of them cannot be replayed, their bodies are gone."""

    outcomes: Counter[str]
    emptied: int
    differences: Iterator[LeadDifference]


class _Copies:
    """A stage that holds copies of whatever the events name."""

    def __init__(self, shadow: Shadow) -> None:
        self.shadow = shadow
        self.workspaces: set[int] = set()

    def enter(self, told: Sequence[tuple[PhoneNumber | None, Event]]) -> None:
        names = Names.of(told)
        self.workspaces |= names.workspaces
        self.shadow.seed_around(names)
        self.shadow.enter()

    def note(self, deliveries: Sequence[WebhookDelivery]) -> None:
        del deliveries  # their outcomes are read from them
        self.shadow.leave()


@contextmanager
def rehearsal(
    deliveries: WebhookDeliveryQuerySet,
    *,
    on_batch: Callable[[list[WebhookDelivery]], None] = lambda _: None,
    only: Collection[int] | None = None,
    size: int = BATCH_SIZE,
) -> Iterator[Rehearsal]:
    """Replay the deliveries on copies of the rows that they are about; nothing of it is ever committed.

    It sees the database as it is at its beginning, takes no lock that a webhook could wait for, and is over when the
    block ends: read `differences` within it; they are `only` of these workspaces. Memory is bounded by the batch.
    """
    with transaction.atomic():
        _see_one_moment()
        emptied = deliveries.exclude(body_cleared_at=None).count()
        stage = _Copies(Shadow(f"leadcrm_rehearsal_{secrets.token_hex(8)}"))
        stage.shadow.create()
        stage.shadow.prepare_copies()
        outcomes: Counter[str] = Counter()
        for batch in in_batches(deliveries, size=size):
            named = {number for delivery in batch for number in delivery.numbers_named}
            sync.rehearse(batch, PhoneNumber.objects.filter(phone_number_id__in=named), stage)
            outcomes.update(delivery.status for delivery in batch)
            on_batch(batch)
        collect_differences(stage.shadow, sorted(stage.workspaces), copied=True)
        yield Rehearsal(outcomes, emptied, read_differences(stage.shadow, only))
        transaction.set_rollback(True)


def _see_one_moment() -> None:
    """From here on the transaction sees nothing of what others commit. Within another transaction that is its affair."""
    if not connection.savepoint_ids:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
