"""What is counted of webhooks: every answer that is not 200, every outcome, every early return, every oddity.

Only what arrives for the first time counts: a replay says nothing new about what Kapso sends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.utils import timezone

from contacts.events import Event, IdentityChanged, MessageTold, ReceiptsTold
from kapso_sync import drift
from kapso_sync.models import WebhookDelivery
from kapso_sync.tallies import tallies

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpResponse

    from kapso_sync.arrivals import Arrival
    from kapso_sync.parts import Part

logger = logging.getLogger(__name__)

# The sources of tallies. Those of a part are the words of its outcome: ignored, unroutable, failed.
ANSWER = "answer"  # each webhook by the HTTP status of our answer
REFUSED = "refused"  # each answer that was not 200, with the reason
DELIVERY = "delivery"  # each delivery that was stored, by its outcome, and each copy of one
NOTED = "noted"  # oddities of what was applied (kapso_sync.formats.noting)
DRIFT = "drift"  # fields that are not known and types that changed (kapso_sync.drift)
COMMIT = "seconds to commit"  # from receipt, by the bucket of a histogram
LIVE = "seconds from event to commit"

COPY = "copy"
SUM = "sum in microseconds"
COMMIT_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0)
LIVE_BUCKETS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
BEYOND = "+Inf"

# The numbers that were registered when we last could ask: also while the database is away Kapso counts our failures.
_registered: set[str] = set()


def answered(response: HttpResponse, arrival: Arrival | None = None, *, refusal: str = "") -> None:
    """An answer is about to be sent. Afterwards what was counted is written, if it is time.

    `refusal` is why it is not 200, in words of ours: nothing that a sender wrote is counted by.
    """
    try:
        status = response.status_code
        tallies.add(ANSWER, str(status))
        if refusal:
            tallies.add(REFUSED, f"{status} {refusal}")
        if arrival:
            _registered.update(number.phone_number_id for number in arrival.numbers or ())
            named = arrival.delivery.numbers_named
            tallies.answered([number for number in named if number in _registered], status)
        response._resource_closers.append(tallies.flush_soon)  # type: ignore[attr-defined]  # noqa: SLF001 - Django's own way to clean up
    except Exception:
        logger.exception("an answer could not be counted")


def arrived(delivery: WebhookDelivery, parts: Iterable[Part]) -> None:
    """A delivery was committed."""
    try:
        if delivery.is_copy:
            tallies.add(DELIVERY, COPY)
        else:
            _count_arrival(delivery, list(parts))
    except Exception:
        logger.exception("delivery %s could not be counted", delivery.pk)


def _count_arrival(delivery: WebhookDelivery, parts: list[Part]) -> None:
    tallies.add(DELIVERY, delivery.status)
    for part in parts:
        if part.reason:
            # Of an item that was applied in part the rest was ignored.
            source = WebhookDelivery.Status.IGNORED if part.is_to_apply else part.status
            tallies.add(source, part.counted or part.reason)
        for note in part.notes:
            tallies.add(NOTED, note)
    for found in drift.unknown_in(delivery.payload):
        tallies.add(DRIFT, found)
    now = timezone.now()
    _observe(COMMIT, (now - delivery.received_at).total_seconds(), COMMIT_BUCKETS)
    if times := [at for part in parts if part.is_to_apply for event in part.events for at in _live(event)]:
        _observe(LIVE, (now - max(times)).total_seconds(), LIVE_BUCKETS)


def _live(event: Event) -> list[datetime]:
    """When something happened of which Kapso tells as it happens."""
    if isinstance(event, ReceiptsTold):
        return [receipt.at for receipt in event.receipts if receipt.at]
    message = event.message if isinstance(event, IdentityChanged) else event
    if isinstance(message, MessageTold) and message.timed and message.origin != "history_sync":
        return [message.at]
    return []


def _observe(source: str, seconds: float, buckets: tuple[float, ...]) -> None:
    """Into a histogram: the first bucket that holds it, and the sum."""
    seconds = max(0.0, seconds)
    tallies.add(source, next((str(bound) for bound in buckets if seconds <= bound), BEYOND))
    tallies.add(source, SUM, round(seconds * 1_000_000))
