"""Replay stored deliveries, any number of them, in batches through the same joint as live traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from django.apps import apps
from django.db import connection
from django.db.models import F, Func, IntegerField, QuerySet

from kapso_sync import sync
from kapso_sync.models import WebhookDelivery, WebhookDeliveryQuerySet

# One transaction each: large enough that statements cost little, small enough that live webhooks never wait long. A
# body may have 8 MB, and is many times as large when it is read: so few of those come together.
BATCH_SIZE = 500
BATCH_BYTES = 4 * 1024 * 1024
# The planner is told anew after so much at first, then each time it has doubled.
TOLD_AFTER = 4 * BATCH_BYTES

BODY_LENGTH = Func(F("body"), function="octet_length", output_field=IntegerField())


def in_batches(
    deliveries: WebhookDeliveryQuerySet, *, size: int = BATCH_SIZE
) -> Iterator[list[WebhookDelivery]]:
    """Those that have their bodies, in the order of arrival, each batch loaded when it is its turn.

    At most `size` of them, and BATCH_BYTES of bodies unless it is a single one. The set is fixed when it starts: a
    delivery whose status changes on the way still has its turn once, and none that arrives meanwhile has.
    """
    for keys in list(_cut(deliveries.with_bodies().order_by("id").values_list("pk", BODY_LENGTH), size)):
        if batch := list(WebhookDelivery.objects.filter(pk__in=keys).replayable()):
            yield batch


def _cut(lengths: QuerySet[WebhookDelivery, tuple[int, int]], size: int) -> Iterator[list[int]]:
    keys: list[int] = []
    held = 0
    for key, length in lengths.iterator():
        if keys and (len(keys) == size or held + length > BATCH_BYTES):
            yield keys
            keys, held = [], 0
        keys.append(key)
        held += length
    if keys:
        yield keys


def replay_in_batches(
    deliveries: WebhookDeliveryQuerySet,
    *,
    on_batch: Callable[[list[WebhookDelivery]], None] = lambda _: None,
    size: int = BATCH_SIZE,
) -> Counter[str]:
    """Replay in the order of arrival; returns how many came out with which status.

    See `in_batches`: those whose bodies were cleared are left out.
    """
    outcomes: Counter[str] = Counter()
    done, tell_at = 0.0, 1.0
    for batch in in_batches(deliveries, size=size):
        done += max(len(batch) / size, sum(len(delivery.body) for delivery in batch) / TOLD_AFTER)
        outcomes.update(delivery.status for delivery in sync.replay(batch))
        on_batch(batch)
        if done >= tell_at:
            _analyze()
            tell_at = 2 * done
    return outcomes


def cannot_be_replayed(cleared: int) -> str:
    """What to say of deliveries whose bodies retention or an erasure has cleared."""
    if cleared == 1:
        return "1 delivery cannot be replayed: the body was cleared."
    return f"{cleared} deliveries cannot be replayed: their bodies were cleared."


def _analyze() -> None:
    """Tell the planner how large the tables are by now.

    PostgreSQL does that by itself, once a minute: a rebuild has long filled empty tables by then.
    """
    with connection.cursor() as cursor:
        for model in apps.get_app_config("contacts").get_models():
            cursor.execute(f"ANALYZE {connection.ops.quote_name(model._meta.db_table)}")  # noqa: SLF001
