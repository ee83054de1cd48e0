"""Real processes: the worker of background jobs, one that is killed in the middle, and the production web server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.db.models import F
from procrastinate.contrib.django.models import ProcrastinateJob

from contacts.models import Message
from kapso_sync.models import WebhookDelivery
from kapso_sync.outcomes import NOBODY_CAME_BACK
from kapso_sync.retrying import LEASE, retry_due
from leadcrm import webserver
from leadcrm.management.commands.work import WORKER
from tests.builders import Desk, message
from tests.kapso import Kapso

CHECKOUT = Path(__file__).resolve().parent.parent

# Claims what is due, and is then in the middle of it until it is killed.
KILLED = """
import sys, time, django
django.setup()
import contacts.sync
from kapso_sync.retrying import retry_due
def in_the_middle(*_, **__):
    print("in the middle", flush=True)
    time.sleep(60)
contacts.sync.refresh = in_the_middle
retry_due()
"""


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    yield Desk.open()
    with connection.cursor() as cursor:  # tables that Django does not know to be emptied after a test
        cursor.execute(
            "TRUNCATE procrastinate_jobs, procrastinate_workers, procrastinate_periodic_defers CASCADE"
        )


def environment(**more: str) -> dict[str, str]:
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "TEST_DATABASE_URL", "TEST_LOCAL_DIR")
        if name in os.environ
    }
    kept |= {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
    kept |= {"DJANGO_SETTINGS_MODULE": "tests.settings_of_a_process"}
    return kept | {"TEST_DATABASE_NAME": str(connection.settings_dict["NAME"])} | more


@contextlib.contextmanager
def running(command: Sequence[str], **more: str) -> Iterator[subprocess.Popen[str]]:
    """In a session of its own, none of which is left."""
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=environment(**more),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)


def comes_true(condition: Callable[[], bool], seconds: float = 40) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return met


def fail(delivery: WebhookDelivery) -> None:
    """As if its attempt had failed some time ago."""
    Message.objects.all().delete()
    past = delivery.received_at - timedelta(hours=1)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(status="failed", error="no", next_retry_at=past)


def outcome(delivery: WebhookDelivery) -> tuple[str, int]:
    delivery.refresh_from_db()
    return delivery.status, delivery.attempts


def stop(process: subprocess.Popen[str]) -> str:
    """As a process manager does; returns what it said."""
    process.terminate()
    said, _ = process.communicate(timeout=20)
    return said


def url_of_the_database() -> str:
    """The test's own database as DATABASE_URL has it."""
    parameters = connection.get_connection_params()
    login = f"{quote(parameters['user'])}:{quote(parameters['password'])}"
    return f"postgresql://{login}@/{parameters['dbname']}?host={quote(parameters['host'])}"


@pytest.mark.parametrize("by_url", [False, True], ids=["embedded", "DATABASE_URL"])
def test_a_worker_retries_what_is_due_and_leaves_no_jobs(desk: Desk, by_url: bool) -> None:
    delivery = desk.post(message("a")).delivery
    fail(delivery)
    more = {}
    if by_url:
        more = {"DJANGO_SETTINGS_MODULE": "leadcrm.settings", "DATABASE_URL": url_of_the_database()}
        more |= {"SECRET_KEY": "only-for-a-test", "LOCAL_DIR": str(settings.LOCAL_DIR)}
    with running([sys.executable, "manage.py", "work"], **more) as worker:
        assert comes_true(lambda: outcome(delivery)[0] == "processed"), worker.poll()
        assert outcome(delivery) == ("processed", 2)
        assert desk.row("a").contact == desk.only_lead
        assert comes_true(lambda: not ProcrastinateJob.objects.exclude(status="todo").exists(), 5)
        said = stop(worker)
    assert worker.returncode == 0, said
    assert "Traceback" not in said
    assert not ProcrastinateJob.objects.exclude(status="todo").exists()
    # With the minute several turns are due.
    assert ProcrastinateJob.objects.count() <= 5, "turns that were due after the worker was told to stop"


def test_a_worker_waits_for_the_migrations(desk: Desk) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, app, name, applied FROM django_migrations WHERE app = 'kapso_sync' ORDER BY id DESC"
        )
        newest = cursor.fetchone()
        cursor.execute("DELETE FROM django_migrations WHERE id = %s", [newest[0]])
        try:
            with running([sys.executable, "manage.py", "work"]) as worker:
                said, _ = worker.communicate(timeout=30)
        finally:
            cursor.execute(
                "INSERT INTO django_migrations (id, app, name, applied) VALUES (%s, %s, %s, %s)", newest
            )
    assert worker.returncode == 1
    assert "lacks migrations" in said


def test_a_job_of_a_killed_worker_is_forgotten(desk: Desk) -> None:
    """It would stay `doing` for ever: nobody ends it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (task_name, queue_name, status) VALUES ('x', 'default', 'doing')"
        )
    with running([sys.executable, "manage.py", "procrastinate", "worker"]) as worker:
        assert comes_true(lambda: not ProcrastinateJob.objects.filter(status="doing").exists()), worker.poll()
        assert "Traceback" not in stop(worker)


def test_a_retry_that_is_killed_in_the_middle_is_made_again_after_its_lease(desk: Desk) -> None:
    delivery = desk.post(message("a")).delivery
    fail(delivery)
    with running([sys.executable, "-c", KILLED]) as process:
        assert process.stdout
        assert process.stdout.readline() == "in the middle\n"
        process.kill()
        process.wait(timeout=20)
    assert process.returncode == -signal.SIGKILL
    assert (outcome(delivery), Message.objects.count()) == (("failed", 1), 0)
    assert retry_due() == {}, "it may still be at it"
    WebhookDelivery.objects.update(next_retry_at=F("next_retry_at") - LEASE)
    assert (retry_due(), outcome(delivery)) == ({"processed": 1}, ("processed", 3))
    assert delivery.past_attempts.get(number=2).error == NOBODY_CAME_BACK
    assert Message.objects.count() == 1


def test_the_production_server_answers_first_and_then_retries(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry cannot begin for as long as its delivery is locked; the answer is here all the same."""
    delivery = desk.post(message("a")).delivery
    fail(delivery)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setattr(settings, "PORT", port)
    kapso = Kapso(f"http://127.0.0.1:{port}")
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    with (
        running(webserver.command("--log-level", "warning"), TEST_LOCK_TIMEOUT="30s") as server,
        psycopg.connect(**{name: parameters[name] for name in names if parameters.get(name)}) as other,
    ):
        assert comes_true(lambda: answers(port)), server.poll()
        # What a retry of this message writes: it waits here.
        other.execute("LOCK TABLE kapso_sync_deliveryattempt IN ACCESS EXCLUSIVE MODE")
        answer = kapso.post(message("b", 1), event="whatsapp.message.received")
        assert (answer.status, answer.json["status"]) == (200, "processed")
        assert outcome(delivery) == ("failed", 1)
        other.rollback()
        assert comes_true(lambda: outcome(delivery)[0] == "processed")
    assert Message.objects.count() == 2


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_run_and_work_start_the_same_worker() -> None:
    assert WORKER[1:] == (str(CHECKOUT / "manage.py"), "procrastinate", "worker")
