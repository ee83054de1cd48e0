"""Contacts as a file, over the API: what the same filters list, for those who may export."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import openpyxl
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contacts import lead_export
from contacts.models import Membership, Workspace
from tests.api import Api, as_role
from tests.test_admin import make_lead

AT = datetime(2026, 6, 9, 10, tzinfo=UTC)
EXPORT = "/api/v1/contacts/export/"


@pytest.fixture
def lima(db: None) -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


@pytest.fixture
def manager(lima: Workspace) -> Api:
    return as_role("manager", lima)


def exported(api: Api, **asked: str) -> bytes:
    answer: Any = api.program.get(EXPORT, **asked)
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def names(file: bytes) -> list[str]:
    return [row["name"] for row in csv.DictReader(io.StringIO(file.decode()))]


def test_it_has_what_the_list_has_in_its_order(manager: Api, lima: Workspace) -> None:
    for name, status, at in (("never", "new", None), ("old", "new", AT), ("new", "new", AT + timedelta(hours=1)),
                             ("other", "qualified", AT)):  # fmt: skip
        make_lead(lima, name, lead_status=status, last_activity_at=at)
    listed = [row["name"] for row in manager.get("contacts/", status="new").results]
    assert names(exported(manager, status="new")) == listed == ["new", "old", "never"]
    sheet = openpyxl.load_workbook(io.BytesIO(exported(manager, status="new", type="xlsx"))).worksheets[0]
    header, *rows = sheet.iter_rows(values_only=True)
    assert [dict(zip(header, row, strict=True))["name"] for row in rows] == listed


def test_a_formula_is_inert(manager: Api, lima: Workspace) -> None:
    make_lead(lima, "=cmd|1")
    assert names(exported(manager)) == ["'=cmd|1"]


def test_leads_of_workspaces_that_one_only_works_in_stay_there(manager: Api, lima: Workspace) -> None:
    rio = Workspace.objects.create(name="Rio", slug="rio")
    Membership.objects.create(workspace=rio, user=manager.user, role="agent")
    make_lead(lima, "Ana")
    make_lead(rio, "Bea")
    assert len(manager.get("contacts/").results) == 2
    assert names(exported(manager)) == ["Ana"]


@pytest.mark.parametrize("who", ["agent", "narrow", "viewer", "stranger"])
def test_who_manages_nothing_exports_nothing(lima: Workspace, who: str) -> None:
    answer = as_role(who, lima).get("contacts/export/")
    assert (answer.status, answer.problem) == (403, "forbidden")


def test_what_cannot_be_is_told(manager: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for asked, field in (
        ({"type": "pdf"}, "type"),
        ({"limit": "5"}, "limit"),
        ({"status": "gone"}, "status"),
    ):
        answer = manager.get("contacts/export/", **asked)
        assert (answer.status, list(answer.fields)) == (400, [field])

    monkeypatch.setattr("contacts.sheets.MOST_ROWS", 0)
    answer = manager.get("contacts/export/", type="xlsx")
    assert (answer.status, list(answer.fields)) == (400, ["type"])
    assert "Export them as CSV" in answer.fields["type"]


def test_one_export_at_a_time_and_the_next_is_told_to_wait(manager: Api) -> None:
    under_way: Any = manager.program.get(EXPORT)
    answer = manager.get("contacts/export/")
    assert (answer.status, answer.problem, answer.headers["Retry-After"]) == (503, "busy", "5")
    for close in under_way._resource_closers:  # whoever asked went away
        close()
    exported(manager)


def test_its_queries_do_not_grow_with_its_rows(manager: Api, lima: Workspace) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            exported(manager)
        return len(captured)

    exported(manager)
    few = queries()
    for number in range(2 * lead_export.BATCH // 100):
        make_lead(lima, f"lead {number}")
    assert queries() == few <= 8
