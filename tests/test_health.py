"""What probes and Prometheus are told, and who is told what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from contacts.models import PhoneNumber
from kapso_sync import counting
from kapso_sync.models import AnswerCount, WebhookDelivery
from kapso_sync.tallies import Tallies
from leadcrm import health, measures
from tests.builders import ANA, LIMA, RECEIVED, Desk, batch, message

TOKEN = "a token of the tests"


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> Tallies:
    mine = Tallies()
    monkeypatch.setattr(counting, "tallies", mine)
    monkeypatch.setattr(measures, "tallies", mine)
    return mine


@pytest.fixture(autouse=True)
def not_asked_yet() -> Iterator[None]:
    health._migrated.clear()
    yield
    health._migrated.clear()


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


def away(*_: Any, **__: Any) -> None:
    raise OperationalError("connection to server at db.internal failed: password for leadcrm")


# Probes


def test_healthz_asks_nobody(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection", away)
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_come_by_any_address_and_without_https(
    db: None, client: Client, settings: Any, path: str
) -> None:
    settings.ALLOWED_HOSTS = ["crm.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 200
    # Everything else is as strict as ever.
    assert client.get("/admin/", headers={"Host": "crm.example.com"}).status_code == 301


def test_it_is_ready(desk: Desk, client: Client) -> None:
    assert client.get("/readyz").json() == {"ready": True, "oldest_unprocessed_seconds": 0}


def test_it_tells_how_long_the_oldest_has_waited_and_is_ready_nevertheless(
    desk: Desk, client: Client
) -> None:
    ago = timezone.now() - timedelta(minutes=10)
    WebhookDelivery.objects.create(body=b"1", status="failed", received_at=ago)
    WebhookDelivery.objects.create(
        body=b"2", status="unroutable", received_at=ago - timedelta(days=1), idempotency_key="2"
    )
    response = client.get("/readyz")
    assert response.status_code == 200
    assert 600 <= response.json()["oldest_unprocessed_seconds"] < 660


def test_without_a_database_it_is_not_ready_and_says_no_secret(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.cursor", away)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "reason": "the database does not answer"}


def test_with_a_migration_to_come_it_is_not_ready(desk: Desk, client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'kapso_sync'")
    response = client.get("/readyz")
    assert (response.status_code, response.json()["reason"]) == (503, "migrations are not applied")


def test_migrations_are_looked_at_until_they_are_applied_and_no_more(desk: Desk, client: Client) -> None:
    client.get("/readyz")
    with CaptureQueriesContext(connection) as captured:
        assert client.get("/readyz").status_code == 200
    assert len(captured) == 1


# Who may read the metrics


def read(client: Client, authorization: str = "", host: str = "testserver") -> Any:
    headers = {"Authorization": authorization, "Host": host} if authorization else {"Host": host}
    return client.get("/metrics", headers=headers)


def test_prometheus_brings_the_token_by_any_address(desk: Desk, client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN
    settings.SECURE_SSL_REDIRECT = True
    response = read(client, f"Bearer {TOKEN}", "10.1.2.3:8000")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer tokén"],
)
def test_another_token_is_refused(desk: Desk, client: Client, settings: Any, authorization: str) -> None:
    settings.METRICS_TOKEN = TOKEN
    response = read(client, authorization)
    assert response.status_code == 401
    assert b"leadcrm_" not in response.content


def test_without_a_token_superusers_alone_read_them(desk: Desk, client: Client) -> None:
    assert read(client).status_code == read(client, "Bearer ").status_code == 401
    client.force_login(User.objects.create_user("ana", is_staff=True))
    assert read(client).status_code == 401
    client.force_login(User.objects.create_superuser("boss"))
    assert read(client).status_code == 200


# What they say


@pytest.fixture
def boss(desk: Desk, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss"))
    return client


def measured(client: Client) -> dict[tuple[str, ...], float]:
    text = read(client).content.decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_answers_outcomes_and_early_returns_are_counted(boss: Client, desk: Desk) -> None:
    desk.told(message("a"), message("b", 1))
    desk.post(message("a"), key="twice")
    desk.post(message("a"), key="twice")
    desk.post(message("c"), secret="wrong")
    desk.post(message("d", hologram=1), "whatsapp.message.edited")
    told = measured(boss)
    assert told["leadcrm_webhook_answers_total", "200"] == 5
    assert told["leadcrm_webhook_answers_total", "401"] == 1
    assert told["leadcrm_deliveries_total", "processed"] == 3
    assert told["leadcrm_deliveries_total", "ignored"] == 1
    assert told["leadcrm_deliveries_total", "copy"] == 1
    assert told["leadcrm_noticed_total", "drift"] == told["leadcrm_noticed_total", "ignored"] == 1
    assert told["leadcrm_noticed_total", "failed"] == 0


def test_latencies_are_histograms(boss: Client, desk: Desk) -> None:
    just_now = int((datetime.now(UTC) - timedelta(seconds=4)).timestamp())
    desk.told(message("a", str(just_now)), message("b", 1))
    told = measured(boss)
    assert told["leadcrm_webhook_commit_seconds_bucket", "+Inf"] == 2
    assert told["leadcrm_webhook_commit_seconds_count",] == 2
    assert 0 < told["leadcrm_webhook_commit_seconds_sum",] < 60
    assert told["leadcrm_event_commit_seconds_bucket", "2.0"] == 0
    assert told["leadcrm_event_commit_seconds_bucket", "300.0"] == 1
    assert told["leadcrm_event_commit_seconds_bucket", "+Inf"] == 2


def test_history_says_nothing_of_how_fast_events_come(boss: Client, desk: Desk) -> None:
    desk.told(message("a", origin="history_sync"))
    assert measured(boss)["leadcrm_event_commit_seconds_count",] == 0


def test_what_waits_is_counted_with_its_age(boss: Client, desk: Desk) -> None:
    ago = timezone.now() - timedelta(hours=1)
    WebhookDelivery.objects.create(body=b"1", status="failed", received_at=ago)
    told = measured(boss)
    assert told["leadcrm_deliveries_waiting", "failed"] == 1
    assert told["leadcrm_deliveries_waiting", "unroutable"] == 0
    assert 3600 <= told["leadcrm_oldest_waiting_seconds", "failed"] < 3700
    assert told["leadcrm_oldest_waiting_seconds", "received"] == 0


def test_what_has_no_body_any_more_waits_for_nothing(boss: Client, client: Client) -> None:
    ago = timezone.now() - timedelta(hours=1)
    WebhookDelivery.objects.create(body=b"", status="failed", received_at=ago, body_cleared_at=ago)
    assert measured(boss)["leadcrm_deliveries_waiting", "failed"] == 0
    assert client.get("/readyz").json()["oldest_unprocessed_seconds"] == 0


def test_each_number_is_told_of(boss: Client, desk: Desk) -> None:
    desk.told(message("a"))
    minute = timezone.now().replace(second=0, microsecond=0)
    AnswerCount.objects.create(phone_number_id=LIMA, minute=minute, http_status=503, count=99)
    told = measured(boss)
    assert told["leadcrm_number_pause", LIMA] == 2
    assert told["leadcrm_number_failing_ratio", LIMA] == 0.99
    assert told["leadcrm_number_silent", LIMA] == told["leadcrm_number_gaps", LIMA] == 0
    assert abs(told["leadcrm_number_last_delivery_timestamp_seconds", LIMA] - timezone.now().timestamp()) < 60


def test_whatever_is_measured_is_documented(boss: Client, desk: Desk, settings: Any) -> None:
    desk.told(message("a"))
    desk.post(message("b"), secret="wrong")
    names = {name for name, *_ in measured(boss) if name.startswith("leadcrm_")}
    guide = (settings.BASE_DIR / "docs" / "monitoring.md").read_text()
    rows = [line for line in guide.splitlines() if line.startswith("| `leadcrm_")]
    documented = {name for row in rows for name in re.findall(r"`(leadcrm_\w+)", row)}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in names} == documented


def test_nobody_is_named(boss: Client, desk: Desk) -> None:
    desk.told(message("wamid.1", name="Ana Torres", text="very private"))
    desk.post(batch(message("wamid.2"), "x"), f"event {ANA}")
    said = read(boss).content.decode()
    for private in (ANA, "Ana", "private", "wamid", "secret", "lima-secret"):
        assert private not in said


def test_any_number_of_numbers_takes_the_same_queries(boss: Client, desk: Desk) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            read(boss)
        return len(captured)

    desk.post(message("a"), RECEIVED)
    read(boss)
    few = queries()
    for index in range(30):
        PhoneNumber.objects.create(workspace=desk.numbers[LIMA].workspace, phone_number_id=f"77{index}")
    assert queries() == few


def test_two_processes_tell_the_same(boss: Client, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.told(message("a"))
    there = measured(boss)
    other = Tallies()
    monkeypatch.setattr(counting, "tallies", other)
    monkeypatch.setattr(measures, "tallies", other)
    here = measured(boss)
    assert (
        here["leadcrm_deliveries_total", "processed"] == there["leadcrm_deliveries_total", "processed"] == 1
    )
