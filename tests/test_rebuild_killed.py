"""`kill -9` of `manage.py rebuild_crm`: the live CRM is as it was, and the next run goes on where that one was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from contacts.models import Contact, Identity, Message
from kapso_sync.models import WebhookDelivery
from kapso_sync.rebuilding import REBUILD_LOCK, Rebuild
from kapso_sync.replaying import BATCH_SIZE, replay_in_batches
from tests.builders import LIMA, RECEIVED, Desk, message, moment
from tests.state import crm_state
from tests.test_rebuild import difference
from tests.test_rebuild_command import run
from tests.test_worker import comes_true, running

NOBODYS = "4915100000000"
REBUILD = [sys.executable, "manage.py", "rebuild_crm", "--workspace", "lima"]


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    desk = Desk.open()
    yield desk
    with transaction.atomic():  # a schema that Django does not know to be dropped after a test
        rebuild_of(desk).shadow.drop()


def rebuild_of(desk: Desk) -> Rebuild:
    return Rebuild(desk.numbers[LIMA].workspace)


def told(count: int) -> None:
    """So many messages of 50 people, stored and applied."""
    bodies = [
        message(f"wamid.{index}", index, phone=f"5191111{index % 50:04d}", name=f"Person {index % 50}")
        for index in range(count)
    ]
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery.of(
            json.dumps(body).encode(),
            {"X-Webhook-Event": RECEIVED, "X-Idempotency-Key": f"key-{index}"},
            received_at=moment(count),
        )
        for index, body in enumerate(bodies)
    )
    assert replay_in_batches(WebhookDelivery.objects.all())["processed"] == count


def damage(desk: Desk) -> None:
    """One row to be inserted, one to be changed, one to be removed, and one to be derived."""
    Message.objects.filter(kapso_message_id="wamid.1").delete()
    Message.objects.filter(kapso_message_id="wamid.2").update(content="Never said")
    Identity.objects.create(workspace=desk.numbers[LIMA].workspace, kind="phone", value=NOBODYS)
    Contact.objects.filter(phone="51911110005").update(last_activity_at=None)


@contextmanager
def killed_once(stops: Callable[[], None]) -> Iterator[subprocess.Popen[str]]:
    """The rebuild, until it waits for a lock that `stops` takes; then it is killed, and PostgreSQL ends its session."""
    with running(REBUILD, TEST_LOCK_TIMEOUT="60s") as rebuild:
        with transaction.atomic():
            stops()
            assert comes_true(a_lock_is_waited_for), rebuild.poll()
            rebuild.kill()
            rebuild.wait(20)
        assert comes_true(nobody_rebuilds)
        yield rebuild


def a_lock_is_waited_for() -> bool:
    """Not pg_stat_activity: that stands still within a transaction."""
    return any_row("SELECT FROM pg_locks WHERE NOT granted")


def nobody_rebuilds() -> bool:
    return not any_row(f"SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = {REBUILD_LOCK}")


def any_row(statement: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS ({statement})")
        return bool(cursor.fetchone()[0])


def test_killed_in_the_middle_of_building(desk: Desk) -> None:
    told(3 * BATCH_SIZE)
    intended = crm_state()
    damage(desk)
    before = crm_state()
    shadow = rebuild_of(desk).shadow

    def a_batch_is_built() -> bool:
        return any_row(f"SELECT WHERE to_regclass('{shadow.schema}.applied') IS NOT NULL") and any_row(
            f"SELECT FROM {shadow.schema}.applied"
        )

    def hold_up_the_next_batch() -> None:
        assert comes_true(a_batch_is_built)
        shadow.run("LOCK TABLE {shadow}.applied IN SHARE MODE")

    with killed_once(hold_up_the_next_batch):
        assert not difference(before, crm_state())
        done = int(shadow.run("SELECT count(*) FROM {shadow}.applied")[0][0])
        assert done in (BATCH_SIZE, 2 * BATCH_SIZE)
    goes_on(done, intended)


def test_killed_in_the_middle_of_swapping(desk: Desk) -> None:
    """What it had inserted and changed by then is seen by nobody."""
    told(60)
    intended = crm_state()
    damage(desk)
    before = crm_state()

    def hold_up_the_swap() -> None:
        Message.objects.select_for_update().get(kapso_message_id="wamid.2")

    with killed_once(hold_up_the_swap):
        assert not difference(before, crm_state())
        assert any_row(f"SELECT FROM {rebuild_of(desk).shadow.schema}.difference")
        desk.told(
            message("wamid.2", 2, phone="51911110002", name="Person 2", text="Hola")
        )  # nothing is locked
    goes_on(60, intended)


def goes_on(done: int, intended: list[Any]) -> None:
    said = run("rebuild_crm", "--workspace", "lima")
    assert f"Going on with what was begun: {done} deliveries are done." in said
    assert "FAILED" not in said, said
    assert "leads put right" in said
    assert not difference(intended, crm_state())
    assert run("verify_crm", "--workspace", "lima") == "Lima: no difference.\n"
