"""100,000 stored deliveries: verified, damaged, rebuilt while webhooks arrive, verified again; what people typed is kept."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from threading import Event, Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from contacts.models import Contact, Conversation, Identity, Message
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.builders import (
    LIMA,
    RECEIVED,
    SAOPAULO,
    SENT,
    Desk,
    contact_updated,
    message,
    moment,
    reaction,
    sent,
    session_event,
)
from tests.test_rebuild_command import edit_as_people_do, run, typed

pytestmark = pytest.mark.prove

DELIVERIES = 100_000
PEOPLE = 4_000


def histories(random: Random) -> Iterator[tuple[str, Any]]:
    """Events of all kinds, out of order, of people of whom some have a user id, and some are known by it alone."""
    people = [random.randrange(PEOPLE) for _ in range(DELIVERIES)]
    for index, person in enumerate(people):
        kind, at, target = random.randrange(10), random.randrange(2_000_000), random.randrange(DELIVERIES)
        who = whose(person)
        if kind < 4:
            yield RECEIVED, message(f"wamid.{index}", at, text=f"Hola {index}", **who)
        elif kind < 6:
            yield SENT, sent(f"wamid.{index}", at, **who)
        elif kind < 8:
            word = random.choice(["delivered", "read", "failed"])
            yield f"whatsapp.message.{word}", sent(f"wamid.{target}", at, **whose(people[target]))
        elif kind == 8 and who["phone"]:
            yield "", contact_updated(who["phone"], f"Person {person} {at % 9}", who["number"])
        elif person % 5:
            session = f"session-{who['phone'] or who['user_id']}-{LIMA}"
            yield "whatsapp.conversation.ended", session_event(session, at, phone=who["phone"])
        else:
            yield RECEIVED, reaction(f"wamid.{index}", at, f"wamid.{target}", "👍", **who)


def whose(person: int) -> dict[str, Any]:
    phone = f"519{person:08d}" if person % 7 else None
    user_id = f"PE.{person:016d}" if person % 3 == 0 or not phone else None
    number = LIMA if person % 5 else SAOPAULO
    return {"phone": phone, "user_id": user_id, "number": number, "name": f"Person {person}"}


def store(told: Iterator[tuple[str, Any]]) -> None:
    batch = []
    for index, (event, body) in enumerate(told):
        raw = json.dumps(body, ensure_ascii=False).encode()
        headers = {"X-Webhook-Event": event, "X-Idempotency-Key": f"key-{index}"}
        received_at = moment(2_000_000) + timedelta(seconds=index)
        batch.append(WebhookDelivery.of(raw, headers, received_at=received_at))
        if len(batch) == 5000:
            WebhookDelivery.objects.bulk_create(batch)
            batch = []
    WebhookDelivery.objects.bulk_create(batch)


def damage(random: Random) -> None:
    """By ids: the most memory that the test has used by now is what the rebuild's is measured against."""
    leads = Contact.objects.living().order_by("pk")
    workspaces = dict(leads.values_list("pk", "workspace_id"))
    threads = dict(Conversation.objects.values_list("contact_id", "pk"))
    messages = list(Message.objects.exclude(contact=None).order_by("pk").values_list("pk", "workspace_id"))

    def some(count: int) -> list[int]:
        return [pk for pk, _ in random.sample(messages, count)]

    wrong_clock = random.sample(list(workspaces), 50)
    Contact.objects.filter(pk__in=wrong_clock).update(last_activity_at=None)
    Message.objects.filter(pk__in=some(200)).delete()
    Message.objects.filter(pk__in=some(200)).update(content="Never said")
    for stolen, workspace in random.sample(messages, 50):
        robber = random.choice([pk for pk, other in workspaces.items() if other == workspace])
        if robber in threads:
            Message.objects.filter(pk=stolen).update(contact=robber, conversation=threads[robber])
    for index, lead in enumerate(random.sample(list(workspaces), 50)):
        Identity.objects.create(
            workspace_id=workspaces[lead], kind="user", value=f"XX.{index}", contact_id=lead
        )


def most_memory() -> int:
    """In megabytes: the most that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@contextmanager
def webhooks_meanwhile(desk: Desk) -> Iterator[list[tuple[str, float]]]:
    """One after the other, of people whom everybody knows: each with its outcome, and how many seconds it took."""

    def post() -> None:
        try:
            while not done.wait(0.05) and len(answers) < 10_000:
                index = len(answers)
                person = whose(1 + index % 6)  # of both numbers, none of them known by a user id alone
                started = time.monotonic()
                answer = desk.post(message(f"wamid.meanwhile.{index}", index, **person))
                answers.append((answer.json["status"], time.monotonic() - started))
        finally:
            connection.close()

    answers: list[tuple[str, float]] = []
    done = Event()
    sender = Thread(target=post)
    sender.start()
    try:
        yield answers
    finally:
        done.set()
        sender.join()


def test_rebuild_of_100000_deliveries(transactional_db: None, capsys: Any) -> None:
    random = Random(1)  # noqa: S311 - the same histories each time
    desk = Desk.open()
    store(histories(random))
    replay_in_batches(WebhookDelivery.objects.all())
    user = User.objects.create_superuser("admin")
    kept = edit_as_people_do(user)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    damage(random)
    memory = most_memory()
    started = time.monotonic()
    with webhooks_meanwhile(desk) as answers:
        rebuilt = run("rebuild_crm")
    seconds = time.monotonic() - started
    memory = most_memory() - memory
    assert memory < 200
    assert "FAILED" not in rebuilt, rebuilt[-3000:]
    # Nothing but what was damaged: 50 clocks, 400 messages, 50 that were put under another lead, 50 identities.
    assert rebuilt.count("no stored delivery tells user ID XX.") == 50
    assert 200 < rebuilt.count("(lead ") < 1000
    # A webhook that waits for longer than 3 seconds fails, and is tried again later.
    assert {outcome for outcome, _ in answers} == {"processed"}
    assert len(answers) > 50
    assert run("verify_crm") == "Lima: no difference.\nSaopaulo: no difference.\n"
    assert typed() == kept
    with capsys.disabled():
        counts = (
            f"{DELIVERIES} deliveries, {Contact.objects.count()} leads, {Message.objects.count()} messages"
        )
        swaps = [line for line in rebuilt.splitlines() if "put right" in line]
        longest = max(took for _, took in answers)
        sys.stdout.write(
            f"\n{counts}: rebuilt in {seconds:.0f} s, {memory} MB more memory. {' '.join(swaps)}\n"
        )
        sys.stdout.write(
            f"{len(answers)} webhooks meanwhile, none failed, each in {longest:.1f} s at most.\n"
        )
