"""Replay stored deliveries, any number of them, in batches through the same joint as live traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from django.apps import apps
from django.db import connection

from kapso_sync import sync
from kapso_sync.models import WebhookDelivery, WebhookDeliveryQuerySet

# One transaction each: large enough that statements cost little, small enough that live webhooks never wait long.
BATCH_SIZE = 500


def replay_in_batches(
    deliveries: WebhookDeliveryQuerySet,
    *,
    on_batch: Callable[[list[WebhookDelivery]], None] = lambda _: None,
    size: int = BATCH_SIZE,
) -> Counter[str]:
    """Replay in the order of arrival; returns how many came out with which status.

    Memory is bounded by the batch. The set is fixed when it starts: a delivery whose status changes on the way is
    still replayed once, and none that arrives meanwhile is. Those whose bodies were cleared are left out.
    """
    outcomes: Counter[str] = Counter()
    keys = list(deliveries.with_bodies().order_by("id").values_list("pk", flat=True))
    for number, start in enumerate(range(0, len(keys), size), 1):
        batch = list(WebhookDelivery.objects.filter(pk__in=keys[start : start + size]).replayable())
        outcomes.update(delivery.status for delivery in sync.replay(batch))
        on_batch(batch)
        if len(batch) == size and number.bit_count() == 1:
            _analyze()
    return outcomes


def cannot_be_replayed(cleared: int) -> str:
    """What to say of deliveries whose bodies retention or an erasure has cleared."""
    if cleared == 1:
        return "1 delivery cannot be replayed: the body was cleared."
    return f"{cleared} deliveries cannot be replayed: their bodies were cleared."


def _analyze() -> None:
    """Tell the planner how large the tables are by now, each time they may have doubled.

    PostgreSQL does that by itself, once a minute: a rebuild has long filled empty tables by then.
    """
    with connection.cursor() as cursor:
        for model in apps.get_app_config("contacts").get_models():
            cursor.execute(f"ANALYZE {connection.ops.quote_name(model._meta.db_table)}")  # noqa: SLF001
