"""Each index of the deliveries is there for a query: every one of them costs each webhook."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from contacts.models import PhoneNumber, Workspace
from kapso_sync import sightings
from kapso_sync.attention import WAITING
from kapso_sync.models import WebhookDelivery
from kapso_sync.outcomes import IS_AWAITED, IS_DUE
from kapso_sync.retention import Retention
from kapso_sync.retrying import retry_due

TABLE = "kapso_sync_webhookdelivery"
# A minute between two of them. Half have no body any more; few need something.
SEEDED = f"""
INSERT INTO {TABLE} (received_at, idempotency_key, event, phone_number_id, workspace_id, body, body_sha256, status,
    body_cleared_at, next_retry_at, waits_for)
SELECT now() - n * interval '1 minute', n::text, 'whatsapp.message.received', (n %% 20)::text, (%s::bigint[])[1 + n %% 200],
    'body', md5(n::text), CASE WHEN n %% 500 = 1 THEN 'failed' WHEN n %% 500 = 2 THEN 'unroutable' ELSE 'processed' END,
    CASE WHEN n > 10000 THEN now() END, CASE WHEN n %% 500 = 1 AND n <= 10000 THEN now() END,
    CASE WHEN n %% 500 = 2 AND n <= 10000 THEN ARRAY[(n %% 20)::text] END
FROM generate_series(1, 20000) AS n
"""  # noqa: S608 - constants of this file

NEWEST = ("-received_at", "-id")


def _raw(condition: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT d.id FROM {TABLE} d WHERE {condition} LIMIT 20")  # noqa: S608
        return list(cursor.fetchall())


def _of_workspace() -> object:
    workspace = Workspace.objects.order_by("pk")[3].pk
    return list(WebhookDelivery.objects.filter(workspace__in=[workspace]).order_by(*NEWEST)[:50])


def _to_clear() -> object:
    return list(Retention(1, timezone.now()).due.order_by("received_at", "id")[:200])


def _twins() -> object:
    keys = WebhookDelivery.objects.values_list("pk", flat=True)[:20]
    return list(WebhookDelivery.objects.filter(pk__in=list(keys)).replayable())


USES: dict[str, Callable[[], object]] = {
    # The admin's list, and the API's.
    "delivery_newest": lambda: list(WebhookDelivery.objects.order_by(*NEWEST)[:50]),
    "delivery_of_workspace": _of_workspace,
    "delivery_of_number": lambda: sightings.outcomes_since(["7"], timezone.now() - timedelta(hours=1)),
    # What is waiting: the start page, probes and measures.
    "delivery_unfinished": lambda: WebhookDelivery.objects.filter(WAITING).count(),
    "delivery_body_to_clear": _to_clear,
    "delivery_to_retry": lambda: _raw(IS_DUE),
    "delivery_waits_for": lambda: _raw(IS_AWAITED),
    # The twins of a body.
    "delivery_once": _twins,
    "kapso_sync_webhookdelivery_pkey": lambda: list(WebhookDelivery.objects.filter(pk=17)),
}


@pytest.fixture
def seeded(db: None) -> None:
    made = [Workspace.objects.create(name=str(n), slug=f"w-{n}") for n in range(200)]
    PhoneNumber.objects.create(workspace=made[2], phone_number_id="2")
    with connection.cursor() as cursor:
        cursor.execute(SEEDED, [[workspace.pk for workspace in made]])
        cursor.execute(f"ANALYZE {TABLE}")


@pytest.mark.usefixtures("seeded")
def test_each_index_serves_a_query() -> None:
    assert {name for name, use in USES.items() if name not in _plans_of(use)} == set()


@pytest.mark.usefixtures("seeded")
def test_what_is_due_is_found_without_reading_the_others_also_where_none_is_and_no_body_is_left() -> None:
    """As it is known to be at night, after retention: until the next look at the table a day's bodies may have come."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET body_cleared_at = now(), next_retry_at = NULL, waits_for = NULL"  # noqa: S608
        )
        cursor.execute(f"ANALYZE {TABLE}")
    ways = [line for line in _plans_of(retry_due).splitlines() if f"{TABLE} d_1" in line]
    assert [line.split(" on ")[0].split("using ")[-1].strip(" ->") for line in ways] == [
        "delivery_to_retry",
        "delivery_unfinished",
        "Bitmap Heap Scan",
    ]


@pytest.mark.django_db
def test_there_is_no_other_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = %s::regclass", [TABLE]
        )
        assert {name for (name,) in cursor.fetchall()} == set(USES)


def _plans_of(use: Callable[[], object]) -> str:
    asked: list[tuple[str, Any]] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        use()
    plans = []
    with connection.cursor() as cursor:
        for sql, params in asked:
            cursor.execute(f"EXPLAIN {sql}", params)
            plans += [line for (line,) in cursor.fetchall()]
    return "\n".join(plans)


@pytest.mark.django_db
def test_deliveries_are_vacuumed_by_what_changed() -> None:
    """However large their table: its rows stay for ever, and a night empties few of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.reloptions, t.reloptions FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid"
            " WHERE c.oid = %s::regclass",
            [TABLE],
        )
        own, toast = cursor.fetchone() or ((), ())
    assert "autovacuum_vacuum_scale_factor=0.01" in own
    assert "autovacuum_vacuum_scale_factor=0.01" in toast
