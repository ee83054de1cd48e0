"""Retention: the bodies of old deliveries are cleared, in small batches, with what they told kept (kapso_sync.clearing).

`RETENTION_DAYS` says how old; 0 keeps them for ever. A delivery that still needs something (failed, never finished,
for a number that is not registered or not active) is kept three times as long, so that somebody can mend what is
wrong; then its body is cleared too, and it says that it can no longer be applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from kapso_sync.clearing import clear
from kapso_sync.models import NEEDS_SOMETHING, WebhookDelivery, WebhookDeliveryQuerySet
from kapso_sync.parts import told_by
from kapso_sync.patience import patiently
from kapso_sync.replaying import first_keys

# One transaction each, which keeps the syncs of its workspaces waiting.
BATCH_SIZE = 200
# How many times as long a delivery is kept that still needs something.
PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Retention:
    """What is due, as of a moment: bodies received `days` ago or earlier."""

    days: int
    now: datetime

    @classmethod
    def of_today(cls, days: int | None = None) -> Retention:
        return cls(settings.RETENTION_DAYS if days is None else days, timezone.now())

    @property
    def due(self) -> WebhookDeliveryQuerySet:
        deliveries = WebhookDelivery.objects.with_bodies()
        if not self.days:
            return deliveries.none()
        return deliveries.filter(received_at__lt=self._ago(1)).exclude(
            NEEDS_SOMETHING, received_at__gte=self._ago(PATIENCE)
        )

    @property
    def given_time(self) -> WebhookDeliveryQuerySet:
        """As old, but they still need something."""
        if not self.days:
            return WebhookDelivery.objects.none()
        waiting = WebhookDelivery.objects.with_bodies().needing_something()
        return waiting.filter(received_at__lt=self._ago(1), received_at__gte=self._ago(PATIENCE))

    def _ago(self, times: int) -> datetime:
        # Nothing is older than the calendar.
        days = min(self.days * times, (self.now - datetime.min.replace(tzinfo=self.now.tzinfo)).days)
        return self.now - timedelta(days=days)

    def clear(self, *, on_batch: Callable[[int], None] = lambda _: None) -> int:
        """Clear whatever is due, oldest first; returns how many bodies that were. May be stopped at any time."""
        cleared = 0
        while batch := patiently(self._clear_some):
            cleared += batch
            on_batch(batch)
        return cleared

    @transaction.atomic
    def _clear_some(self) -> int:
        locked = self.due.order_by("received_at", "id").select_for_update(skip_locked=True)
        keys = first_keys(locked, BATCH_SIZE)
        deliveries = list(WebhookDelivery.objects.filter(pk__in=keys).replayable())
        if deliveries:
            clear(deliveries, told_by(deliveries), unfinished=self._too_late)
        return len(deliveries)

    @property
    def _too_late(self) -> str:
        days = f"{self.days * PATIENCE} days"
        return (
            f"It could not be applied within {days}. Then its body was cleared: it can no longer be applied."
        )


def clear_old_bodies() -> int:
    """What the nightly job does."""
    return Retention.of_today().clear()
