"""Webhooks at the same time: real threads, real HTTP, real connections. Nothing is lost, doubled or an error."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from threading import Barrier, Event, Thread, current_thread
from typing import Any

import pytest
from django.db import connections

import contacts.sync
from contacts.models import Contact, Conversation, Identity, Message
from contacts.writing import write
from kapso_sync import sync
from kapso_sync.erasing import erase_person
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.builders import (
    ANA,
    ANA_ID,
    BEA,
    RECEIVED,
    Desk,
    Json,
    batch,
    message,
    meta,
    meta_status,
    moment,
    sent,
    session_event,
    status,
    user_id_update,
)
from tests.kapso import Answer, Kapso


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


@pytest.fixture(autouse=True)
def room_for_everybody(live_server: Any) -> None:
    """Django's test server lets ten connections wait at its door and turns the others away."""
    live_server.thread.httpd.socket.listen(128)


@pytest.fixture(autouse=True)
def no_error_is_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == []


Post = tuple[Json, str, str | None]


def posts(*bodies: Json, key: str | None = None) -> list[Post]:
    return [(body, "" if "object" in body else _event(body), key) for body in bodies]


def _event(body: Json) -> str:
    outbound = body.get("message", {}).get("kapso", {}).get("direction") == "outbound"
    return "whatsapp.message.sent" if outbound else RECEIVED


def at_once(kapso: Kapso, told: list[Post]) -> list[Answer]:
    """Each from a thread and a connection of its own, all let loose together."""
    gate = Barrier(len(told))

    def post(one: Post) -> Answer:
        body, event, key = one
        gate.wait()
        return kapso.post(body, event=event, key=key)

    with ThreadPoolExecutor(len(told)) as pool:
        answers = list(pool.map(post, told))
    assert [(answer.status, answer.json["status"]) for answer in answers] == [(200, "processed")] * len(told)
    return answers


def test_thirty_first_messages_of_one_new_person(desk: Desk, kapso: Kapso) -> None:
    at_once(kapso, posts(*(message(f"m{index}", index, name=f"Name {index}") for index in range(30))))
    assert (Contact.objects.count(), Conversation.objects.count(), Message.objects.count()) == (1, 1, 30)
    lead = desk.only_lead
    assert (lead.last_inbound_at, lead.kapso_name, lead.name) == (moment(29), "Name 29", "Name 0")


def test_first_messages_that_name_one_person_in_three_ways(desk: Desk, kapso: Kapso) -> None:
    ways: list[Json] = [{}, {"user_id": ANA_ID}, {"phone": None, "user_id": ANA_ID}]
    at_once(kapso, posts(*(message(f"m{index}", index, **ways[index % 3]) for index in range(24))))
    assert desk.only_lead.messages.count() == 24
    assert (desk.only_lead.phone, desk.only_lead.business_scoped_user_id) == (ANA, ANA_ID)
    assert Conversation.objects.count() == 1


def test_twenty_copies_of_one_delivery(desk: Desk, kapso: Kapso) -> None:
    answers = at_once(kapso, posts(*[message("a")] * 20, key="k"))
    assert len({answer.json["delivery"] for answer in answers}) == 1
    assert WebhookDelivery.objects.values_list("status", "duplicates", "attempts").get() == (
        "processed",
        19,
        1,
    )
    assert Message.objects.count() == 1


def test_twenty_copies_under_keys_of_their_own(desk: Desk, kapso: Kapso) -> None:
    at_once(kapso, posts(*[message("a", user_id=ANA_ID)] * 20))
    assert (WebhookDelivery.objects.count(), Message.objects.count(), Contact.objects.count()) == (20, 1, 1)


def test_the_receipts_of_a_message_and_the_message_itself(desk: Desk, kapso: Kapso) -> None:
    told: list[Post] = []
    for index in range(5):
        wamid = f"m{index}"
        told += posts(sent(wamid, 0), *(meta_status(wamid, word, at) for word, at in WORDS.items()))
        told += [
            (sent(wamid, at), f"whatsapp.message.{word}", None)
            for word, at in WORDS.items()
            if word != "failed"
        ]
    random.Random(1).shuffle(told)  # noqa: S311
    at_once(kapso, told)
    fates = set(Message.objects.values_list("status", "sent_at", "failed_at", "delivered_at", "read_at"))
    assert fates == {("read", moment(0), moment(5), moment(10), moment(20))}
    assert (Message.objects.count(), Contact.objects.count()) == (5, 1)


WORDS = {"failed": 5, "delivered": 10, "read": 20}


@pytest.mark.parametrize("repeat", range(3))
def test_messages_that_join_two_leads_while_both_write(desk: Desk, kapso: Kapso, repeat: int) -> None:
    desk.told(message("phone", 0), message("user", 1, phone=None, user_id=ANA_ID))
    joins = [message(f"join{index}", 10 + index, user_id=ANA_ID) for index in range(5)]
    theirs = [message(f"p{index}", 20 + index) for index in range(8)]
    ours = [message(f"u{index}", 30 + index, phone=None, user_id=ANA_ID) for index in range(8)]
    told = posts(*joins, *theirs, *ours)
    random.Random(repeat).shuffle(told)  # noqa: S311
    at_once(kapso, told)
    lead = desk.only_lead
    assert (lead.phone, lead.business_scoped_user_id, lead.messages.count()) == (ANA, ANA_ID, 23)
    assert lead.conversations.get().messages.count() == 23
    assert lead.last_inbound_at == moment(37)
    assert not Message.objects.filter(contact__merged_into__isnull=False).exists()


def test_many_pairs_of_leads_joined_at_once(desk: Desk, kapso: Kapso) -> None:
    people = [(f"5196666000{index}", f"PE.{index}") for index in range(8)]
    for phone, user in people:
        desk.told(message(f"{phone}-p", 0, phone=phone), message(f"{phone}-u", 1, phone=None, user_id=user))
    told = [
        message(f"{phone}-{index}", 10 + index, phone=phone, user_id=user)
        for phone, user in people
        for index in range(3)
    ]
    at_once(kapso, posts(*told))
    assert sorted(lead.messages.count() for lead in Contact.objects.living()) == [5] * 8


def test_a_change_of_user_id_while_both_ids_write(desk: Desk, kapso: Kapso) -> None:
    new = "PE.9000000000000001"
    told = [message(f"o{index}", index, user_id=ANA_ID) for index in range(8)]
    told += [message(f"n{index}", 20 + index, phone=BEA, user_id=new) for index in range(8)]
    told += [user_id_update(15, ANA_ID, new)] * 3
    random.Random(3).shuffle(told)  # noqa: S311
    gate = posts(*told)
    at_once(kapso, gate)
    assert (desk.only_lead.messages.count(), desk.only_lead.business_scoped_user_id) == (16, new)


@pytest.mark.parametrize("with_user_ids", [False, True])
def test_batches_over_the_same_people_in_different_orders(
    desk: Desk, kapso: Kapso, with_user_ids: bool
) -> None:
    """Nobody waits for somebody who waits for them."""
    shuffle = random.Random(5)  # noqa: S311
    batches = []
    for number in range(12):
        people = list(range(10))
        shuffle.shuffle(people)
        batches.append(
            batch(
                *(
                    message(
                        f"b{number}-{person}",
                        number,
                        phone=f"5197777000{person}",
                        user_id=f"PE.{person}" if with_user_ids else None,
                        name=f"Name {person}",
                    )
                    for person in people
                ),
                *(message("shared", 50, phone="51977770000"),),
            )
        )
    at_once(kapso, posts(*batches))
    assert (Contact.objects.count(), Conversation.objects.count(), Message.objects.count()) == (10, 10, 121)
    assert Identity.objects.filter(kind="phone").count() == 10


def test_batches_of_receipts_in_different_orders(desk: Desk, kapso: Kapso) -> None:
    desk.told(batch(*(sent(f"m{index}", index) for index in range(20))))
    shuffle = random.Random(6)  # noqa: S311
    told = []
    for at in range(12):
        receipts = [status("read", 100 + at, id=f"m{index}", recipient_id=ANA) for index in range(20)]
        shuffle.shuffle(receipts)
        told.append(meta({"statuses": receipts}))
    at_once(kapso, posts(*told))
    assert set(Message.objects.values_list("status", "read_at")) == {("read", moment(100))}


def test_messages_and_the_events_of_their_conversation(desk: Desk, kapso: Kapso) -> None:
    told = posts(*(message(f"m{index}", index, session="s") for index in range(10)))
    told += [
        (session_event("s", at, status="active"), "whatsapp.conversation.created", None) for at in range(5)
    ]
    told += [(session_event("s", 100, status="ended"), "whatsapp.conversation.ended", None) for _ in range(5)]
    at_once(kapso, told)
    thread = Conversation.objects.get()
    assert (thread.status, thread.messages.count(), thread.sessions.count()) == ("ended", 10, 1)


def test_a_message_that_waits_and_the_one_that_says_whose_it_is(desk: Desk, kapso: Kapso) -> None:
    told = []
    for index in range(10):
        told += [message(f"lost{index}", 0, phone=None, session=f"s{index}")]
        told += [message(f"found{index}", 5, phone=f"5198888000{index}", session=f"s{index}")]
    at_once(kapso, posts(*told))
    replay_in_batches(WebhookDelivery.objects.all())
    lost = Message.objects.filter(contact=None)
    assert (lost.count(), Contact.objects.count()) == (0, 10)


def test_late_batches_about_somebody_who_was_erased(
    desk: Desk, kapso: Kapso, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds the tombstones wants the workspace alone: not while sharing it with others who want that, too."""
    desk.told(message("old", 0))
    erase_person(desk.lead().workspace_id, desk.lead().pk)
    tries: list[sync.Batch] = []
    begin = sync.Batch._begin

    def begin_and_count(one: sync.Batch) -> bool:
        tries.append(one)
        return begin(one)

    monkeypatch.setattr(sync.Batch, "_begin", begin_and_count)
    at_once(
        kapso,
        posts(
            *(
                batch(
                    message(f"late{number}", 1),
                    *(message(f"b{number}-{n}", n, phone=f"5197777{number:02}{n:02}") for n in range(20)),
                )
                for number in range(12)
            )
        ),
    )
    assert (Contact.objects.count(), Message.objects.filter(contact=None).count()) == (240, 0)
    assert set(Counter(map(id, tries)).values()) == {2}, (
        "once to find the tombstones, once alone; none for a deadlock"
    )


def test_live_traffic_while_everything_is_replayed(desk: Desk, kapso: Kapso) -> None:
    old = [message(f"old{index}", index, phone=f"5197777000{index % 10}") for index in range(40)]
    desk.told(*old)

    def replay() -> int:
        try:
            return sum(replay_in_batches(WebhookDelivery.objects.all(), size=7).values())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        replays = [pool.submit(replay) for _ in range(2)]
        at_once(
            kapso,
            posts(*(message(f"new{index}", 100, phone=f"5197777000{index % 10}") for index in range(20))),
        )
        assert all(done.result() >= 40 for done in replays)
    assert (Contact.objects.count(), Conversation.objects.count(), Message.objects.count()) == (10, 10, 60)
    assert set(Contact.objects.values_list("last_inbound_at", flat=True)) == {moment(100)}
    assert set(WebhookDelivery.objects.values_list("status", flat=True)) == {"processed"}


@pytest.fixture
def held_after_its_facts(monkeypatch: pytest.MonkeyPatch) -> Callable[[Json], AbstractContextManager[None]]:
    """A webhook that has locked its people and gets no further until the block ends; then it must be processed."""

    @contextmanager
    def hold(body: Json) -> Iterator[None]:
        is_there, may_go_on = Event(), Event()
        answers = []

        def wait_and_write(*args: Any) -> Any:
            if current_thread() is thread and not is_there.is_set():
                is_there.set()
                assert may_go_on.wait(30)
            return write(*args)

        def post() -> None:
            try:
                answers.append(Desk().post(body).json["status"])
            finally:
                connections.close_all()

        monkeypatch.setattr(contacts.sync, "write", wait_and_write)
        thread = Thread(target=post)
        thread.start()
        assert is_there.wait(30)
        try:
            yield
        finally:
            may_go_on.set()
            thread.join(30)
        assert answers == ["processed"]

    return hold


def test_a_lead_goes_back_to_a_phone_of_its_own_while_it_writes_from_another(
    desk: Desk, held_after_its_facts: Callable[[Json], AbstractContextManager[None]]
) -> None:
    """The one has locked the user id and will want the lead; the other writes the lead, and must not want the user id."""
    desk.told(message("a", 0, user_id=ANA_ID), message("b", 10, phone=BEA, user_id=ANA_ID))
    with held_after_its_facts(message("c", 20, phone=BEA, user_id=ANA_ID)):
        desk.told(message("d", 30))
        assert desk.only_lead.phone == ANA
    assert (desk.only_lead.phone, desk.only_lead.messages.count()) == (ANA, 4)
    assert set(WebhookDelivery.objects.values_list("attempts", flat=True)) == {1}
