"""Leads as CSV and XLSX: what stands in the files, who gets which leads, and what happens when one breaks off."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from contacts import lead_export, sheets
from contacts.models import Contact, CustomField, Membership, Workspace
from tests.reporting import Shop, browser_of

pytestmark = pytest.mark.django_db
EXPORT = "/admin/contacts/contact/export/"


@pytest.fixture
def shop() -> Shop:
    return Shop.open("Lima", "America/Lima")


@pytest.fixture
def desk(shop: Shop) -> Client:
    return browser_of(shop.member("ana"))


def exported(desk: Client, fmt: str = "csv", **asked: str) -> bytes:
    answer: Any = desk.get(f"{EXPORT}{fmt}/", asked)
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def lines(file: bytes) -> list[dict[str, str]]:
    assert file.startswith("\ufeff".encode())
    return list(csv.DictReader(io.StringIO(file.decode("utf-8-sig"), newline="")))


def cells(file: bytes) -> list[tuple[Any, ...]]:
    (sheet,) = openpyxl.load_workbook(io.BytesIO(file)).worksheets
    return [tuple(cell.value for cell in row) for row in sheet.iter_rows()]


def test_every_field_is_there_custom_ones_included(shop: Shop, desk: Client) -> None:
    CustomField.objects.create(workspace=shop.workspace, key="size", label="Size", kind="number")
    CustomField.objects.create(workspace=shop.workspace, key="vip", label="VIP", kind="yes_no")
    CustomField.objects.create(workspace=shop.workspace, key="email", label="Other e-mail")
    owner = shop.member("bea", "agent")
    lead = shop.lead(
        "Zoë, “Z”",
        phone="51911110001",
        email="z@x.test",
        tags=["vip", "two words"],
        owner=owner,
        lead_score=-7,
        lead_status="qualified",
        metadata={"size": 4.5, "vip": True, "email": "other@x.test", "unknown": 1},
        last_activity_at=datetime(2026, 6, 9, 10, 13, 20, tzinfo=UTC),
    )
    (row,) = lines(exported(desk))
    created = row.pop("created_at")
    assert created.endswith("Z")
    assert row == {
        "id": str(lead.pk),
        "workspace": "lima",
        "phone": "51911110001",
        "business_scoped_user_id": "",
        "username": "",
        "name": "Zoë, “Z”",
        "kapso_name": "",
        "email": "z@x.test",
        "lead_status": "qualified",
        "lead_score": "-7",
        "tags": "vip, two words",
        "owner": "bea",
        "source": "whatsapp",
        "last_activity_at": "2026-06-09T10:13:20Z",
        "last_contact_at": "",
        "last_inbound_at": "",
        "size": "4.5",
        "vip": "yes",
        "metadata.email": "other@x.test",
    }


HOSTILE = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "＝1",
    '=HYPERLINK("http://x")',
    "<b>&amp;",
    "_x0041_",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_is_a_formula(shop: Shop, desk: Client, name: str) -> None:
    shop.lead(name)
    (row,) = lines(exported(desk))
    assert row["name"] == ("'\t'=1" if name == "\t=1" else name if name[0] in "<_" else f"'{name}")
    assert lead_export.without_apostrophe(row["name"]) == name
    book = openpyxl.load_workbook(io.BytesIO(exported(desk, "xlsx")))
    cell = book.worksheets[0].cell(2, 1 + list(lead_export.FIELDS).index("name"))
    assert (cell.data_type, cell.value) in [
        ("s", name),
        ("inlineStr", name),
        ("s", name.replace("\r", "_x000D_")),
        ("s", name.replace("_x", "_x005F_x")),
    ]


def test_what_xml_cannot_hold_is_replaced() -> None:
    told = ["a\x00b", "\x0b", "\ufffe", "\ud800", "line\nbreak", "💐", " space ", "x" * 40_000]
    file = b"".join(sheets.written([["h"], *([text] for text in told)], "T: [1]/x"))
    (_, *found) = cells(file)
    assert [value for (value,) in found] == [
        "a\ufffdb", "\ufffd", "\ufffd", "\ufffd", "line\nbreak", "💐", " space ", "x" * 32_767,
    ]  # fmt: skip


def test_numbers_are_numbers_and_phones_keep_their_digits(shop: Shop, desk: Client) -> None:
    shop.lead("Ana", phone="005191111000123", lead_score=12)
    header, row = cells(exported(desk, "xlsx"))
    told = dict(zip(header, row, strict=True))
    assert (told["phone"], told["lead_score"]) == ("005191111000123", 12)


def test_the_list_is_exported_as_it_is_shown(shop: Shop, desk: Client) -> None:
    for index, name in enumerate(("Ana", "Anabel", "Bea")):
        shop.wrote(
            shop.lead(name, lead_status="new" if name != "Bea" else "qualified"),
            shop.at(f"2026-06-0{index + 1}T10:00"),
        )

    def names(**asked: str) -> list[str]:
        return [row["name"] for row in lines(exported(desk, **asked))]

    assert names() == ["Bea", "Anabel", "Ana"]
    assert names(q="ana") == ["Anabel", "Ana"]
    assert names(status="qualified") == ["Bea"]
    assert names(view="awaiting") == ["Ana", "Anabel", "Bea"]  # who waits longest is first there
    assert names(view="mine") == []


def test_more_than_a_page_is_exported_with_as_many_queries(shop: Shop, desk: Client) -> None:
    counts = []
    for _ in range(2):
        Contact.objects.bulk_create(Contact(workspace=shop.workspace, name=f"L{n}") for n in range(120))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            found = lines(exported(desk))
        counts.append((len(found), len(queries)))
    assert [rows for rows, _ in counts] == [120, 240]
    assert counts[0][1] == counts[1][1]


def test_the_menu_tells_how_many(shop: Shop, desk: Client) -> None:
    page = desk.get("/admin/contacts/contact/?q=ana").content.decode()
    assert "export/csv/" not in page
    shop.lead("Ana")
    page = desk.get("/admin/contacts/contact/?q=ana&p=1").content.decode()
    assert "The 1 lead of this list." in page
    assert "export/csv/?q=ana" in page


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("manager", 200), ("agent", 403), ("viewer", 403)]
)
def test_only_who_manages_exports(shop: Shop, role: str, status: int) -> None:
    shop.lead("Ana")
    desk = browser_of(shop.member("bea", role))
    assert desk.get(f"{EXPORT}csv/").status_code == status
    assert ("export/csv/" in desk.get("/admin/contacts/contact/").content.decode()) == (status == 200)
    assert desk.get(f"{EXPORT}pdf/").status_code == 404


def test_nobody_exports_leads_of_a_workspace_that_they_do_not_manage(shop: Shop) -> None:
    other, third = Shop.open("Quito"), Shop.open("Rio")
    for each in (shop, other, third):
        each.lead(f"Lead of {each.workspace.name}")
    ana = shop.member("ana")
    Membership.objects.create(workspace=other.workspace, user=ana, role="agent")
    desk = browser_of(ana)
    assert [row["name"] for row in lines(exported(desk))] == ["Lead of Lima"]
    assert "workspaces which you manage" in desk.get("/admin/contacts/contact/").content.decode()
    assert desk.get(f"{EXPORT}csv/", {"workspace": str(third.workspace.pk)}).status_code == 200
    assert lines(exported(desk, workspace=str(third.workspace.pk))) == []


def test_more_than_a_sheet_holds_is_refused_by_name(
    shop: Shop, desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "MOST_ROWS", 3)
    for name in ("Ana", "Bea"):
        shop.lead(name)
    assert len(cells(exported(desk, "xlsx"))) == 3
    shop.lead("Caro")
    answer = desk.get(f"{EXPORT}xlsx/", follow=True)
    assert "that an Excel sheet holds. Export them as CSV." in answer.content.decode()


def broken(count: int) -> Iterator[list[Any]]:
    for number in range(count):
        yield [number]
    raise DatabaseError("gone")


def test_an_export_that_breaks_off_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    pieces = list[bytes]()
    with pytest.raises(DatabaseError):
        until_it_breaks(pieces, lead_export.as_csv(broken(700), marked=False))
    file = b"".join(pieces).decode()
    assert file.splitlines()[-1] == '"INCOMPLETE: this export broke off here. Export again."'
    assert "broke off" in caplog.text
    pieces = []
    with pytest.raises(DatabaseError):
        until_it_breaks(pieces, sheets.written(broken(700), "Leads"))
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(pieces)))


def until_it_breaks(pieces: list[bytes], source: Iterator[bytes]) -> None:
    for piece in source:
        pieces.append(piece)


def test_an_export_does_not_last_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lead_export, "MOST_SECONDS", -1)
    with pytest.raises(lead_export.BrokenOff):
        list(lead_export._in_time([[1]]))


def test_one_export_at_a_time_and_the_slot_comes_back(shop: Shop, desk: Client) -> None:
    shop.lead("Ana")
    first: Any = desk.get(f"{EXPORT}csv/")
    answer = desk.get(f"{EXPORT}csv/", follow=True)
    assert "Another export is under way" in answer.content.decode()
    for close in first._resource_closers:  # whoever asked went away
        close()
    assert len(lines(exported(desk))) == 1
    assert len(lines(exported(desk))) == 1


def test_a_superuser_exports_everything(shop: Shop) -> None:
    shop.lead("Ana")
    Workspace.objects.create(name="Empty", slug="empty")
    root = User.objects.create_superuser("root")
    assert [row["workspace"] for row in lines(exported(browser_of(root)))] == ["lima"]


@pytest.mark.parametrize("name", ["x;=1+1;y", "x\t-2", "a; @b"])
def test_no_part_of_a_text_is_a_formula_where_lines_are_cut_at_semicolons(
    shop: Shop, desk: Client, name: str
) -> None:
    shop.lead(name)
    (row,) = lines(exported(desk))
    assert not any(part.lstrip()[:1] in ("=", "-", "@") for part in re.split("[;\t]", row["name"]))
    assert lead_export.without_apostrophe(row["name"]) == name


@settings(max_examples=300, deadline=None, database=None)
@given(st.text("';\t\r\n =+-@＝a", max_size=12))
def test_any_text_comes_back_as_it_was_and_no_part_of_it_is_a_formula(text: str) -> None:
    made = lead_export.inert(text)
    assert isinstance(made, str)
    assert lead_export.without_apostrophe(made) == text
    assert not re.match(r"[=+\-@\t\r\n＝＋－＠]", made)
    assert not any(re.match(r"\s*[=+\-@＝＋－＠]", part) for part in re.split("[;\t]", made)[1:])
