"""What failed, was left behind or waited for its number is tried again by itself: once each, with growing pauses."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection, connections
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import contacts.sync
from contacts.models import Contact, Message, PhoneNumber
from contacts.refresh import refresh
from kapso_sync import formats, retrying, sync
from kapso_sync.models import WebhookDelivery
from kapso_sync.outcomes import BUSY_PAUSE, MOST_DEATHS, NOBODY_CAME_BACK, PAUSES
from kapso_sync.replaying import BATCH_BYTES, replay_in_batches
from kapso_sync.retrying import BATCH, LEASE, retry_due, retry_until_nothing_is_due
from tests.builders import LIMA, SAOPAULO, UNKNOWN, Desk, batch, message
from tests.kapso import PAYLOADS, Kapso, body_of, load, sign
from tests.test_webhook import another_connection

ANOTHER = "888888888888888"


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def real_desk(transactional_db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A sync that fails until it is mended."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("not written yet")

    monkeypatch.setattr(contacts.sync, "refresh", fail)
    return lambda: monkeypatch.setattr(contacts.sync, "refresh", refresh)


def time_passes(**deltas: float) -> None:
    """All that is stored becomes older by that much."""
    passed = timedelta(**deltas)
    WebhookDelivery.objects.update(
        received_at=F("received_at") - passed, next_retry_at=F("next_retry_at") - passed
    )


def register(desk: Desk, number: str = UNKNOWN, **fields: Any) -> PhoneNumber:
    workspace = desk.numbers[LIMA].workspace
    return PhoneNumber.objects.create(workspace=workspace, phone_number_id=number, **fields)


def outcome(delivery: WebhookDelivery) -> tuple[str, int]:
    delivery.refresh_from_db()
    return delivery.status, delivery.attempts


# What failed


def test_a_failed_delivery_is_retried_when_its_pause_is_over(desk: Desk, broken: Callable[[], None]) -> None:
    delivery = desk.post(message("a")).delivery
    broken()
    assert (retry_due(), outcome(delivery)) == ({}, ("failed", 1)), "its pause has begun just now"

    time_passes(seconds=PAUSES[0])
    assert (retry_due(), outcome(delivery)) == ({"processed": 1}, ("processed", 2))
    assert desk.row("a").contact == desk.only_lead
    assert "not written yet" in delivery.past_attempts.get().error
    assert retry_due() == {}


def test_what_fails_again_is_said_to_have_failed(desk: Desk, broken: Callable[[], None]) -> None:
    delivery = desk.post(message("a")).delivery
    time_passes(days=1)
    assert (retry_due(), outcome(delivery)) == ({"failed": 1}, ("failed", 2))
    assert delivery.next_retry_at is not None


def test_nobody_retries_what_waits_for_a_human(desk: Desk, broken: Callable[[], None]) -> None:
    delivery = desk.post(message("a")).delivery
    for _ in PAUSES:
        time_passes(days=2)
        assert retry_due() == {"failed": 1}
    time_passes(days=2)
    assert (retry_due(), outcome(delivery)) == ({}, ("failed", len(PAUSES) + 1))
    assert delivery.next_retry_at is None


def test_success_is_not_reported_when_nothing_ran(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is lost between the claim and the retry: no outcome, and the deliveries are not lost."""
    delivery = desk.post(message("a")).delivery
    WebhookDelivery.objects.update(status="failed", next_retry_at=timezone.now() - LEASE)

    def lost(*_: Any, **__: Any) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr("kapso_sync.sync.replay", lost)
    with pytest.raises(ConnectionError):
        retry_due()
    monkeypatch.undo()
    assert outcome(delivery) == ("failed", 1)
    time_passes(seconds=LEASE.total_seconds())
    assert (retry_due(), outcome(delivery)) == ({"processed": 1}, ("processed", 3))
    assert delivery.past_attempts.get(number=2).error == NOBODY_CAME_BACK


def test_a_busy_moment_gets_a_short_pause(real_desk: Desk) -> None:
    """DESIGN.md section 3: a webhook that waits on a lock gives up, is stored as failed and retried."""
    real_desk.told(message("a"))
    with another_connection() as other:
        other.execute("SELECT 1 FROM contacts_identity FOR UPDATE")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '200ms'")
        delivery = real_desk.post(message("b", 5)).delivery
        other.rollback()
    connection.close()
    assert delivery.status == "failed"
    assert delivery.next_retry_at is not None
    assert delivery.next_retry_at - timezone.now() <= timedelta(seconds=BUSY_PAUSE)
    time_passes(seconds=BUSY_PAUSE)
    assert (retry_due(), outcome(delivery)) == ({"processed": 1}, ("processed", 2))


# What was left behind


def test_what_a_crash_left_behind_is_picked_up_after_a_minute(desk: Desk) -> None:
    delivery = WebhookDelivery.of(b"{}", {}, received_at=timezone.now())
    delivery.save()
    assert retry_due() == {}
    time_passes(seconds=61)
    assert (retry_due(), outcome(delivery)) == ({"ignored": 1}, ("ignored", 1))


def test_a_body_that_was_cleared_is_not_retried(desk: Desk, broken: Callable[[], None]) -> None:
    desk.post(message("a"))
    WebhookDelivery.objects.update(body=b"", body_cleared_at=timezone.now())
    time_passes(days=1)
    assert retry_due() == {}
    assert not desk.post(message("b")).delivery.others_are_due


# What waited for its number


def test_unroutable_deliveries_are_processed_when_their_number_is_here(desk: Desk) -> None:
    delivery = desk.post(message("a", number=UNKNOWN)).delivery
    assert retry_due() == {}
    with connection.cursor() as cursor:  # not by the admin, nor by the ORM
        cursor.execute(
            "INSERT INTO contacts_phonenumber (workspace_id, phone_number_id, display_phone_number, webhook_secret)"
            " VALUES (%s, %s, '', '')",
            [desk.numbers[LIMA].workspace_id, UNKNOWN],
        )
    assert (retry_due(), outcome(delivery)) == ({"processed": 1}, ("processed", 2))
    assert (delivery.waits_for, retry_due()) == (None, {})


def test_what_came_while_a_number_was_inactive_counts_when_it_is_active_again(desk: Desk) -> None:
    PhoneNumber.objects.filter(phone_number_id=LIMA).update(is_active=False)
    delivery = desk.post(message("a")).delivery
    assert (delivery.status, retry_due()) == ("ignored", {})
    PhoneNumber.objects.filter(phone_number_id=LIMA).update(is_active=True)
    assert (retry_due(), outcome(delivery)) == ({"processed": 1}, ("processed", 2))


def test_a_body_that_names_a_second_number_is_not_retried_for_ever(desk: Desk) -> None:
    two = batch(message("a", number=UNKNOWN), message("b", 1, number=ANOTHER), message("c", 2))
    delivery = desk.post(two).delivery
    register(desk)
    assert retry_until_nothing_is_due() == {"unroutable": 1}, "once, for the one that is here now"
    assert (outcome(delivery), delivery.waits_for) == (("unroutable", 2), [ANOTHER])
    assert Message.objects.count() == 2

    register(desk, ANOTHER)
    assert retry_until_nothing_is_due() == {"processed": 1}
    assert Message.objects.count() == 3


def test_a_number_of_another_secret_is_not_waited_for(desk: Desk) -> None:
    two = batch(message("a"), message("b", 1, number=UNKNOWN))
    assert desk.post(two, secret="lima-secret").delivery.waits_for is None


@pytest.mark.parametrize("name", sorted(path.stem for path in PAYLOADS.glob("*.json")))
def test_whatever_an_item_waits_for_is_a_number_that_its_body_names(name: str) -> None:
    """A replay asks for those numbers: else it would be claimed again and again and never find the one that is here."""
    case = load(name)
    delivery = WebhookDelivery.of(body_of(case), case["headers"])
    if delivery.unparseable:
        return
    items = formats.normalise(
        delivery.payload,
        headers=delivery.headers,
        received_at=timezone.now(),
        digest="",
        own_phones={},
    )
    assert {item.number for item in items} <= {*delivery.numbers_named, ""}


def test_finding_them_reads_none_of_those_that_wait_on(real_desk: Desk) -> None:
    for index in range(5):
        real_desk.post(message(f"m{index}", index, number=UNKNOWN))
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO kapso_sync_webhookdelivery (received_at, body, idempotency_key, status, waits_for)"
                       " SELECT now(), '', i::text, 'unroutable', '{7}' FROM generate_series(1, 5000) i")  # fmt: skip
        cursor.execute("ANALYZE kapso_sync_webhookdelivery")
        indexes = ("delivery_to_retry", "delivery_unfinished", "delivery_waits_for")
        for claim, name in zip(retrying.CLAIMS, indexes, strict=True):
            cursor.execute(f"EXPLAIN {claim}", [BATCH, LEASE.total_seconds()])
            assert name in "\n".join(line for (line,) in cursor.fetchall())


# Whoever sends may be gone (EDGE_CASES 22)


def test_a_sender_that_hangs_up_early_has_delivered(real_desk: Desk, kapso: Kapso) -> None:
    raw = json.dumps(message("a")).encode()
    address = urlsplit(kapso.url)
    head = (
        f"POST /webhooks/kapso/ HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(raw)}\r\n"
        f"X-Webhook-Signature: {sign(raw, 'project-secret')}\r\nX-Idempotency-Key: k\r\n\r\n"
    )
    with socket.create_connection((str(address.hostname), address.port or 80)) as sender:
        sender.sendall(head.encode() + raw)
    for _ in range(200):
        if WebhookDelivery.objects.exists():
            break
        time.sleep(0.05)
    again = kapso.post(raw, key="k").delivery
    assert (again.status, again.duplicates, again.attempts) == ("processed", 1, 1)
    assert Message.objects.count() == 1


# Several at once


def test_two_retriers_at_once_take_each_delivery_once(real_desk: Desk) -> None:
    for index in range(60):
        real_desk.post(message(f"m{index}", index, phone=f"519111{index:05}"))
    Message.objects.all().delete()
    WebhookDelivery.objects.update(status="failed", next_retry_at=timezone.now() - LEASE)
    came_out: list[dict[str, int]] = []
    both = threading.Barrier(2)

    def work() -> None:
        try:
            both.wait(timeout=10)
            while found := retry_due(7):
                came_out.append(found)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sum(sum(found.values()) for found in came_out) == 60
    assert set(WebhookDelivery.objects.values_list("status", "attempts")) == {("processed", 2)}
    assert Message.objects.count() == 60


def test_a_claimed_delivery_is_nobody_elses(desk: Desk, broken: Callable[[], None]) -> None:
    desk.post(message("a"))
    time_passes(days=1)
    assert len(retrying._claim(BATCH)) == 1
    assert retry_due() == {}, "somebody is at it"
    time_passes(seconds=LEASE.total_seconds())
    assert retry_due() == {"failed": 1}, "who died"


def test_no_more_are_claimed_than_asked_for(desk: Desk, broken: Callable[[], None]) -> None:
    for index in range(3):
        desk.post(message(f"m{index}", index))
    desk.post(message("w", 9, number=UNKNOWN))
    register(desk)
    time_passes(days=1)
    broken()
    assert [retry_due(2).total() for _ in range(3)] == [2, 2, 0]
    assert Message.objects.count() == 4


class Killed(BaseException):
    """What ends a process on the spot: nothing of ours is asked."""


def retry_and_survive() -> int:
    """Retries, as one process after the other would, until nothing is due any more; returns how many were killed."""
    killed = 0
    for _ in range(20):
        try:
            if not retry_due():
                return killed
        except Killed:
            killed += 1
        time_passes(seconds=LEASE.total_seconds())
    raise AssertionError("it is tried for ever")


@pytest.mark.parametrize("status", ["failed", "received", "unroutable"])
def test_what_kills_whoever_tries_it_is_tried_alone_and_not_for_ever(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    bomb, *others = [desk.post(message(f"m{index}", index)).delivery for index in range(3)]
    WebhookDelivery.objects.update(
        status=status,
        next_retry_at=timezone.now() - LEASE if status == "failed" else None,
        waits_for=[LIMA] if status == "unroutable" else None,
        received_at=timezone.now() - timedelta(hours=1),
    )
    replay = sync.replay

    def explode(deliveries: Sequence[WebhookDelivery]) -> list[WebhookDelivery]:
        if bomb in deliveries:
            raise Killed
        return replay(deliveries)

    monkeypatch.setattr(sync, "replay", explode)
    assert retry_and_survive() == MOST_DEATHS
    assert [outcome(other)[0] for other in others] == ["processed"] * 2

    assert outcome(bomb) == ("failed", 1 + MOST_DEATHS)
    assert (bomb.error, bomb.next_retry_at) == (NOBODY_CAME_BACK, None), "it waits for a human"
    past = list(bomb.past_attempts.values_list("status", "error"))
    assert past == [(status, ""), *[("failed", NOBODY_CAME_BACK)] * (MOST_DEATHS - 1)]
    assert retry_and_survive() == 0

    monkeypatch.undo()
    assert replay_in_batches(WebhookDelivery.objects.filter(pk=bomb.pk)) == {"processed": 1}
    bomb.refresh_from_db()
    assert (bomb.status, bomb.claims) == ("processed", 0)


def test_of_long_bodies_few_are_claimed(desk: Desk) -> None:
    for index in range(3):
        WebhookDelivery.of(
            b"x" * (3 * BATCH_BYTES // 5) + b"%d" % index, {}, received_at=timezone.now() - timedelta(hours=1)
        ).save()
    WebhookDelivery.of(b"y" * (2 * BATCH_BYTES), {}, received_at=timezone.now() - timedelta(hours=1)).save()
    assert [retry_due().total() for _ in range(5)] == [1, 1, 1, 1, 0]


def test_an_idle_look_takes_three_statements(desk: Desk) -> None:
    desk.post(message("a"))
    with CaptureQueriesContext(connection) as captured:
        assert retry_due() == {}
    assert len(captured) == 3


# Code and schema that do not fit each other (EDGE_CASES 23)


@pytest.mark.parametrize(
    ("deploy", "undo"),
    [
        ("ALTER TABLE contacts_message ADD COLUMN later int NOT NULL",
         "ALTER TABLE contacts_message DROP COLUMN later"),
        ("ALTER TABLE contacts_conversation RENAME TO contacts_thread",
         "ALTER TABLE contacts_thread RENAME TO contacts_conversation"),
        ("ALTER TABLE contacts_contact RENAME COLUMN kapso_name TO profile_name",
         "ALTER TABLE contacts_contact RENAME COLUMN profile_name TO kapso_name"),
    ],
    ids=["not-null", "table-renamed", "column-renamed"],
)  # fmt: skip
def test_an_old_process_at_a_newer_schema_fails_and_never_says_processed(
    real_desk: Desk, deploy: str, undo: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(deploy)
        try:
            answer = real_desk.post(message("a"))
        finally:
            cursor.execute(undo)
    assert (answer.status, answer.json["status"], answer.delivery.raw_body != b"") == (200, "failed", True)
    assert not Message.objects.exists()
    time_passes(minutes=1)
    assert (retry_due(), outcome(answer.delivery)) == ({"processed": 1}, ("processed", 2))
    assert real_desk.row("a").contact == real_desk.only_lead


# Without a worker: by whoever has answered


def test_the_next_webhook_retries_what_is_due(desk: Desk, broken: Callable[[], None]) -> None:
    delivery = desk.post(message("a")).delivery
    broken()
    desk.post(message("b", 1))
    assert outcome(delivery) == ("failed", 1), "not yet due"
    time_passes(seconds=PAUSES[0])
    desk.post(message("c", 2))
    assert outcome(delivery) == ("processed", 2)
    assert Message.objects.count() == 3


def test_the_first_webhook_of_a_new_number_brings_in_what_waited(desk: Desk) -> None:
    delivery = desk.post(message("a", number=UNKNOWN)).delivery
    register(desk)
    desk.post(message("b", 1))
    assert outcome(delivery) == ("unroutable", 1), "to ask for all numbers each time would cost too much"
    desk.post(message("c", 2, number=UNKNOWN))
    assert outcome(delivery) == ("processed", 2)


def test_what_still_waits_makes_no_request_look(desk: Desk) -> None:
    desk.post(message("a", number=UNKNOWN))
    answers = [desk.post(message("b", 1)), desk.post(message("c", 2, number=UNKNOWN))]
    assert [answer.delivery.attempts for answer in answers] == [1, 1]
    with CaptureQueriesContext(connection) as captured:
        desk.post(message("d", 3))
    assert not any("SKIP LOCKED" in str(query["sql"]) for query in captured)


def test_a_webhook_takes_up_a_few_only(
    desk: Desk, broken: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "A_FEW", 2)
    for index in range(5):
        desk.post(message(f"m{index}", index))
    broken()
    time_passes(seconds=PAUSES[0])
    desk.post(message("next", 9))
    assert WebhookDelivery.objects.filter(status="failed").count() == 3


def test_one_request_of_a_process_at_a_time_retries(desk: Desk, broken: Callable[[], None]) -> None:
    delivery = desk.post(message("a")).delivery
    broken()
    time_passes(seconds=PAUSES[0])
    with retrying._at_work:
        assert desk.post(message("b", 1)).json["status"] == "processed"
        assert outcome(delivery) == ("failed", 1)
    desk.post(message("c", 2))
    assert outcome(delivery) == ("processed", 2)


def test_an_error_of_the_retry_changes_no_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk.post(message("a"))
    WebhookDelivery.objects.update(status="failed", next_retry_at=timezone.now() - timedelta(seconds=1))

    def lost(*_: Any, **__: Any) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr("kapso_sync.sync.replay", lost)
    answer = desk.post(message("b", 1))
    assert (answer.status, answer.json["status"]) == (200, "processed")
    assert "could not be retried" in caplog.text
    assert not retrying._at_work.locked()


def test_the_answer_is_sent_before_anything_is_retried(
    real_desk: Desk, kapso: Kapso, broken: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a real socket: the whole answer is here while the retry has not been let go yet."""
    delivery = real_desk.post(message("a")).delivery
    broken()
    time_passes(seconds=PAUSES[0])
    go, done = threading.Event(), threading.Event()
    retry = retrying.retry_due

    def wait_and_retry(limit: int) -> Any:
        assert go.wait(timeout=20)
        try:
            return retry(limit)
        finally:
            done.set()

    monkeypatch.setattr(retrying, "retry_due", wait_and_retry)
    answer = kapso.post(message("b", 1), event="whatsapp.message.received")
    assert (answer.status, answer.json["status"]) == (200, "processed")
    assert outcome(delivery) == ("failed", 1)
    go.set()
    assert done.wait(timeout=20)
    assert outcome(delivery) == ("processed", 2)
    assert Contact.objects.count() == 1


def test_a_retry_of_sao_paulo_leaves_lima_alone(desk: Desk) -> None:
    theirs = desk.post(message("a")).delivery
    ours = desk.post(message("b", number=SAOPAULO)).delivery
    WebhookDelivery.objects.filter(pk=ours.pk).update(status="failed", next_retry_at=timezone.now() - LEASE)
    retry_due()
    assert (outcome(theirs), outcome(ours)) == (("processed", 1), ("processed", 2))
