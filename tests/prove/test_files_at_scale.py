"""A million leads as a file within bounded memory, and a file of 100,000 leads whose worker is killed midway."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from contacts.lead_import import running
from contacts.models import Contact, Identity, Import, LeadChange, Workspace
from tests.importing import as_csv, outcomes, run, upload
from tests.test_worker import CHECKOUT, comes_true, environment
from tests.test_worker import running as running_process

MILLION = 1_000_000
MOST_MB = 200

# Through the answer that a server streams; says how much memory the process ever took, of which how much for Django alone.
EXPORT = """
import resource, sys, time, django
django.setup()
from contacts import lead_export
from contacts.models import Contact, Workspace
def megabytes(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
place, before, began, size = Workspace.objects.get(), megabytes(), time.monotonic(), 0
leads = Contact.objects.living().filter(workspace=place).order_by("-last_activity_at", "-pk")
answer = lead_export.response(leads, sys.argv[1], workspaces=[place.pk])
rows = 0
for piece in answer.streaming_content:
    size += len(piece)
    rows += piece.count(b"\\n") if sys.argv[1] == "csv" else 0
answer.close()
print(before, megabytes(), rows, size, round(time.monotonic() - began))
"""
WORK = """
import django
django.setup()
from contacts.lead_import import running
while running.go_on(seconds=600): pass
"""


@pytest.mark.prove
@pytest.mark.parametrize("fmt", ["csv", "xlsx"])
def test_a_million_leads_are_streamed(transactional_db: None, fmt: str) -> None:
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
    said = subprocess.run(
        [sys.executable, "-c", EXPORT, fmt],
        cwd=CHECKOUT, env=environment(), capture_output=True, text=True, check=True, timeout=900,
    )  # fmt: skip
    before, most, rows, size, seconds = map(int, said.stdout.split())
    print(f"{fmt}: {most} MB at most ({before} before), {size // 2**20} MB sent in {seconds} s")  # noqa: T201 - the measures of a proof
    assert most < MOST_MB
    if fmt == "csv":
        assert rows == MILLION + 1


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
