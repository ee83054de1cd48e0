"""A file and what becomes of it, for the tests of imports."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import openpyxl
from django.contrib.auth.models import User

from contacts.lead_import import running, uploading
from contacts.models import Import, ImportRow, Workspace

Line = Sequence[Any]


def as_csv(*lines: Line, encoding: str = "utf-8", delimiter: str = ",") -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(lines)
    return buffer.getvalue().encode(encoding)


def as_xlsx(*lines: Line, title: str = "Leads") -> bytes:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.title = title
    for line in lines:
        sheet.append(line)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def upload(workspace: Workspace, by: User, file: bytes, name: str = "leads.csv", **chosen: Any) -> Import:
    made = uploading.begin(workspace, by, name, [file])
    for field, value in chosen.items():
        setattr(made, field, value)
    made.save()
    return made


def run(made: Import) -> Import:
    """Until nothing is to be done."""
    for _ in range(1000):
        made.refresh_from_db()
        if not made.is_at_work:
            return made
        assert running.go_on(seconds=60, only=made.pk)
    raise AssertionError("it does not come to its end")


def checked(*args: Any, **chosen: Any) -> Import:
    made = upload(*args, **chosen)
    assert running.check(made)
    return run(made)


def imported(*args: Any, **chosen: Any) -> Import:
    made = checked(*args, **chosen)
    assert running.start(made), made.error
    return run(made)


def rows(made: Import) -> list[ImportRow]:
    return list(ImportRow.objects.filter(of=made).order_by("number"))


def outcomes(made: Import) -> list[str]:
    return [row.outcome for row in rows(made)]


def why(row: ImportRow) -> str:
    return str((row.told.get("why") or [""])[0])


def notes(row: ImportRow) -> list[str]:
    return [code for code, _ in row.told.get("notes", [])]
