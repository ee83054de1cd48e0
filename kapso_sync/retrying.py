"""Try again by itself: what failed, what a crash left behind, and what waited for a number that is here by now.

A worker does it (kapso_sync.tasks); without one, whoever has just answered a request (kapso_sync.afterwards). Any
number of them at once, each delivery by one: a claim moves `next_retry_at` past the time that a retry may take, so
the deliveries of somebody who died are due again after that, and a retry that took longer is harmless, being a replay.
A claim is counted until an outcome is saved: what somebody died with is tried alone from then on, for it may be what
killed them, each time as an attempt that failed, and not for ever.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from kapso_sync.models import WebhookDelivery
from kapso_sync.outcomes import IS_AWAITED, IS_DUE, IS_LEFT, MOST_DEATHS, NOBODY_CAME_BACK
from kapso_sync.replaying import BATCH_BYTES, replay_in_batches

logger = logging.getLogger(__name__)

# For that long a claimed delivery is nobody else's.
LEASE = timedelta(minutes=5)
# How many are claimed at a time, unless their bodies are long: by a worker, and by somebody who has answered a request and is needed for the next.
BATCH = 100
A_FEW = 20
# A worker's turn ends after so many batches, whatever goes on: the next one is 10 seconds away.
ROUNDS = 50

# Taken from the moment in which somebody looks: SKIP LOCKED passes by what another one is just claiming. No more bodies
# than one batch holds, but at least one of them: the others are let go again with the end of the statement. What
# somebody died with counts as more than a batch holds.
CLAIM = """
WITH found AS MATERIALIZED (
    SELECT d.id, CASE WHEN d.claims > 0 THEN {most} + 1 ELSE octet_length(d.body) END AS bytes, {order} AS turn
    FROM kapso_sync_webhookdelivery d WHERE {which} ORDER BY {order} LIMIT %s FOR UPDATE SKIP LOCKED
), mine AS (
    SELECT id, sum(bytes) OVER (ORDER BY turn, id) AS held, row_number() OVER (ORDER BY turn, id) AS nth FROM found
)
UPDATE kapso_sync_webhookdelivery d SET next_retry_at = now() + make_interval(secs => %s), claims = d.claims + 1
FROM mine WHERE d.id = mine.id AND (mine.held <= {most} OR mine.nth = 1) RETURNING d.id, d.claims
"""
CLAIMS = (
    CLAIM.format(which=IS_DUE, most=BATCH_BYTES, order="d.next_retry_at"),
    CLAIM.format(which=IS_LEFT, most=BATCH_BYTES, order="d.id"),
    # Not by the order of the primary key, or PostgreSQL may read all deliveries there are to find the first few.
    CLAIM.format(which=IS_AWAITED, most=BATCH_BYTES, order="d.id + 0"),
)

_at_work = threading.Lock()


def retry_due(limit: int = BATCH) -> Counter[str]:
    """Retry up to `limit` deliveries that are due, and say how many came out with which status; none if none is due."""
    mine = _claim(limit)
    return replay_in_batches(WebhookDelivery.objects.filter(pk__in=mine)) if mine else Counter()


def retry_until_nothing_is_due(rounds: int = ROUNDS) -> Counter[str]:
    """As `retry_due`, again and again, in at most so many rounds."""
    outcomes: Counter[str] = Counter()
    for _ in range(rounds):
        came_out = retry_due()
        outcomes += came_out
        if not came_out:
            break
    return outcomes


def retry_a_few() -> None:
    """For whoever has something else to do: a few, nothing if somebody in this process is at it, and never an error."""
    if not _at_work.acquire(blocking=False):
        return
    try:
        retry_due(A_FEW)
    except Exception:
        logger.exception("Deliveries could not be retried; they stay due.")
    finally:
        _at_work.release()


def _claim(limit: int) -> list[int]:
    """Each claim commits by itself, before the retry begins: it must be seen by the others, and outlive us."""
    mine: dict[int, int] = {}
    for claim in CLAIMS:
        if len(mine) < limit:
            with connection.cursor() as cursor:
                cursor.execute(claim, [limit - len(mine), LEASE.total_seconds()])
                mine |= dict(cursor.fetchall())
        if any(claims > 1 for claims in mine.values()):
            break  # alone: see above
    _note_deaths([pk for pk, claims in mine.items() if claims > 1])
    return [pk for pk, claims in mine.items() if claims <= MOST_DEATHS]


def _note_deaths(died: list[int]) -> None:
    """The attempt of whoever had these before has failed. By which code, nobody can say any more."""
    deliveries = list(WebhookDelivery.objects.filter(pk__in=died).defer("body")) if died else []
    for delivery in deliveries:
        delivery.status, delivery.error = WebhookDelivery.Status.FAILED, NOBODY_CAME_BACK
        delivery.processed_at, delivery.code_version, delivery.waits_for = timezone.now(), "", None
        delivery.nobody_came_back = True
        logger.error("Whoever retried delivery %s was ended meanwhile.", delivery.pk)
    if deliveries:
        WebhookDelivery.objects.save_outcomes(deliveries)
