"""Much at once, twice at once, and by clocks that disagree: the same CRM as once, in order, by one clock."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact, Conversation, Message
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.builders import OWN_PHONE, Desk, Json, meta, moment
from tests.chaos.traffic import Delivery, Traffic
from tests.state import crm_state
from tests.test_rebuild import difference, empty_the_crm


@pytest.fixture
def desk(transactional_db: None, caplog: pytest.LogCaptureFixture) -> Desk:
    caplog.set_level(logging.ERROR)
    return Desk.open()


def post(desk: Desk, delivery: Delivery) -> None:
    answer = desk.post(delivery.body, delivery.event, key=delivery.key)
    assert (answer.status, answer.json["status"]) in {(200, "processed"), (200, "ignored")}


# Replays at once


def at_once(*jobs: Any) -> None:
    """Each in a thread with a connection of its own."""

    def run(job: Any) -> None:
        try:
            job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(run, jobs))


def replay_all() -> None:
    outcomes = replay_in_batches(WebhookDelivery.objects.all(), size=11)
    assert outcomes.keys() <= {"processed", "ignored"}


def replayed_into_empty_tables() -> Any:
    empty_the_crm()
    replay_all()
    return crm_state()


def test_two_replays_at_once_change_nothing(desk: Desk) -> None:
    for delivery in Traffic.of(100, seed=2).deliveries:
        post(desk, delivery)
    live = crm_state()
    at_once(replay_all, replay_all)
    assert not difference(live, crm_state())


def test_two_replays_at_once_into_empty_tables_end_as_one(desk: Desk) -> None:
    for delivery in Traffic.of(100, seed=3).deliveries:
        post(desk, delivery)
    live = crm_state()
    empty_the_crm()
    at_once(replay_all, replay_all)
    assert not difference(live, crm_state())


@pytest.mark.parametrize("seed", [4, 5])
def test_replays_during_live_traffic_end_as_if_in_order(desk: Desk, seed: int) -> None:
    told = Traffic.of(140, seed).deliveries
    for delivery in told[:70]:
        post(desk, delivery)

    def live(part: int) -> None:
        mine = Desk()
        for delivery in told[70 + part :: 2]:
            post(mine, delivery)

    at_once(replay_all, lambda: live(0), replay_all, lambda: live(1))
    replay_in_batches(WebhookDelivery.objects.filter(status="ignored"))
    assert not difference(crm_state(), replayed_into_empty_tables())


# Clocks apart

HOURS_APART = 5


def test_servers_whose_clocks_disagree_make_the_same_crm(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a time of its own counts by that; received_at is what each server says."""
    told = [each for each in Traffic.of(100, seed=6).deliveries if each.event != "contact.updated"]
    for delivery in told:
        post(desk, delivery)
    by_one_clock = crm_state()
    empty_the_crm()
    WebhookDelivery.objects.all().delete()

    apart = cycle([timedelta(hours=HOURS_APART), timedelta(hours=-HOURS_APART)])
    monkeypatch.setattr(
        "kapso_sync.views.timezone.now", lambda: datetime(2026, 11, 1, tzinfo=UTC) + next(apart)
    )
    for delivery in told:
        post(desk, delivery)
    stamped = {moment for (moment,) in WebhookDelivery.objects.values_list("received_at")}
    assert max(stamped) - min(stamped) >= timedelta(hours=2 * HOURS_APART)
    assert not difference(by_one_clock, crm_state())
    assert not difference(by_one_clock, replayed_into_empty_tables())


# An event bomb

PEOPLE, EACH = 100, 50
LONG = "Mensaje de una historia muy larga. " * 24


def history(people: int, each: int, text: str = LONG) -> Json:
    """One chunk of a history import (CONTRACT.md 6.8): `people` threads of `each` messages, by turns."""
    threads = [
        {"id": phone, "messages": [_line(phone, index, text) for index in range(each)]}
        for phone in (f"5198{person:07}" for person in range(people))
    ]
    chunk = {"metadata": {"phase": 0, "chunk_order": 1, "progress": 55}, "threads": threads}
    return meta({"history": [chunk]}, field="history")


def _line(phone: str, index: int, text: str) -> Json:
    ours = index % 2
    return {
        "from": OWN_PHONE if ours else phone,
        "id": f"wamid.{phone}.{index}",
        "timestamp": str(1781000000 + index),
        "type": "text",
        "text": {"body": f"{index} {text}"},
        "history_context": {"status": "READ"},
    } | ({"to": phone} if ours else {})


def test_a_chunk_of_five_megabytes_is_all_there_in_as_many_statements_as_a_small_one(desk: Desk) -> None:
    with CaptureQueriesContext(connection) as few:
        assert desk.post(history(1, 2), "").json["status"] == "processed"
    body = json.dumps(history(PEOPLE, EACH)).encode()
    assert 4_000_000 < len(body) < 6_000_000
    with CaptureQueriesContext(connection) as many:
        answer = desk.post(body, "")
    assert (answer.status, answer.json["status"]) == (200, "processed")
    assert len(many) == len(few)
    assert Contact.objects.count() == Conversation.objects.count() == PEOPLE
    assert Message.objects.count() == PEOPLE * EACH
    assert set(Contact.objects.values_list("last_inbound_at", flat=True)) == {moment(EACH - 2)}
    assert set(Contact.objects.values_list("last_activity_at", flat=True)) == {moment(EACH - 1)}
