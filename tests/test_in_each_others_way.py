"""Replays and others at the same rows: with an end to waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from contacts.statements.record_facts import PEOPLE_LOCK
from kapso_sync import patience, sync
from kapso_sync.models import WebhookDelivery
from kapso_sync.outcomes import BUSY_PAUSE
from kapso_sync.replaying import replay_in_batches
from kapso_sync.retrying import retry_due
from tests.builders import Desk, message
from tests.test_retrying import time_passes
from tests.test_webhook import another_connection

DELIVERIES = "SELECT FROM kapso_sync_webhookdelivery FOR UPDATE"
PEOPLE = f"SELECT pg_advisory_xact_lock_shared({PEOPLE_LOCK}, id::int) FROM contacts_workspace"  # noqa: S608
IDENTITIES = "SELECT FROM contacts_identity FOR UPDATE"
LEADS = "SELECT FROM contacts_contact FOR UPDATE"

Connection = psycopg.Connection[Any]


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def other(desk: Desk) -> Iterator[Connection]:
    """Somebody else, in a session of their own; ours waits for a moment only."""
    with another_connection() as session:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        yield session
        session.rollback()
    connection.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """What happens in one pause after the other; nothing in those for which the list is too short."""
    happens: list[Callable[[], Any]] = []
    monkeypatch.setattr(patience, "sleep", lambda _: happens.pop(0)() if happens else None)
    return happens


# A replay


@pytest.mark.parametrize("held", [IDENTITIES, PEOPLE.replace("_shared", "")], ids=["a person", "the people"])
def test_a_batch_that_meets_a_lock_is_tried_again_by_itself_and_soon(
    desk: Desk, other: Connection, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is none that cannot be applied: nobody looks for the bad one among them, one by one, each waiting as long."""
    desk.told(*(message(f"m{index}", index) for index in range(4)))
    begun: list[sync.Batch] = []
    begin = sync.Batch._begin
    monkeypatch.setattr(sync.Batch, "_begin", lambda batch: begun.append(batch) or begin(batch))  # type: ignore[func-returns-value]
    other.execute(held)
    assert replay_in_batches(WebhookDelivery.objects.all()) == {"failed": 4}
    other.rollback()
    assert len(begun) == 2, "once as a whole, and once to keep what it met"
    for delivery in WebhookDelivery.objects.all():
        assert "lock timeout" in delivery.error
        assert delivery.next_retry_at is not None
        assert delivery.next_retry_at - timezone.now() <= timedelta(seconds=BUSY_PAUSE)

    time_passes(seconds=BUSY_PAUSE)
    assert retry_due() == {"processed": 4}
    assert set(WebhookDelivery.objects.values_list("status", "error", "failures")) == {("processed", "", 0)}


def test_a_replay_of_deliveries_that_somebody_holds_changes_nothing_and_says_so(
    desk: Desk, other: Connection, pauses: list[Callable[[], Any]]
) -> None:
    desk.told(message("a"))
    other.execute(DELIVERIES)
    with pytest.raises(CommandError, match="try again in a moment"):
        call_command("replay_webhooks", all=True)
    pauses.append(other.rollback)
    assert replay_in_batches(WebhookDelivery.objects.all()) == {"processed": 1}
    assert WebhookDelivery.objects.get().attempts == 2
