"""A replay reads what comes next while PostgreSQL is at work, and does nothing else differently."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import DatabaseError, connection, transaction

from contacts.models import Message
from kapso_sync import formats
from kapso_sync.models import WebhookDelivery
from kapso_sync.reading_ahead import read_ahead
from kapso_sync.replaying import in_batches, replay_in_batches
from tests.conftest import Cast
from tests.test_bulk_work import stored


@pytest.fixture
def seven(cast: Cast) -> list[WebhookDelivery]:
    return stored("message-received-text", "from", 7, first=1)


def test_all_of_them_are_replayed_in_their_order(seven: list[WebhookDelivery]) -> None:
    shown: list[int] = []
    outcomes = replay_in_batches(
        WebhookDelivery.objects.all(),
        size=2,
        ahead=True,
        on_batch=lambda batch: shown.extend(d.pk for d in batch),
    )

    assert outcomes == {"processed": 7}
    assert shown == [delivery.pk for delivery in seven]
    assert (
        Message.objects.filter(kapso_message_id__in=[f"wamid.{index}" for index in range(1, 8)]).count() == 7
    )


def test_no_more_than_the_next_batch_is_read(seven: list[WebhookDelivery]) -> None:
    read: list[int] = []

    def counted() -> Iterator[list[WebhookDelivery]]:
        for batch in in_batches(WebhookDelivery.objects.all(), size=1):
            read.append(batch[0].pk)
            yield batch

    for done, _ in enumerate(read_ahead(counted()), 1):
        assert len(read) <= done + 1
    assert len(read) == 7


def test_what_was_read_ahead_is_not_read_again(
    seven: list[WebhookDelivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[str] = []
    normalise = formats.normalise

    def noted(*arguments: object, **more: object) -> list[formats.Item]:
        readers.append(threading.current_thread().name)
        return normalise(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(formats, "normalise", noted)
    replay_in_batches(WebhookDelivery.objects.all(), size=2, ahead=True)
    assert len(readers) == 7
    assert threading.current_thread().name not in readers


def test_a_transaction_sees_what_it_has_written(cast: Cast) -> None:
    with transaction.atomic():
        stored("message-received-text", "from", 3, first=1)
        assert replay_in_batches(WebhookDelivery.objects.all(), ahead=True) == {"processed": 3}


def test_what_reading_meets_is_raised(seven: list[WebhookDelivery]) -> None:
    def broken() -> Iterator[list[WebhookDelivery]]:
        yield seven[:1]
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1/0")

    with pytest.raises(DatabaseError):
        list(read_ahead(broken()))
