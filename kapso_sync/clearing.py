"""Emptying the bodies of stored deliveries, without anything in the CRM depending on them any more.

What a body told is sealed first (contacts.sealing), so a rebuild starts from it. Key, hash and outcome stay: a late
retry of a cleared delivery is still a duplicate. A cleared delivery waits for nothing, so none is `received`, `failed`
or `unroutable`: what could not be applied until then is `ignored` from then on, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connection
from django.utils import timezone

from contacts.events import AutomationTold
from contacts.sealing import seal, seal_automation
from contacts.tombstones import ERASED
from kapso_sync.models import DeliveryAttempt, WebhookDelivery
from kapso_sync.outcomes import CLEAR

if TYPE_CHECKING:
    from kapso_sync.parts import Part


def clear(
    deliveries: Sequence[WebhookDelivery],
    parts: Iterable[Part],
    *,
    unfinished: str,
    reason: str | None = None,
) -> None:
    """Seal what these deliveries told (`parts`) and empty their bodies, in the caller's transaction.

    `unfinished` is the reason for those that were never applied; where only a part was not, it is added. With `reason`, that also takes the place of whatever
    an ignored one says, and a processed one says nothing. What earlier attempts came to may quote the body: it goes.
    """
    parts = [part for part in parts if part.events]  # also of numbers that are not active just now
    seal([(part.number, event) for part in parts if part.number for event in part.events])
    seal_automation(
        [
            (event, part.delivery.served_numbers)
            for part in parts
            for event in part.events
            if isinstance(event, AutomationTold)
        ]
    )
    keys = [delivery.pk for delivery in deliveries]
    at = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(CLEAR, {"keys": keys, "at": at, "unfinished": unfinished, "reason": reason})
    DeliveryAttempt.objects.filter(delivery__in=keys).exclude(error="").update(error="")
    _show(deliveries, at)


def forget_the_erased(deliveries: Iterable[WebhookDelivery], parts: Sequence[Part]) -> None:
    """Keep no body that tells of somebody who was erased, unless others in it still wait to be applied."""
    about = {id(part.delivery) for part in parts if part.is_erased}
    gone = [d for d in deliveries if id(d) in about and not d.needs_something]
    if gone:
        told = [part for part in parts if id(part.delivery) in about]
        clear(gone, told, unfinished=ERASED, reason=ERASED)


def _show(deliveries: Iterable[WebhookDelivery], at: datetime) -> None:
    """These instances become what the rows are now."""
    for delivery in deliveries:
        delivery.body, delivery.body_cleared_at = b"", at
