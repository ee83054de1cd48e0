"""What is kept of each attempt at a delivery, and by which code it was made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

import contacts.sync
from contacts.models import Message, PhoneNumber
from contacts.refresh import refresh
from kapso_sync.models import DeliveryAttempt, WebhookDelivery
from kapso_sync.outcomes import PAUSES
from kapso_sync.rehearsing import rehearsal
from kapso_sync.replaying import replay_in_batches
from leadcrm.version import code_version
from tests.builders import LIMA, UNKNOWN, Desk, batch, message


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A sync that fails with this text; none mends it."""

    def put(text: str) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError(text)

        monkeypatch.setattr(contacts.sync, "refresh", fail if text else refresh)

    return put


def replay() -> WebhookDelivery:
    replay_in_batches(WebhookDelivery.objects.all())
    return WebhookDelivery.objects.get()


def past() -> list[tuple[int, str, str]]:
    """Number, status and last line of each past attempt."""
    rows = DeliveryAttempt.objects.order_by("number")
    return [(row.number, row.status, (row.error.splitlines() or [""])[-1]) for row in rows]


def test_a_first_attempt_leaves_no_past(desk: Desk) -> None:
    delivery = desk.post(message("a")).delivery
    assert (delivery.attempts, past()) == (1, [])


def test_each_failed_attempt_is_kept_after_the_fix(desk: Desk, broken: Callable[[str], None]) -> None:
    broken("first")
    delivery = desk.post(message("a")).delivery
    assert (delivery.attempts, delivery.failures, past()) == (1, 1, [])
    broken("second")
    assert (replay().failures, replay().failures) == (2, 3)
    broken("")

    mended = replay()
    assert (mended.status, mended.error, mended.attempts, mended.failures) == ("processed", "", 4, 0)
    assert past() == [
        (1, "failed", "RuntimeError: first"),
        (2, "failed", "RuntimeError: second"),
        (3, "failed", "RuntimeError: second"),
    ]
    first = DeliveryAttempt.objects.get(number=1)
    assert (first.at, first.code_version) == (delivery.processed_at, delivery.code_version)


def test_a_replay_that_changes_nothing_is_counted_and_not_kept(desk: Desk) -> None:
    desk.post(message("a"))
    for _ in range(3):
        replay()
    assert (replay().attempts, past()) == (5, [])


def test_a_replay_by_other_code_is_kept(desk: Desk, settings: Any) -> None:
    first = desk.post(message("a")).delivery
    settings.CODE_VERSION = "0.2.0+fedcba98"
    assert replay().code_version == "0.2.0+fedcba98"
    assert list(DeliveryAttempt.objects.values_list("code_version", flat=True)) == [first.code_version]


def test_a_replay_that_comes_to_something_else_is_kept(desk: Desk) -> None:
    desk.post(message("a"))
    PhoneNumber.objects.filter(phone_number_id=LIMA).update(phone_number_id="777")
    assert replay().status == "unroutable"
    assert past() == [(1, "processed", "")]


def test_a_number_set_inactive_undoes_nothing(desk: Desk) -> None:
    """What it told before is in the CRM, and stays processed; what came with it for another number still waits."""
    desk.told(message("a"))
    desk.post(batch(message("b", 1), message("c", 2, number=UNKNOWN)))
    PhoneNumber.objects.filter(phone_number_id=LIMA).update(is_active=False)
    desk.post(message("d", 3))
    outcomes = replay_in_batches(WebhookDelivery.objects.all())
    assert outcomes == {"processed": 1, "unroutable": 1, "ignored": 1}
    waits = list(WebhookDelivery.objects.order_by("id").values_list("waits_for", flat=True))
    assert (waits, past()) == ([None, [UNKNOWN], [LIMA]], [])
    with rehearsal(WebhookDelivery.objects.filter(status="processed")) as told:
        assert (told.outcomes, list(told.differences)) == ({"processed": 1}, [])


def test_what_was_stored_before_it_was_tried_has_no_past(desk: Desk) -> None:
    """An import, or somebody with SQL."""
    delivery = WebhookDelivery.objects.get(pk=desk.post(message("a")).delivery.pk)
    WebhookDelivery.objects.update(status="received", attempts=0, processed_at=None, code_version="")
    replay()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, past()) == ("processed", 1, [])


def test_a_copy_of_a_failed_delivery_is_its_next_attempt(desk: Desk, broken: Callable[[str], None]) -> None:
    broken("first")
    desk.post(message("a"), key="k")
    assert desk.post(message("a"), key="k").delivery.failures == 2
    broken("")
    copy = desk.post(message("a"), key="k").delivery
    assert (copy.status, copy.attempts, copy.duplicates, len(past())) == ("processed", 3, 2, 2)


def test_a_copy_of_what_cannot_be_read_is_counted_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("unreadable")

    monkeypatch.setattr("kapso_sync.formats.kapso_v2.number_of", lambda _: "")
    monkeypatch.setattr("kapso_sync.formats._item", fail)
    first = desk.post(message("a"), key="k").delivery
    assert (first.status, first.failures, first.attempts, "could not be read" in first.error) == (
        "failed",
        1,
        1,
        True,
    )
    assert first.next_retry_at is not None
    copy = desk.post(message("a"), key="k").delivery
    assert (copy.pk, copy.attempts, copy.failures) == (first.pk, 2, 2)


def test_a_replay_leaves_alone_what_it_must(desk: Desk) -> None:
    """EDGE_CASES 148: received_at, what is unread, and what people typed."""
    first = desk.post(message("a", name="Ana")).delivery
    lead = desk.only_lead
    lead.name, lead.lead_status, lead.tags = "Ana Torres", "qualified", ["vip"]
    lead.save(update_fields=["name", "lead_status", "tags"])
    before = list(desk.only_lead.__class__.objects.values()), list(Message.objects.values())

    assert replay().received_at == first.received_at
    assert (list(desk.only_lead.__class__.objects.values()), list(Message.objects.values())) == before


def test_two_replays_at_once_keep_what_each_came_to(
    transactional_db: None, broken: Callable[[str], None]
) -> None:
    desk = Desk.open()
    broken("no")
    desk.post(message("a"))
    both = threading.Barrier(2)

    def again() -> None:
        try:
            deliveries = WebhookDelivery.objects.all()
            both.wait(timeout=10)
            replay_in_batches(deliveries)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=again) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    delivery = WebhookDelivery.objects.get()
    assert (delivery.attempts, delivery.failures) == (3, 3)
    assert [number for number, *_ in past()] == [1, 2]


def test_outcomes_are_saved_with_one_statement(desk: Desk, broken: Callable[[str], None]) -> None:
    broken("no")
    for index in range(20):
        desk.post(message(f"m{index}", index))
    deliveries = list(WebhookDelivery.objects.all())
    with CaptureQueriesContext(connection) as captured:
        WebhookDelivery.objects.save_outcomes(deliveries)
    assert (len(captured), DeliveryAttempt.objects.count()) == (1, 20)


# When it is tried again


def pause(delivery: WebhookDelivery) -> float | None:
    """Seconds from now, to the nearest few: the clock goes on while a test runs."""
    if delivery.next_retry_at is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        return float((delivery.next_retry_at - cursor.fetchone()[0]) / timedelta(seconds=1))


def test_the_pauses_grow_and_then_it_waits_for_a_human(desk: Desk, broken: Callable[[str], None]) -> None:
    broken("no")
    found = [pause(desk.post(message("a")).delivery)]  # of one transaction: its now() stands still
    found += [pause(replay()) for _ in PAUSES]
    assert found == [*map(float, PAUSES), None]
    assert list(PAUSES) == sorted(PAUSES)


def test_a_given_up_delivery_that_somebody_replays_gets_its_pauses_anew(
    desk: Desk, broken: Callable[[str], None]
) -> None:
    """Else one busy moment after the fix would put it aside for good again."""
    broken("no")
    desk.post(message("a"))
    for _ in PAUSES:
        given_up = replay()
    assert (given_up.next_retry_at, given_up.failures) == (None, len(PAUSES) + 1)
    replayed = replay()
    assert (pause(replayed), replayed.failures, replayed.attempts) == (PAUSES[0], 1, len(PAUSES) + 2)
    assert len(past()) == len(PAUSES) + 1


def test_a_success_ends_the_series(desk: Desk, broken: Callable[[str], None]) -> None:
    broken("no")
    desk.post(message("a"))
    replay()
    broken("")
    assert replay().next_retry_at is None
    broken("again")
    assert pause(replay()) == PAUSES[0]


def test_one_bad_item_of_a_batch_is_tried_again_with_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = contacts.sync.apply

    def poisoned(told: Any, **options: Any) -> Any:
        if any(getattr(event, "wamid", "") == "bad" for _, event in told):
            raise ValueError("poison")
        return apply(told, **options)

    monkeypatch.setattr(contacts.sync, "apply", poisoned)
    delivery = desk.post(batch(message("good"), message("bad", 1))).delivery
    assert (delivery.status, Message.objects.count(), pause(delivery)) == ("failed", 1, PAUSES[0])


# Numbers that it waits for


def test_it_remembers_which_numbers_it_waits_for(desk: Desk) -> None:
    assert desk.post(message("a", number=UNKNOWN)).delivery.waits_for == [UNKNOWN]
    two = batch(message("b"), message("c", 1, number=UNKNOWN), message("d", 2, number="888888888888888"))
    assert desk.post(two).delivery.waits_for == ["888888888888888", UNKNOWN]
    assert desk.post(message("e", 3)).delivery.waits_for is None


@pytest.mark.parametrize("number", ["9" * 5000, "x" * 70])
def test_a_number_of_any_length_is_no_error(desk: Desk, number: str) -> None:
    answer = desk.post(message("a", number=number))
    assert (answer.status, answer.json["status"]) == (200, "unroutable")


# Which code


def test_every_attempt_says_by_which_code(desk: Desk, settings: Any) -> None:
    delivery = desk.post(message("a")).delivery
    assert delivery.code_version == settings.CODE_VERSION
    assert delivery.code_version.startswith(f"{settings.VERSION}+")


def test_one_changed_byte_is_other_code(tmp_path: Path) -> None:
    source = tmp_path / "kapso_sync" / "sync.py"
    source.parent.mkdir()
    versions = []
    for text in ("a = 1", "a = 2", "a = 1"):
        source.write_text(text)
        versions.append(code_version("1.0", tmp_path))
    assert versions[0] == versions[2] != versions[1]
    source.rename(source.with_name("views.py"))
    assert code_version("1.0", tmp_path) != versions[0]


def test_a_migration_tells_what_earlier_deliveries_wait_for(desk: Desk) -> None:
    desk.post(batch(message("a", number=UNKNOWN), message("b", 1, number="888888888888888")))
    desk.post(message("c", 2))
    desk.numbers[LIMA].is_active = False
    desk.numbers[LIMA].save(update_fields=["is_active"])
    desk.post(message("d", 3))
    before = list(WebhookDelivery.objects.order_by("id").values_list("waits_for", flat=True))
    assert before == [["888888888888888", UNKNOWN], None, [LIMA]]
    WebhookDelivery.objects.update(waits_for=None)
    with connection.cursor() as cursor:
        cursor.execute(import_module("kapso_sync.migrations.0006_failures_and_waiting").WAITED_FOR)
    assert list(WebhookDelivery.objects.order_by("id").values_list("waits_for", flat=True)) == before
