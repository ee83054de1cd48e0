"""What PostgreSQL does for a batch grows with its deliveries, not with their square. Counted in rows, not in seconds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from psycopg.rows import tuple_row

from contacts import statements
from contacts.models import Identity, Message
from kapso_sync import sync
from kapso_sync.models import WebhookDelivery, WebhookDeliveryQuerySet
from kapso_sync.replaying import replay_in_batches
from tests.builders import Desk, message
from tests.conftest import Cast
from tests.kapso import load

LIMA = "480115511990231"
EXPLAIN = "EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, FORMAT JSON) "


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rows that the statements of the sync look at, one number each statement: each is run twice."""
    run = statements._run
    rows: list[float] = []

    def counting(statement: str, parameters: Any, row_factory: Any) -> list[Any]:
        with transaction.atomic():
            [(plans,)] = run(EXPLAIN + statement, parameters, tuple_row)
            transaction.set_rollback(True)
        plan = json.loads(plans) if isinstance(plans, str) else plans
        rows.append(sum(map(_rows_of, _nodes(plan[0]["Plan"]))))
        return run(statement, parameters, row_factory)

    monkeypatch.setattr(statements, "_run", counting)
    return rows


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _rows_of(node: dict[str, Any]) -> float:
    removed = node.get("Rows Removed by Join Filter", 0) + node.get("Rows Removed by Filter", 0)
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def stored(name: str, who: str, count: int, first: int) -> list[WebhookDelivery]:
    """One message each, of people of whom nobody has heard."""
    found = []
    for index in range(first, first + count):
        payload = load(name)["body"]
        phone = str(51_911_000_000 + index)
        payload["message"] |= {"id": f"wamid.{index}", who: phone, "timestamp": str(1_781_000_000 + index)}
        payload["conversation"] |= {"id": f"session-{index}", "phone_number": f"+{phone}"}
        payload["conversation"]["phone_number_id"] = payload["phone_number_id"] = LIMA
        event = load(name)["headers"]["X-Webhook-Event"]
        delivery = WebhookDelivery.of(json.dumps(payload).encode(), {"X-Webhook-Event": event})
        delivery.save()
        found.append(delivery)
    return found


def _as_queryset(deliveries: list[WebhookDelivery]) -> WebhookDeliveryQuerySet:
    return WebhookDelivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries])


@pytest.mark.parametrize(
    ("name", "who"), [("message-received-text", "from"), ("message-sent-api-text", "to")]
)
def test_four_times_the_deliveries_are_four_times_the_work(
    name: str, who: str, cast: Cast, touched: list[float]
) -> None:
    # Also tells the planner how large the tables are.
    replay_in_batches(_as_queryset(stored(name, who, 500, first=5000)), size=100)
    few = stored(name, who, 50, first=1000)
    many = stored(name, who, 200, first=2000)
    touched.clear()
    sync.replay(few)
    for_few = touched.copy()
    touched.clear()
    sync.replay(many)

    assert Message.objects.filter(kapso_message_id__startswith="wamid.").count() >= 250
    assert len(touched) == len(for_few)
    for index, (less, more) in enumerate(zip(for_few, touched, strict=True)):
        assert more <= 6 * less, f"statement {index + 1}: {less} rows for 50, {more} for 200"


def test_leads_who_share_phones_are_not_combined_each_with_each_where_tables_are_known_as_empty(
    transactional_db: None, touched: list[float]
) -> None:
    """So they are known where all that was there was rolled back, until PostgreSQL looks at them again."""

    def change_hands(numbers: range) -> None:
        for number, at, user in itertools.product(numbers, (0, 10), ("A", "B")):
            phone = str(51_911_330_000 + number)
            desk.told(
                message(f"{user}{at}.{number}", at + ord(user), phone=phone, user_id=f"PE.{user}{number}")
            )

    desk = Desk.open()
    with transaction.atomic():
        change_hands(range(3))
        transaction.set_rollback(True)
    with connection.cursor() as cursor:
        for model in apps.get_app_config("contacts").get_models():
            cursor.execute(f"ANALYZE {model._meta.db_table}")
    change_hands(range(10, 15))
    touched.clear()
    change_hands(range(20, 21))
    assert Identity.objects.filter(kind="phone", is_shared=True).count() == 6
    # 200,000, were they joined in any order. (An index is read whole for each, so it is not a few hundred.)
    assert max(touched) < 20_000
