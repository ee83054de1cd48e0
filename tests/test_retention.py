"""Old bodies are cleared; what they told stays, late retries stay duplicates, and a rebuild loses nothing."""

from __future__ import annotations

import io
from datetime import timedelta
from random import Random
from threading import Thread
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts import people
from contacts.models import (
    AutomationEvent,
    Contact,
    Conversation,
    Identity,
    IdentityLink,
    KapsoSession,
    Message,
    MessageReceipt,
    ProfileFact,
)
from contacts.refresh import refresh
from contacts.writing import Written
from kapso_sync import parts, sync
from kapso_sync.clearing import clear
from kapso_sync.models import DeliveryAttempt, WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from kapso_sync.retention import Retention, clear_old_bodies
from tests.builders import ANA, LIMA, UNKNOWN, Desk, batch, message
from tests.kapso import body_of, load
from tests.state import crm_state
from tests.test_corpus import CORPUS
from tests.test_rebuild import difference

Status = WebhookDelivery.Status
FACTS = (Message, MessageReceipt, KapsoSession, AutomationEvent, ProfileFact, IdentityLink, Identity)


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


def age(days: float, **which: Any) -> None:
    WebhookDelivery.objects.filter(**which).update(received_at=timezone.now() - timedelta(days=days))


def command(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, stderr=out)
    return out.getvalue()


def store_corpus() -> None:
    for name in CORPUS:
        case = load(name)
        WebhookDelivery.store(
            [WebhookDelivery.of(body_of(case), case["headers"], received_at=timezone.now())]
        )
    replay_in_batches(WebhookDelivery.objects.all())


def rebuild_from_what_is_sealed() -> None:
    """Empty the tables but for the sealed rows, derive from those, and replay what still has a body."""
    Identity.objects.update(contact=None, home=None)
    Message.objects.update(contact=None, conversation=None)
    KapsoSession.objects.update(conversation=None)
    for model in FACTS:
        model._default_manager.filter(is_sealed=False).delete()
    Conversation.objects.all().delete()
    Contact.objects.update(merged_into=None)
    Contact.objects.all().delete()
    identities = set(Identity.objects.values_list("pk", flat=True))
    people.regroup(identities, set())
    refresh(
        Written(
            contacts=set(Contact.objects.values_list("pk", flat=True)),
            conversations=set(Conversation.objects.values_list("pk", flat=True)),
        ),
        set(Message.objects.values_list("phone_number_id", "kapso_message_id")),
        set(KapsoSession.objects.values_list("phone_number_id", "kapso_conversation_id")),
    )
    replay_in_batches(WebhookDelivery.objects.all())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.django_db
def test_a_rebuild_from_what_is_sealed_and_the_rest_loses_nothing(seed: int) -> None:
    Desk.open()
    store_corpus()
    before = crm_state()
    assert len(before) > 15
    keys = list(
        WebhookDelivery.objects.filter(status__in=["processed", "ignored"]).values_list("pk", flat=True)
    )
    chosen = Random(seed).sample(keys, len(keys) // (seed or 1) // 2 or 1)  # noqa: S311 - not a secret
    deliveries = list(WebhookDelivery.objects.filter(pk__in=chosen).replayable())
    clear(deliveries, parts.told_by(deliveries), unfinished="")
    assert not difference(before, crm_state())
    rebuild_from_what_is_sealed()
    assert not difference(before, crm_state())


def test_sealing_takes_the_same_few_statements_for_any_number(desk: Desk) -> None:
    counts = []
    for size in (1, 30):
        desk.told(*(message(f"m{size}-{index}", index, phone=f"5191111{index:04}") for index in range(size)))
        deliveries = list(WebhookDelivery.objects.with_bodies().replayable())
        assert len(deliveries) == size
        with CaptureQueriesContext(connection) as captured:
            clear(deliveries, parts.told_by(deliveries), unfinished="")
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_bodies_older_than_the_setting_are_cleared(desk: Desk, settings: LazySettings) -> None:
    settings.RETENTION_DAYS = 30
    desk.told(message("m1", 1, text="old words"), message("m2", 2))
    old, young = WebhookDelivery.objects.order_by("pk")
    age(31, pk=old.pk)
    age(29, pk=young.pk)
    DeliveryAttempt.objects.create(
        delivery=old, number=1, at=timezone.now(), status="failed", error="old words"
    )
    before = crm_state()
    assert clear_old_bodies() == 1
    cleared = WebhookDelivery.objects.get(pk=old.pk)
    assert (cleared.raw_body, cleared.status, cleared.body_sha256) == (b"", "processed", old.body_sha256)
    assert cleared.idempotency_key == old.idempotency_key
    assert cleared.headers == {"x-webhook-event": "whatsapp.message.received"}
    assert cleared.body_cleared_at is not None
    assert cleared.past_attempts.get().error == ""
    assert WebhookDelivery.objects.get(pk=young.pk).raw_body
    assert crm_state() == before
    assert desk.row("m1").content == "old words"
    assert (desk.row("m1").is_sealed, desk.row("m2").is_sealed) == (True, False)
    assert clear_old_bodies() == 0


def test_zero_keeps_bodies_for_ever(desk: Desk, settings: LazySettings) -> None:
    settings.RETENTION_DAYS = 0
    desk.told(message("m1", 1))
    age(99_999)
    assert clear_old_bodies() == 0
    assert "kept for ever" in command("clear_bodies")


def test_a_retry_of_a_cleared_delivery_is_a_duplicate(desk: Desk) -> None:
    """EDGE_CASES.md 47."""
    body = message("m1", 1)
    first = desk.post(body, key="k").delivery
    age(400)
    clear_old_bodies()
    Message.objects.all().delete()  # a copy must not bring it back
    answer = desk.post(body, key="k")
    assert (answer.status, answer.json["delivery"]) == (200, first.pk)
    copy = answer.delivery
    assert (copy.duplicates, copy.attempts, copy.raw_body) == (1, 1, b"")
    assert not Message.objects.exists()


def test_the_body_under_a_new_key_is_merged(desk: Desk) -> None:
    body = message("m1", -300 * 86_400)
    desk.post(body, key="k")
    age(400)
    clear_old_bodies()
    before = crm_state()
    assert desk.post(body, key="another").json["status"] == "processed"
    assert crm_state() == before


@pytest.mark.parametrize("status", ["received", "failed", "unroutable"])
def test_what_still_needs_something_is_kept_three_times_as_long(desk: Desk, status: str) -> None:
    body = message("m1", 1)
    delivery = desk.post(body, key="k").delivery
    WebhookDelivery.objects.update(status=status, error="Traceback: m1", next_retry_at=timezone.now())
    age(365 * 3 - 1)
    assert "1 body as old still need something" in command("clear_bodies")
    assert WebhookDelivery.objects.get().raw_body
    age(365 * 3 + 1)
    assert clear_old_bodies() == 1
    cleared = WebhookDelivery.objects.get()
    assert (cleared.status, cleared.raw_body, cleared.next_retry_at) == ("ignored", b"", None)
    assert cleared.error == (
        "It could not be applied within 1095 days. Then its body was cleared: it can no longer be applied."
    )
    # A late retry finds nothing to do, also of one that failed.
    answer = desk.post(body, key="k")
    assert (answer.json["delivery"], answer.delivery.attempts) == (delivery.pk, 1)
    assert answer.delivery.raw_body == b""


def test_what_waits_for_an_inactive_number_is_kept_as_long(desk: Desk) -> None:
    number = desk.numbers[LIMA]
    type(number).objects.filter(pk=number.pk).update(is_active=False)
    desk.post(message("m1", 1))
    age(400)
    assert clear_old_bodies() == 0
    type(number).objects.filter(pk=number.pk).update(is_active=True)
    replay_in_batches(WebhookDelivery.objects.waiting_for(number))
    assert desk.row("m1")
    assert clear_old_bodies() == 1


def test_a_registered_number_finds_no_cleared_body(desk: Desk) -> None:
    desk.post(message("m1", 1, number=UNKNOWN), secret="project-secret")
    age(365 * 3 + 1)
    clear_old_bodies()
    number = desk.numbers[LIMA]
    type(number).objects.filter(pk=number.pk).update(phone_number_id=UNKNOWN)
    number.refresh_from_db()
    assert not WebhookDelivery.objects.waiting_for(number).exists()


def test_many_are_cleared_in_small_batches(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kapso_sync.retention.BATCH_SIZE", 3)
    desk.told(*(message(f"m{index}", index) for index in range(8)))
    age(400)
    batches: list[int] = []
    assert Retention.of_today().clear(on_batch=batches.append) == 8
    assert batches == [3, 3, 2]


def test_the_command_counts_first_and_clears_then(desk: Desk) -> None:
    desk.told(message("m1", 1), message("m2", 2))
    age(10)
    assert "0 bodies older than 365 days would be cleared" in command("clear_bodies", "--dry-run")
    assert "2 bodies older than 9 days would be cleared" in command(
        "clear_bodies", "--dry-run", "--older-than", "9"
    )
    assert WebhookDelivery.objects.with_bodies().count() == 2
    assert "Cleared 2 bodies older than 9 days" in command("clear_bodies", "--older-than", "9")
    assert not WebhookDelivery.objects.with_bodies().exists()
    with pytest.raises(CommandError, match="number of days"):
        command("clear_bodies", "--older-than", "0")


def test_a_replay_leaves_cleared_ones_out_and_says_how_many(desk: Desk) -> None:
    """EDGE_CASES.md 151."""
    desk.told(message("m1", 1), message("m2", 2))
    old = WebhookDelivery.objects.earliest("pk")
    age(400, pk=old.pk)
    clear_old_bodies()
    told = command("replay_webhooks", "--all")
    assert "Replayed 1 delivery: 1 processed." in told
    assert "1 delivery cannot be replayed: the body was cleared." in told
    assert WebhookDelivery.objects.get(pk=old.pk).status == "processed"
    told = command("replay_webhooks", "--id", str(old.pk))
    assert "1 delivery cannot be replayed" in told


def test_the_nightly_job_is_planned() -> None:
    from kapso_sync.tasks import clear_bodies

    assert clear_bodies.queueing_lock == "clear_bodies"


def test_every_fact_of_a_cleared_batch_is_sealed(desk: Desk) -> None:
    desk.post(batch(message("m1", 1), message("m2", 2, phone=ANA, user_id="PE.1")))
    age(400)
    clear_old_bodies()
    lead = desk.only_lead
    assert set(lead.messages.values_list("is_sealed", flat=True)) == {True}
    assert set(lead.identities.values_list("is_sealed", flat=True)) == {True}
    assert set(IdentityLink.objects.filter(kind="named").values_list("is_sealed", flat=True)) == {True}


def test_a_body_that_is_cleared_while_a_replay_is_under_way_stays_cleared(desk: Desk) -> None:
    """It has loaded the delivery by then, body and all."""
    done = desk.post(message("a")).delivery
    mended = desk.post(message("b", 1)).delivery
    WebhookDelivery.objects.filter(pk=done.pk).update(status="failed")
    Message.objects.all().delete()
    loaded = list(WebhookDelivery.objects.replayable())
    clear([done], parts.told_by([done]), unfinished="Too late.")
    assert sync.replay(loaded) == [mended]
    done.refresh_from_db()
    assert (done.status, done.error, done.attempts, done.next_retry_at) == ("ignored", "Too late.", 1, None)
    assert [message.kapso_message_id for message in Message.objects.all()] == ["b"]
    (cleared, _) = loaded
    assert (cleared.status, cleared.body, cleared.body_cleared_at) == ("ignored", b"", done.body_cleared_at)


@pytest.mark.django_db(transaction=True)
def test_a_replay_that_waits_for_retention_finds_no_body(desk: Desk) -> None:
    delivery = desk.post(message("a")).delivery
    WebhookDelivery.objects.update(status="failed")
    loaded = list(WebhookDelivery.objects.replayable())
    replayed: list[list[WebhookDelivery]] = []

    def replay() -> None:
        replayed.append(sync.replay(loaded))
        connection.close()

    with transaction.atomic():
        clear([delivery], parts.told_by([delivery]), unfinished="Too late.")
        thread = Thread(target=replay)
        thread.start()
        thread.join(0.5)
    thread.join(10)
    assert replayed == [[]]
    assert WebhookDelivery.objects.values_list("status", "attempts").get() == ("ignored", 1)


def test_what_an_inactive_number_was_told_before_is_sealed(desk: Desk) -> None:
    desk.told(message("m1", 1))
    type(desk.numbers[LIMA]).objects.update(is_active=False)
    age(400)
    assert clear_old_bodies() == 1
    assert desk.row("m1").is_sealed


def test_what_waited_for_too_long_says_so(desk: Desk) -> None:
    type(desk.numbers[LIMA]).objects.update(is_active=False)
    answer = desk.post(message("m1", 1))
    age(365 * 3 + 1)
    assert clear_old_bodies() == 1
    assert answer.delivery.status == "ignored"
    inactive, too_late = answer.delivery.error.split("\n")
    assert inactive.endswith("is set inactive.")
    assert too_late.endswith("it can no longer be applied.")
