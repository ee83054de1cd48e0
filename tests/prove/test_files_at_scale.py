"""A million leads as a file within bounded memory, and a file of 100,000 leads whose worker is killed midway."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.contrib.auth.models import User
from django.db import connection

from api import tokens
from contacts.lead_import import running
from contacts.models import Contact, Identity, Import, LeadChange, Membership, Role, Workspace
from leadcrm import webserver
from tests.importing import as_csv, outcomes, run, upload
from tests.test_waiting_clients import serving
from tests.test_worker import comes_true
from tests.test_worker import running as running_process

MILLION = 1_000_000
MOST_MB = 200

WORK = """
import django
django.setup()
from api import tokens
from contacts.lead_import import running
while running.go_on(seconds=600): pass
"""


@pytest.mark.prove
@pytest.mark.parametrize("fmt", ["csv", "xlsx"])
def test_a_million_leads_are_streamed_by_the_web_server(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, fmt: str
) -> None:
    place = Workspace.objects.create(name="Large", slug="large")
    with connection.cursor() as cursor:  # past the triggers: who is who does not matter here
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "INSERT INTO contacts_contact (workspace_id, phone, name, email, tags, last_activity_at) SELECT %s,"
            " (51900000000 + n)::text, 'Lead ' || n, n || '@x.test', '{a,b}', now() - n * interval '1 second'"
            " FROM generate_series(1, %s) AS n",
            [place.pk, MILLION - (fmt == "xlsx")],
        )
        cursor.execute("SET session_replication_role = DEFAULT")
    ana = User.objects.create_user("ana")
    Membership.objects.create(workspace=place, user=ana, role=Role.MANAGER)
    text = tokens.issue(ana, "sheet")[1]
    with serving(monkeypatch) as (port, _):
        before, began = most_memory(port), time.monotonic()
        rows, size = download(port, f"/api/v1/contacts/export/?type={fmt}", text)
        most = most_memory(port)
    seconds = time.monotonic() - began
    print(f"{fmt}: {most} MB at most ({before} before), {size // 2**20} MB sent in {seconds:.0f} s")  # noqa: T201 - the measures of a proof
    assert most < MOST_MB
    if fmt == "csv":
        assert rows == MILLION + 1


def download(port: int, path: str, token: str) -> tuple[int, int]:
    """Its lines and its bytes."""
    asked = Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    rows = size = 0
    with urlopen(asked, timeout=60) as answer:  # noqa: S310 - our own
        while piece := answer.read(1 << 20):
            rows += piece.count(b"\n")
            size += len(piece)
    return rows, size


def most_memory(port: int) -> int:
    """The most that any process of this web server ever had, in MB. All of them are of one session."""
    processes = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    called = f"--port\0{port}\0".encode()
    server = next(pid for pid in processes if called in _read(pid, "cmdline"))
    peaks = [
        re.search(rb"VmHWM:\s+(\d+) kB", _read(pid, "status")) for pid in processes if _session(pid) == server
    ]
    assert len(peaks) > webserver.WORKERS
    return max(int(peak[1]) // 1024 for peak in peaks if peak)


def _session(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid)
    return None


def _read(pid: int, name: str) -> bytes:
    with contextlib.suppress(OSError):  # it has ended
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


@pytest.mark.prove
def test_a_hundred_thousand_rows_survive_a_killed_worker(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 100_000
    place = Workspace.objects.create(name="Lima", slug="lima")
    by = User.objects.create_user("ana")
    lines: list[list[Any]] = [
        [f"51{900_000_000 + n}", f"Lead {n}", f"{n}@x.test", "fair"] for n in range(count)
    ]
    file = as_csv(["phone", "name", "email", "tags"], *lines)
    made = upload(place, by, file)
    running.check(made)
    began = time.monotonic()
    made = run(made)
    checked = time.monotonic()
    assert made.counts == {"new": count}
    running.start(made)
    with running_process([sys.executable, "-c", WORK]) as worker:
        assert comes_true(lambda: Import.objects.get().upto > 20_000, 300)
        worker.kill()
    made.refresh_from_db()
    assert made.state == "running"
    assert (
        Contact.objects.count() == made.count("new") == LeadChange.objects.count() == Identity.objects.count()
    )
    assert 0 < made.count("new") < count
    Import.objects.update(claimed_until=made.at)  # as when its time is up
    made = run(made)
    print(f"checked in {checked - began:.0f} s, imported in {time.monotonic() - checked:.0f} s")  # noqa: T201 - the measures of a proof
    assert (made.state, made.counts) == ("done", {"new": count})
    assert Contact.objects.count() == Identity.objects.count() == LeadChange.objects.count() == count
    again = upload(place, by, file)
    running.check(again)
    assert run(again).counts == {"same": count}
    assert set(outcomes(again)) == {"same"}
