"""Order cannot matter: thousands of histories, and histories over HTTP from eight senders at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st

from contacts.models import PhoneNumber, Workspace
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.deliveries import Posted
from tests.deliveries import histories as histories_of_deliveries
from tests.histories import NUMBERS, Batches, histories
from tests.kapso import Answer, Kapso
from tests.state import crm_state
from tests.test_order import check, two_numbers
from tests.test_order_of_deliveries import check as check_deliveries
from tests.test_order_of_deliveries import registered
from tests.test_rebuild import difference, empty_the_crm

pytestmark = pytest.mark.prove
__all__ = ["registered", "two_numbers"]

MANY = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
SENDERS = 8

# Few people who have much to do with each other, and all kinds of events or those that meet in one place.
BIASES: dict[str, dict[str, Any]] = {
    "all": {},
    "few people": {"crowd": 2, "longest": 12},
    "identities": {"kinds": ("messages", "changes"), "crowd": 2, "longest": 12},
    "sessions": {"kinds": ("messages", "sessions", "automations"), "crowd": 1, "longest": 10},
    "receipts": {"kinds": ("messages", "receipts"), "crowd": 1, "longest": 10},
}


@pytest.mark.parametrize("bias", BIASES)
def test_two_thousand_histories_of_events(two_numbers: dict[str, PhoneNumber], bias: str) -> None:
    @MANY
    @given(histories(**BIASES[bias]))
    def proof(history: tuple[Any, Batches]) -> None:
        check(history, two_numbers)

    proof()


@MANY
@given(histories_of_deliveries(crowd=3), st.lists(st.integers(1, 6), max_size=3))
def test_two_thousand_histories_of_deliveries(
    registered: list[PhoneNumber], history: tuple[list[Posted], list[Posted]], sizes: list[int]
) -> None:
    check_deliveries(history, sizes, registered)


@pytest.fixture
def served(transactional_db: None, live_server: Any) -> Kapso:
    """Two numbers behind a real server, which by itself lets no more than ten connections wait at its door."""
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    for number, phone in zip(NUMBERS, ("5115550142", "551150200143"), strict=True):
        PhoneNumber.objects.create(workspace=workspace, phone_number_id=number, display_phone_number=phone)
    live_server.thread.httpd.socket.listen(128)
    return Kapso(live_server.url)


def at_once(kapso: Kapso, posts: Sequence[Posted]) -> list[Answer]:
    """Eight senders, each with its share of the posts."""

    def send(share: Sequence[Posted]) -> list[Answer]:
        return [
            kapso.post(one.body, event=one.event, key=one.key, X_Webhook_Payload_Version=one.version)
            for one in share
        ]

    with ThreadPoolExecutor(SENDERS) as pool:
        shares = [posts[index::SENDERS] for index in range(SENDERS)]
        return [answer for answers in pool.map(send, shares) for answer in answers]


@seed(20260609)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories_of_deliveries(longest=40, shortest=16, crowd=4))
def test_histories_over_http_from_eight_senders(
    served: Kapso, history: tuple[list[Posted], list[Posted]]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE kapso_sync_deliveryattempt, kapso_sync_webhookdelivery")
    empty_the_crm()
    PhoneNumber.objects.update(connected_at=None, disconnected_at=None, told_untimed={})
    answers = at_once(served, history[1])
    assert {answer.status for answer in answers} == {200}
    # On a busy machine one may have waited too long for a lock: it is tried again, as by the worker.
    replay_in_batches(WebhookDelivery.objects.filter(status="failed"))
    assert not list(WebhookDelivery.objects.filter(status="failed").values_list("error", flat=True))
    live = crm_state()

    for size in (500, 3):
        empty_the_crm()
        PhoneNumber.objects.update(connected_at=None, disconnected_at=None, told_untimed={})
        outcomes = replay_in_batches(WebhookDelivery.objects.all(), size=size)
        assert not outcomes["failed"]
        note(difference(live, crm_state()))
        assert crm_state() == live
