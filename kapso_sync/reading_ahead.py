"""Reading deliveries while those before them are applied: half of the work is Python's, and half PostgreSQL's."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from django.db import connection, connections

from contacts.batches import in_batches
from kapso_sync.models import WebhookDelivery
from kapso_sync.parts import numbers_named_by, parts_of

AT_A_TIME = 50  # deliveries: a few milliseconds


def read_ahead(batches: Iterator[list[WebhookDelivery]]) -> Iterator[list[WebhookDelivery]]:
    """The same batches; each is loaded and normalised by a thread while the one before it is at work.

    No more than these two are in memory. Within a transaction nothing is read ahead: the thread has a connection of
    its own, and would not see what that transaction has written.
    """
    if connection.in_atomic_block:
        yield from batches
        return
    # What Django has loaded stays: looking through it again and again took a sixth of Python's time.
    gc.freeze()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        try:
            coming = reader.submit(_next, batches)
            while batch := coming.result():
                coming = reader.submit(_next, batches)
                yield batch
        finally:
            reader.submit(connections.close_all)


def _next(batches: Iterator[list[WebhookDelivery]]) -> list[WebhookDelivery]:
    batch = next(batches, [])
    for some in in_batches(batch, AT_A_TIME):
        parts_of(some, numbers_named_by(some))  # a delivery keeps what it tells, for whoever asks next
        time.sleep(0)  # the other thread goes first: PostgreSQL may be waiting for its next statement
    return batch
