"""Webhooks that come at once go together: one batch and one commit, and each has its own answer."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from threading import Event
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import contacts.sync
from contacts.models import Contact, Message, PhoneNumber
from contacts.statements.record_facts import PEOPLE_LOCK
from kapso_sync import arrivals, sync
from kapso_sync.arrivals import Arrival, Entrance, store
from kapso_sync.models import WebhookDelivery
from kapso_sync.signature import BadSignature
from tests.builders import LIMA, PROJECT_SECRET, SAOPAULO, Desk, Json, message
from tests.kapso import sign
from tests.test_webhook import another_connection

PATIENCE = 0.01


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


def arrival(body: Json | bytes, secret: str = PROJECT_SECRET, key: str = "") -> Arrival:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"X-Idempotency-Key": key, "X-Webhook-Event": "whatsapp.message.received"}
    return Arrival(WebhookDelivery.of(raw, headers, received_at=timezone.now()), sign(raw, secret))


class Work:
    """What the entrance lets in, batch by batch; each batch goes on when it is told to."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Arrival]] = []
        self.has_begun, self.may_go_on = Event(), Event()

    def __call__(self, together: Sequence[Arrival]) -> None:
        self.batches.append(together)
        self.has_begun.set()
        assert self.may_go_on.wait(20)


@contextmanager
def coming(entrance: Entrance, *several: Arrival) -> Iterator[list[Future[None]]]:
    """Each in a thread of its own, one after the other."""
    with ThreadPoolExecutor(len(several)) as pool:
        futures = []
        for number, each in enumerate(several, 1):
            futures.append(pool.submit(entrance.receive, each, nullcontext))
            wait_until(partial(_has_seen, entrance, number))
        yield futures
        for future in futures:
            future.result(20)


def _has_seen(entrance: Entrance, number: int) -> bool:
    work = entrance._work
    assert isinstance(work, Work)
    return len(entrance._waiting) + sum(map(len, work.batches)) >= number


def wait_until(condition: Callable[[], bool]) -> None:
    pause = Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError


# Who goes together


def test_those_who_come_while_one_is_under_way_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_BATCHES", 1)
    entrance = Entrance(work := Work())
    several = [arrival({"n": n}) for n in range(6)]
    with coming(entrance, *several):
        assert work.batches == [[several[0]]], "who comes alone waits for nobody"
        work.may_go_on.set()
    assert work.batches == [[several[0]], several[1:]]


def test_where_many_came_just_now_the_next_waits_for_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    entrance = Entrance(work := Work())
    work.may_go_on.set()
    entrance._crowd, entrance._took = 3, 20.0
    several = [arrival({"n": n}) for n in range(3)]
    with coming(entrance, *several):
        pass
    assert work.batches == [several]
    entrance.receive(alone := arrival({"n": 9}), nullcontext)
    assert work.batches[1:] == [[alone]], "but no longer than the batch before took"


def test_a_batch_that_is_kept_waiting_keeps_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "PATIENCE", PATIENCE)
    entrance = Entrance(work := Work())
    with coming(entrance, one := arrival({"n": 1}), other := arrival({"n": 2})):
        wait_until(lambda: len(work.batches) == 2)
        assert work.batches == [[one], [other]]
        work.may_go_on.set()


def test_a_copy_goes_after_what_it_is_a_copy_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_BATCHES", 1)
    entrance = Entrance(work := Work())
    first, *rest = [arrival({"n": n}, key=f"{n}-{i}") for i, n in enumerate((0, 1, 2, 1))]
    with coming(entrance, first, *rest):
        work.may_go_on.set()
    assert work.batches == [[first], rest[:2], rest[2:]]


@pytest.mark.parametrize(
    ("name", "value", "sizes"), [("MOST_TOGETHER", 2, [1, 2, 1]), ("MOST_BYTES", 15, [1, 1, 1, 1])]
)
def test_no_more_go_together_than_is_good(
    monkeypatch: pytest.MonkeyPatch, name: str, value: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(arrivals, "MOST_BATCHES", 1)
    monkeypatch.setattr(arrivals, name, value)
    entrance = Entrance(work := Work())
    with coming(entrance, *(arrival({"n": f"number {n}"}) for n in range(4))):
        work.may_go_on.set()
    assert [len(batch) for batch in work.batches] == sizes


def test_whoever_is_killed_lets_the_others_go() -> None:
    class Killed(BaseException):
        pass

    def die(_: Sequence[Arrival]) -> None:
        raise Killed

    entrance = Entrance(die)
    for _ in range(2):
        with pytest.raises(Killed):
            entrance.receive(one := arrival({"n": 1}), nullcontext)
        assert isinstance(one.error, Killed)
    assert entrance._batches == 0


# What becomes of each


def test_each_of_many_has_its_own_answer(desk: Desk) -> None:
    good = [arrival(message(f"w-{n}", n)) for n in range(3)]
    forged = arrival(message("forged"), secret="guessed")
    no_json = arrival(b"no JSON")
    store([good[0], forged, *good[1:], no_json])
    assert [(one.error, one.delivery.status) for one in good] == [(None, "processed")] * 3
    assert isinstance(forged.error, BadSignature)
    assert (no_json.error, no_json.delivery.status) == (None, "ignored")
    assert {m.kapso_message_id for m in Message.objects.all()} == {"w-0", "w-1", "w-2"}
    assert WebhookDelivery.objects.count() == 4


def test_a_copy_of_what_is_here_changes_nothing_for_the_others(desk: Desk) -> None:
    store([arrival(message("w-1"), key="k")])
    copy, other = arrival(message("w-1"), key="k"), arrival(message("w-2", 1))
    store([copy, other])
    assert (copy.delivery.is_copy, copy.delivery.status) == (True, "processed")
    assert (other.delivery.is_copy, other.delivery.status) == (False, "processed")
    assert (Message.objects.count(), WebhookDelivery.objects.get(pk=copy.delivery.pk).duplicates) == (2, 1)


def test_sixteen_take_as_many_statements_as_one(desk: Desk) -> None:
    store([arrival(message("w", 0))])
    with CaptureQueriesContext(connection) as one:
        store([arrival(message("w-one", 1))])
    with CaptureQueriesContext(connection) as many:
        store([arrival(message(f"w-{n}", n + 2)) for n in range(16)])
    assert len(one) == len(many) <= 8


def test_one_that_cannot_be_applied_is_kept_as_failed_and_the_others_are_processed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = contacts.sync.apply

    def poisoned(told: Any, **how: Any) -> Any:
        if any(getattr(event, "wamid", "") == "poison" for _, event in told):
            raise RuntimeError
        return apply(told, **how)

    monkeypatch.setattr("contacts.sync.apply", poisoned)
    several = [arrival(message(wamid, n)) for n, wamid in enumerate(("a", "poison", "b"))]
    store(several)
    assert [one.delivery.status for one in several] == ["processed", "failed", "processed"]
    assert Message.objects.count() == 2


@pytest.mark.parametrize("count", [1, 3])
def test_a_connection_that_breaks_midway_costs_nobody_a_thing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    apply = contacts.sync.apply
    cuts: list[int] = []

    def cut(*told: Any, **how: Any) -> Any:
        if not cuts:
            cuts.append(connection.connection.fileno())
            with socket.socket(fileno=os.dup(cuts[0])) as wire:
                wire.shutdown(socket.SHUT_RDWR)
        return apply(*told, **how)

    monkeypatch.setattr("contacts.sync.apply", cut)
    several = [arrival(message(f"w-{n}", n)) for n in range(count)]
    store(several)
    assert cuts
    assert [(one.error, one.delivery.status) for one in several] == [(None, "processed")] * count
    assert (Message.objects.count(), WebhookDelivery.objects.count()) == (count, count)


def test_a_connection_that_was_cut_while_idle_is_made_anew_and_nobody_asks_for_its_health(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> bool:
        raise AssertionError

    store([arrival(message("before"))])
    monkeypatch.setattr(connection, "health_check_enabled", True)
    monkeypatch.setattr(connection, "health_check_done", False)
    monkeypatch.setattr(connection, "is_usable", asked)
    with socket.socket(fileno=os.dup(connection.connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
    after = arrival(message("after", 1))
    store([after])
    assert (after.error, after.delivery.status, Message.objects.count()) == (None, "processed", 2)


def test_what_cannot_be_stored_together_is_stored_one_by_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = sync.receive

    def one_only(deliveries: Sequence[WebhookDelivery], numbers: Iterable[PhoneNumber]) -> None:
        if len(deliveries) > 1 or deliveries[0].idempotency_key == "bad":
            raise RuntimeError
        receive(deliveries, numbers)

    monkeypatch.setattr(sync, "receive", one_only)
    several = [arrival(message(key, n), key=key) for n, key in enumerate(("a", "bad", "b"))]
    store(several)
    assert [type(one.error) for one in several] == [type(None), RuntimeError, type(None)]
    assert Message.objects.count() == 2


def test_a_workspace_that_is_locked_delays_no_other(desk: Desk) -> None:
    ours, theirs = arrival(message("a", number=LIMA)), arrival(message("b", number=SAOPAULO))
    with another_connection() as other, connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '300ms'")
        lock = "SELECT pg_advisory_xact_lock(%s, %s)"
        other.execute(lock, [PEOPLE_LOCK, desk.numbers[LIMA].workspace_id])
        store([ours, theirs])
        other.rollback()
        cursor.execute("SET lock_timeout = '3s'")
    assert (ours.delivery.status, theirs.delivery.status) == ("failed", "processed")


def test_twenty_at_once_are_all_there(desk: Desk) -> None:
    def post(number: int) -> int:
        try:
            return desk.post(message(f"w-{number}", number)).status
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(post, range(20))) == {200}
    assert (Message.objects.count(), Contact.objects.count()) == (20, 1)
    assert set(WebhookDelivery.objects.values_list("status", flat=True)) == {"processed"}
