"""Replay stored deliveries, any number of them, in batches through the same joint as live traffic."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.apps import apps
from django.db import connection
from django.db.models import F, Func, IntegerField, QuerySet
from django.utils.translation import ngettext

from kapso_sync import sync
from kapso_sync.models import WebhookDelivery, WebhookDeliveryQuerySet
from kapso_sync.reading_ahead import read_ahead

# One transaction each: large enough that statements cost little, small enough that live webhooks never wait long. A
# body may have 8 MB, and is many times as large when it is read: so few of those come together.
BATCH_SIZE = 1000
BATCH_BYTES = 4 * 1024 * 1024
# As much to bring in as BATCH_SIZE deliveries of the usual length.
TOLD_AFTER = 4 * BATCH_BYTES

BODY_LENGTH = Func(F("body"), function="octet_length", output_field=IntegerField())


def in_batches(
    deliveries: WebhookDeliveryQuerySet, *, size: int = BATCH_SIZE
) -> Iterator[list[WebhookDelivery]]:
    """Those that have their bodies, in the order of arrival, each batch loaded when it is its turn.

    At most `size` of them, and BATCH_BYTES of bodies unless it is a single one. The set is fixed when it starts: a
    delivery whose status changes on the way still has its turn once, and none that arrives meanwhile has.
    """
    lengths = _lengths(deliveries.with_bodies().order_by("id")).iterator()
    # Of millions of deliveries the keys alone would be much as Python's own integers.
    for keys in [array("q", keys) for keys in _cut(lengths, size)]:
        if batch := list(WebhookDelivery.objects.filter(pk__in=keys.tolist()).replayable()):
            yield batch


def first_keys(deliveries: WebhookDeliveryQuerySet, size: int) -> list[int]:
    """Of deliveries in an order of their own, those that make the first batch: as `in_batches` cuts them."""
    return next(_cut(_lengths(deliveries)[:size], size), [])


def _lengths(deliveries: WebhookDeliveryQuerySet) -> QuerySet[WebhookDelivery, tuple[int, int]]:
    return deliveries.values_list("pk", BODY_LENGTH)


def _cut(lengths: Iterable[tuple[int, int]], size: int) -> Iterator[list[int]]:
    keys: list[int] = []
    held = 0
    for key, length in lengths:
        if keys and (len(keys) == size or held + length > BATCH_BYTES):
            yield keys
            keys, held = [], 0
        keys.append(key)
        held += length
    if keys:
        yield keys


@dataclass(slots=True)
class Growth:
    """How much has been brought in, and when the planner is to be told how large the tables are by then: after one
    batch of `size` (or so many bytes) at first, then each time it has doubled.

    PostgreSQL does that by itself, once a minute: a rebuild has long filled empty tables by then.
    """

    size: int
    done: float = 0.0
    tell_at: float = 1.0

    def has_doubled(self, batch: Sequence[WebhookDelivery]) -> bool:
        """Called with each batch that was brought in."""
        self.done += max(len(batch) / self.size, sum(len(delivery.body) for delivery in batch) / TOLD_AFTER)
        if self.done < self.tell_at:
            return False
        self.tell_at = 2 * self.done
        return True


def replay_in_batches(
    deliveries: WebhookDeliveryQuerySet,
    *,
    on_batch: Callable[[list[WebhookDelivery]], None] = lambda _: None,
    size: int = BATCH_SIZE,
    ahead: bool = False,
) -> Counter[str]:
    """Replay in the order of arrival; returns how many came out with which status.

    See `in_batches`: those whose bodies were cleared are left out. `ahead` reads them by a thread meanwhile, which
    takes a second connection and as much memory again.
    """
    outcomes: Counter[str] = Counter()
    growth = Growth(size)
    batches = in_batches(deliveries, size=size)
    for batch in read_ahead(batches) if ahead else batches:
        is_much = growth.has_doubled(batch)  # before a replay may empty what tells of people who were erased
        outcomes.update(delivery.status for delivery in sync.replay(batch))
        on_batch(batch)
        if is_much:
            _analyze()
    return outcomes


def cannot_be_replayed(cleared: int) -> str:
    """What to say of deliveries whose bodies retention or an erasure has cleared."""
    text = ngettext(
        "%(count)s delivery cannot be replayed: the body was cleared.",
        "%(count)s deliveries cannot be replayed: their bodies were cleared.",
        cleared,
    )
    return text % {"count": cleared}


def _analyze() -> None:
    """Tell the planner how large the tables are by now."""
    with connection.cursor() as cursor:
        for model in apps.get_app_config("contacts").get_models():
            cursor.execute(f"ANALYZE {connection.ops.quote_name(model._meta.db_table)}")  # noqa: SLF001
