"""`manage.py replay_webhooks`: what it selects, what it says, and that it changes nothing that was right."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import contacts.sync
from contacts.models import Contact, Conversation, Message, PhoneNumber
from kapso_sync import replaying
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import in_batches
from tests.conftest import Cast
from tests.kapso import PAYLOADS, Kapso, load

Status = WebhookDelivery.Status

LIMA, SAOPAULO, UNKNOWN = "480115511990231", "512340099871245", "999999999999999"
EVENT = "whatsapp.message.received"
CORPUS = sorted(path.stem for path in PAYLOADS.glob("*.json"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def replay(*arguments: str) -> str:
    out = io.StringIO()
    call_command("replay_webhooks", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def told(index: int = 0, *, number: str = LIMA) -> dict[str, Any]:
    payload: dict[str, Any] = load("message-received-text")["body"]
    payload["message"] |= {"id": f"wamid.{number}.{index}", "timestamp": str(1781000000 + index)}
    payload["conversation"]["phone_number_id"] = payload["phone_number_id"] = number
    return payload


def state() -> list[list[dict[str, Any]]]:
    """Every column of every row."""
    models: tuple[type[Model], ...] = (Contact, Conversation, Message)
    return [list(model._default_manager.order_by("pk").values()) for model in models]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A sync that fails until it is mended."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("not written yet")

    monkeypatch.setattr(contacts.sync, "apply", fail)
    return monkeypatch.undo


@pytest.fixture
def four(cast: Cast, kapso: Kapso) -> dict[str, WebhookDelivery]:
    """A delivery of each outcome, received on the first to the fourth of June."""
    processed = kapso.post(told(), event=EVENT).delivery
    ignored = kapso.post(told(), event="whatsapp.something.new").delivery
    unroutable = kapso.post(told(number=UNKNOWN), event=EVENT).delivery
    failed = kapso.post(told(2, number=SAOPAULO), event=EVENT).delivery
    found = {"processed": processed, "ignored": ignored, "unroutable": unroutable, "failed": failed}
    for day, (status, delivery) in enumerate(found.items(), 1):
        received_at = datetime(2026, 6, day, 12, tzinfo=UTC)
        WebhookDelivery.objects.filter(pk=delivery.pk).update(status=status, received_at=received_at)
    return found


def attempted() -> set[str]:
    """The deliveries of `four` that were replayed, by what they were on arrival."""
    names = ["processed", "ignored", "unroutable", "failed"]
    attempts = WebhookDelivery.objects.order_by("id").values_list("attempts", flat=True)
    return {name for name, count in zip(names, attempts, strict=True) if count == 2}


def test_it_works(cast: Cast, kapso: Kapso) -> None:
    kapso.post(told(), event=EVENT)
    Message.objects.filter(kapso_message_id=f"wamid.{LIMA}.0").delete()

    assert replay("--all") == "Replayed 1 delivery: 1 processed.\n"
    assert Message.objects.filter(kapso_message_id=f"wamid.{LIMA}.0").exists()


@pytest.mark.parametrize(
    ("arguments", "selected"),
    [
        ("--all", {"processed", "ignored", "unroutable", "failed"}),
        ("--failed", {"failed"}),
        ("--unroutable", {"unroutable"}),
        ("--since 2026-06-03", {"unroutable", "failed"}),
        ("--until 2026-06-02", {"processed", "ignored"}),
        ("--since 2026-06-02 --until 2026-06-02", {"ignored"}),
        ("--since 2026-06-02T12:00:00Z --until 2026-06-03T13:00+02:00", {"ignored"}),
        ("--until 2026-06-02T11:59", {"processed"}),
        (f"--number {LIMA}", {"processed", "ignored"}),
        (f"--number {LIMA} --since 2026-06-02", {"ignored"}),
        (f"--all --number {SAOPAULO}", {"failed"}),
        (f"--failed --number {LIMA}", set()),
        ("--failed --until 2026-06-03", set()),
    ],
)
def test_it_selects(arguments: str, selected: set[str], four: dict[str, WebhookDelivery]) -> None:
    replay(*arguments.split())
    assert attempted() == selected


def test_it_selects_by_id(four: dict[str, WebhookDelivery]) -> None:
    replay("--id", str(four["failed"].pk), str(four["ignored"].pk), "--id", str(four["processed"].pk))
    assert attempted() == {"failed", "ignored", "processed"}


def test_it_names_ids_that_are_not_here(four: dict[str, WebhookDelivery]) -> None:
    said = replay("--id", str(four["failed"].pk), "987654321", "--id", "987654320")
    assert said.splitlines() == [
        "There is no delivery 987654320, 987654321.",
        "Replayed 1 delivery: 1 processed.",
    ]


def test_failed_includes_what_was_never_finished(four: dict[str, WebhookDelivery]) -> None:
    WebhookDelivery.objects.filter(pk=four["ignored"].pk).update(status=Status.RECEIVED)
    replay("--failed")
    assert attempted() == {"ignored", "failed"}


def test_it_counts_the_outcomes(four: dict[str, WebhookDelivery]) -> None:
    said = "Replayed 4 deliveries: 2 processed, 1 ignored, 1 for a number that is not registered here.\n"
    assert replay("--all") == said


def test_it_says_when_nothing_is_selected(cast: Cast) -> None:
    assert replay("--failed") == "Nothing to replay: no delivery was selected.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "Say what to replay"),
        ("--all --failed", "not allowed with argument"),
        ("--failed --id 1", "not allowed with argument"),
        ("--since yesterday", "'yesterday' is no time: write 2026-06-30"),
        ("--until 2026-13-01", "'2026-13-01' is no time"),
        ("--since 2026-06-02 --until 2026-06-01", "--since is later than --until"),
        ("--id one", "'one' is not the id of a delivery"),
        ("--id 0", "'0' is not the id of a delivery"),
        ("--id 99999999999999999999", "is not the id of a delivery"),
    ],
)
def test_it_refuses_bad_values(arguments: str, said: str) -> None:
    with pytest.raises(CommandError, match=said) as refused:
        replay(*arguments.split())
    assert "\n" not in str(refused.value)


def test_its_exit_status_tells_of_failures(cast: Cast, kapso: Kapso, broken: Callable[[], None]) -> None:
    kapso.post(told(), event=EVENT)
    with pytest.raises(CommandError, match=r"^1 delivery failed: the admin shows why") as refused:
        replay("--all")
    assert refused.value.returncode == 1


def test_it_counts_failures_too(cast: Cast, kapso: Kapso, broken: Callable[[], None]) -> None:
    kapso.post(told(), event=EVENT)
    kapso.post(told(number=UNKNOWN), event=EVENT)
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("replay_webhooks", "--all", stdout=out)
    assert out.getvalue() == "Replayed 2 deliveries: 1 for a number that is not registered here, 1 failed.\n"


def test_a_failed_delivery_is_processed_after_a_fix(
    cast: Cast, kapso: Kapso, broken: Callable[[], None]
) -> None:
    delivery = kapso.post(told(), event=EVENT).delivery
    assert (delivery.status, delivery.attempts, "not written yet" in delivery.error) == ("failed", 1, True)

    broken()
    replay("--failed")

    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.error) == ("processed", 2, "")
    assert Message.objects.filter(kapso_message_id=f"wamid.{LIMA}.0").count() == 1


def test_unroutable_deliveries_count_once_their_number_is_registered(cast: Cast, kapso: Kapso) -> None:
    delivery = kapso.post(told(number=UNKNOWN), event=EVENT).delivery
    PhoneNumber.objects.create(workspace=cast.workspaces["lima"], phone_number_id=UNKNOWN)

    replay("--unroutable")

    delivery.refresh_from_db()
    assert delivery.status == Status.PROCESSED
    assert Message.objects.filter(kapso_message_id=f"wamid.{UNKNOWN}.0").exists()


def test_replaying_everything_twice_changes_nothing(cast: Cast, kapso: Kapso) -> None:
    for name in CORPUS:
        kapso.post_file(name)
    before = state()

    replay("--all")
    assert state() == before
    replay("--all")
    assert state() == before


def test_it_takes_the_same_statements_for_any_number(cast: Cast, kapso: Kapso) -> None:
    for index in range(50):
        kapso.post(told(index), event=EVENT)
    ids = [str(pk) for pk in WebhookDelivery.objects.values_list("pk", flat=True)]

    with CaptureQueriesContext(connection) as few:
        replay("--id", *ids[:5])
    with CaptureQueriesContext(connection) as many:
        replay("--id", *ids)

    assert (len(ids), len(many)) == (50, len(few))


def test_it_shows_a_bar_on_a_terminal_alone(four: dict[str, WebhookDelivery]) -> None:
    terminal, pipe = Terminal(), io.StringIO()
    call_command("replay_webhooks", "--all", stdout=io.StringIO(), stderr=terminal)
    call_command("replay_webhooks", "--all", stdout=io.StringIO(), stderr=pipe)
    assert terminal.getvalue() == f"\r[{'#' * 30}] 4 of 4\n"
    assert pipe.getvalue() == ""


def test_it_logs_single_messages_on_request_only(
    cast: Cast, kapso: Kapso, caplog: pytest.LogCaptureFixture
) -> None:
    kapso.post(told(), event=EVENT)
    caplog.clear()
    replay("--all")
    assert caplog.text == ""
    replay("--all", "-v", "2")
    assert "synced inbound message" in caplog.text


def _store_bodies(*lengths: int) -> None:
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery.of(b"x" * length, {}, received_at=timezone.now()) for length in lengths
    )


def test_long_bodies_come_few_at_a_time(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "BATCH_BYTES", 100)
    _store_bodies(40, 41, 42, 250, 1, 2, 97, 3)
    cut = [[len(one.body) for one in batch] for batch in in_batches(WebhookDelivery.objects.all(), size=4)]
    assert cut == [[40, 41], [42], [250], [1, 2, 97], [3]]
    few = in_batches(WebhookDelivery.objects.filter(body_sha256__gte=""), size=3)
    assert [len(batch) for batch in few] == [2, 1, 1, 3, 1]


def test_the_planner_is_told_of_what_long_bodies_brought(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not any batch was full."""
    monkeypatch.setattr(replaying, "BATCH_BYTES", 100)
    monkeypatch.setattr(replaying, "TOLD_AFTER", 100)
    _store_bodies(*range(90, 98))
    with CaptureQueriesContext(connection) as captured:
        replaying.replay_in_batches(WebhookDelivery.objects.all())
    told = [query["sql"] for query in captured if query["sql"] == 'ANALYZE "contacts_message"']
    assert len(told) == 3, "after two bodies, after four and after eight"
