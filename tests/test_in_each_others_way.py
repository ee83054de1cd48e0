"""Erasing, replaying and webhooks at the same rows: in one order of locks, and with an end to waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Thread
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.models import Contact, Tombstone
from contacts.statements.record_facts import PEOPLE_LOCK
from kapso_sync import erasing, patience, sync
from kapso_sync.erasing import BODIES_LEFT, NOTHING_ERASED, erase_person
from kapso_sync.models import WebhookDelivery
from kapso_sync.outcomes import BUSY_PAUSE
from kapso_sync.patience import TRIES, TooBusy
from kapso_sync.replaying import replay_in_batches
from kapso_sync.retrying import retry_due
from tests.builders import ANA, BEA, LIMA, Desk, batch, message
from tests.test_retrying import time_passes
from tests.test_webhook import another_connection
from tests.whole_database import places_of

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


def erase(desk: Desk) -> erasing.Erased:
    lead = desk.lead()
    return erase_person(lead.workspace_id, lead.pk)


def wait_until_somebody_waits() -> None:
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


# An erasure


def test_an_erasure_waits_for_a_replay_with_nothing_that_the_replay_wants(desk: Desk) -> None:
    """A replay locks deliveries first and workspaces then. So does whoever clears bodies, or both would wait."""
    desk.told(message("a"))
    outcomes: list[erasing.Erased] = []

    def work() -> None:
        try:
            outcomes.append(erase(desk))
        finally:
            connections.close_all()

    with another_connection() as replay:
        replay.execute(DELIVERIES)
        thread = Thread(target=work)
        thread.start()
        wait_until_somebody_waits()
        shared = PEOPLE.replace("pg_advisory", "pg_try_advisory")
        assert [got for (got,) in replay.execute(shared)] == [True, True]
        replay.rollback()
        thread.join(30)
    assert (outcomes[0].bodies, places_of(ANA)) == (1, [])


@pytest.mark.parametrize("held", [DELIVERIES, PEOPLE, LEADS], ids=["deliveries", "people", "leads"])
def test_an_erasure_that_others_keep_waiting_says_so_and_can_be_started_again(
    desk: Desk, other: Connection, pauses: list[Callable[[], Any]], held: str
) -> None:
    desk.told(message("a"), message("b", 1, phone=BEA))
    lead = desk.lead()
    tries: list[None] = []
    pauses += [lambda: tries.append(None)] * 20
    other.execute(held)
    with pytest.raises(TooBusy) as busy:
        erase(desk)
    assert (str(busy.value), len(tries)) == (NOTHING_ERASED, TRIES - 1)
    assert (desk.lead(), lead.messages.count(), Tombstone.objects.exists()) == (lead, 1, False)
    with pytest.raises(CommandError, match=NOTHING_ERASED):
        call_command("erase_person", str(lead.pk), yes=True)

    other.rollback()
    erase(desk)
    assert (places_of(ANA), desk.only_lead.phone) == ([], BEA)


def test_the_erase_page_says_so_and_stays(
    desk: Desk, other: Connection, pauses: list[Callable[[], Any]], admin_client: Client
) -> None:
    desk.told(message("a"))
    other.execute(DELIVERIES)
    page = reverse("lead-erase", args=[desk.only_lead.pk])
    answer = admin_client.post(page, {"typed": ANA}, follow=True)
    assert answer.redirect_chain == [(page, 302)]
    assert NOTHING_ERASED in answer.content.decode()


def test_an_erasure_that_others_keep_waiting_for_a_moment_is_done(
    desk: Desk, other: Connection, pauses: list[Callable[[], Any]]
) -> None:
    desk.told(message("a"))
    pauses.append(other.rollback)
    other.execute(DELIVERIES)
    assert erase(desk).bodies == 1
    assert places_of(ANA) == []


def test_what_others_are_told_in_an_erased_body_is_not_lost_to_a_busy_moment(
    desk: Desk, other: Connection, pauses: list[Callable[[], Any]]
) -> None:
    desk.told(message("a"), message("b", phone=BEA))
    body = batch(message("c", 1), message("d", 2, phone=BEA))
    other.execute("SELECT FROM contacts_identity WHERE value = %s FOR UPDATE", [BEA])
    assert desk.post(body).json["status"] == "failed"
    pauses.append(other.rollback)
    outcome = erase(desk)
    assert (outcome.bodies, outcome.never_applied, places_of(ANA)) == (2, 0, [])
    assert set(desk.only_lead.messages.values_list("kapso_message_id", flat=True)) == {"b", "d"}


def test_bodies_that_came_meanwhile_and_are_held_are_told_of(
    desk: Desk, other: Connection, pauses: list[Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.told(message("a"))
    body = WebhookDelivery.objects.get().raw_body
    erase_from_crm = erasing._erase_from_crm

    def erase_and_be_late(*args: Any) -> Any:
        person = erase_from_crm(*args)
        WebhookDelivery.of(body, {"x-idempotency-key": "late"}, received_at=timezone.now()).save()
        other.execute(DELIVERIES)
        return person

    monkeypatch.setattr(erasing, "_erase_from_crm", erase_and_be_late)
    with pytest.raises(TooBusy) as busy:
        erase(desk)
    assert (str(busy.value), Contact.objects.exists()) == (BODIES_LEFT, False)

    other.rollback()
    monkeypatch.undo()
    erase_person(desk.numbers[LIMA].workspace_id, None, [("phone", ANA)])
    assert places_of(ANA) == []


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
