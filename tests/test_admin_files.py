"""The pages of an import in the admin: who may, what is shown, and what a bad file is told."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts.lead_import import running
from contacts.models import Contact, Import, ImportPiece, ImportRow
from tests.importing import as_csv, as_xlsx, checked, imported, run, upload
from tests.reporting import Shop, browser_of

pytestmark = pytest.mark.django_db
IMPORTS = "/admin/contacts/contact/imports/"
FILE = as_csv(["Phone", "Name", "Mail"], ["51911110001", "Ana", "a@x.test"], ["nonsense", "Bea", ""])


@pytest.fixture
def shop() -> Shop:
    return Shop.open("Lima", "America/Lima")


@pytest.fixture
def ana(shop: Shop) -> User:
    return shop.member("ana")


@pytest.fixture
def desk(ana: User) -> Client:
    return browser_of(ana)


def send(desk: Client, file: bytes, name: str = "leads.csv", **more: Any) -> Any:
    return desk.post(IMPORTS, {"file": SimpleUploadedFile(name, file)} | more, follow=True)


def at(made: Import, what: str = "") -> str:
    return f"{IMPORTS}{made.pk}/{what}"


def test_from_the_file_to_the_leads(shop: Shop, desk: Client) -> None:
    page = send(desk, FILE).content.decode()
    made = Import.objects.get()
    assert '<option value="phone" selected>' in page
    assert "51911110001" in page
    columns = {
        "column_0": "phone",
        "column_1": "name",
        "column_2": "email",
        "country": "PE",
        "existing": "fill",
    }
    page = desk.post(at(made, "begin/check/"), columns, follow=True).content.decode()
    assert "The file is being read" in page
    assert not Contact.objects.exists()
    run(made)
    page = desk.get(at(made)).content.decode()
    assert "“nonsense” is not a phone number: it has letters in it." in page
    assert not Contact.objects.exists()
    desk.post(at(made, "begin/start/"))
    run(made)
    page = desk.get(at(made, "?outcome=new")).content.decode()
    lead = Contact.objects.get()
    assert f'href="/admin/contacts/contact/{lead.pk}/change/"' in page
    assert (lead.email, lead.source) == ("a@x.test", "import")
    desk.post(at(made, "begin/undo/"))
    run(made)
    assert not Contact.objects.exists()
    assert "The import was undone" in desk.get(at(made)).content.decode()


def test_without_a_worker_the_open_page_does_the_work(shop: Shop, ana: User, desk: Client) -> None:
    made = upload(shop.workspace, ana, FILE)
    running.check(made)
    assert desk.get(at(made, "progress/")).headers.get("HX-Refresh") is None
    made.refresh_from_db()
    assert made.state == "checking", "a worker has time to begin"
    Import.objects.update(moved_at=timezone.now() - timedelta(seconds=10))
    answer = desk.get(at(made, "progress/"))
    made.refresh_from_db()
    assert (made.state, answer.headers.get("HX-Refresh")) == ("checked", "true")


def test_the_refused_rows_come_with_their_reasons_and_can_be_corrected(
    shop: Shop, ana: User, desk: Client
) -> None:
    made = imported(shop.workspace, ana, as_csv(["Phone", "Name"], ["12", "=cmd|1"], ["51911110001", "Ok"]))
    answer: Any = desk.get(at(made, "rows.csv?outcome=refused"))
    file = b"".join(answer.streaming_content)
    (row,) = csv.DictReader(io.StringIO(file.decode("utf-8-sig")))
    assert row == {
        "Row": "2",
        "Outcome": "Refused",
        "Why": "“12” is not a phone number: it takes 5 to 15 digits.",
        "Phone": "12",
        "Name": "'=cmd|1",
    }
    again = upload(shop.workspace, ana, file.replace(b"12,'", b"51911110002,'"))
    assert again.mapping == ["", "", "", "phone", "name"]
    again = run_through(again)
    assert Contact.objects.get(phone="51911110002").name == "=cmd|1"


def run_through(made: Import) -> Import:
    running.check(made)
    run(made)
    running.start(made)
    return run(made)


BAD = {
    "empty": (b"", "The submitted file is empty|The file is empty."),
    "header only": (as_csv(["phone"]), "There are no rows below the header."),
    "old excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "This is an old Excel file"),
    "a zip": (b"PK\x03\x04" + b"\0" * 100, "This is not an XLSX file"),
    "a picture": (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1" * 9,
        "This is neither text nor an XLSX file.",
    ),
    "an empty sheet": (as_xlsx(), "There is no sheet with a header"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_told_what_is_wrong_and_leaves_nothing(desk: Client, kind: str) -> None:
    file, words = BAD[kind]
    answer = send(desk, file)
    assert answer.status_code == 422
    assert re.search(words, answer.content.decode())
    assert not Import.objects.exists()
    assert not ImportPiece.objects.exists()


def test_a_file_that_breaks_further_down_leaves_nothing_but_what_is_wrong(
    shop: Shop, ana: User, desk: Client
) -> None:
    lines = "".join(f"5191111{n:04},x\n" for n in range(300))
    made = upload(shop.workspace, ana, f'phone,name\n{lines}51911119999,"never closed\n'.encode())
    running.check(made)
    made = run(made)
    assert (made.state, ImportRow.objects.count()) == ("failed", 0)
    page = desk.get(at(made)).content.decode()
    assert "Row 302 cannot be read" in page
    assert "Check every row" in page, "another way to read it can be chosen"


def test_what_is_chosen_must_make_sense(shop: Shop, ana: User, desk: Client) -> None:
    made = upload(shop.workspace, ana, FILE)

    def said(**columns: str) -> str:
        return str(desk.post(at(made, "begin/check/"), columns, follow=True).content.decode())

    assert "Two columns fill “Phone”." in said(column_0="phone", column_1="phone")
    assert "by a name alone nobody is found again" in said(column_1="name")
    made.refresh_from_db()
    assert made.state == "uploaded"


def test_the_encoding_can_be_corrected(shop: Shop, ana: User, desk: Client) -> None:
    file = as_csv(["phone", "name"], ["51911110001", "Núñez"], encoding="cp850")
    made = upload(shop.workspace, ana, file)
    assert "Núñez" not in desk.get(at(made)).content.decode()
    page = desk.post(at(made, "begin/look/"), {"encoding": "cp850"}, follow=True).content.decode()
    assert "Núñez" in page


PAGES = ("", "{pk}/", "{pk}/progress/", "{pk}/rows.csv")


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("manager", 200), ("agent", 403), ("viewer", 403), ("stranger", 404)]
)
def test_only_who_manages_imports(shop: Shop, ana: User, role: str, status: int) -> None:
    made = checked(shop.workspace, ana, FILE)
    other = Shop.open("Quito")
    desk = browser_of(other.member("bea") if role == "stranger" else shop.member("bea", role))
    for page in PAGES:
        wanted = 200 if role == "stranger" and not page else status
        assert desk.get(IMPORTS + page.format(pk=made.pk)).status_code == wanted, page
    if status != 200:
        assert desk.post(at(made, "begin/start/")).status_code == status
        made.refresh_from_db()
        assert made.state == "checked"
        if role == "stranger":
            assert send(desk, FILE, workspace=str(shop.workspace.pk)).status_code == 422
        else:
            assert send(desk, FILE).status_code == 403
        assert Import.objects.count() == 1
    assert desk.post(at(made, "begin/nonsense/")).status_code == (404 if status == 200 else status)
    assert desk.get(at(made, "begin/start/")).status_code == 405


def test_a_page_of_rows_takes_the_same_queries_whatever_is_on_it(shop: Shop, ana: User, desk: Client) -> None:
    counts = []
    for rows in (2, 120):
        made = checked(
            shop.workspace, ana, as_csv(["phone", "name"], *([f"5191111{n:04}", "N"] for n in range(rows)))
        )
        with CaptureQueriesContext(connection) as queries:
            page = desk.get(at(made, "?outcome=new")).content.decode()
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert "after=51" in page


def test_an_import_among_the_changes_of_many_leads_has_its_own_page(
    shop: Shop, ana: User, desk: Client
) -> None:
    made = imported(shop.workspace, ana, FILE)
    answer = desk.get(f"/admin/contacts/contact/bulk/{made.bulk_id}/undo/")
    assert (answer.status_code, answer["Location"]) == (302, at(made))


def test_files_and_rows_are_kept_for_two_weeks(shop: Shop, ana: User, desk: Client) -> None:
    done, left = imported(shop.workspace, ana, FILE), checked(shop.workspace, ana, FILE)
    running.forget_old(timezone.now() + timedelta(days=13))
    assert ImportRow.objects.filter(of=done).count() == 2
    running.forget_old(timezone.now() + timedelta(days=15))
    assert not ImportRow.objects.exists()
    assert not ImportPiece.objects.exists()
    assert list(Import.objects.all()) == [done]
    assert Contact.objects.count() == 1
    assert "kept for two weeks" in desk.get(at(done)).content.decode()
    assert desk.get(at(left)).status_code == 404


def test_a_file_is_deleted_before_it_is_imported_only(shop: Shop, ana: User, desk: Client) -> None:
    made, done = checked(shop.workspace, ana, FILE), imported(shop.workspace, ana, FILE)
    desk.post(at(made, "begin/delete/"))
    page = desk.post(at(done, "begin/delete/"), follow=True).content.decode()
    assert "not possible any more" in page
    assert list(Import.objects.all()) == [done]


def test_a_file_of_rows_takes_its_turn_among_the_exports(shop: Shop, ana: User, desk: Client) -> None:
    """However slowly it is fetched, others are answered meanwhile."""
    made = imported(shop.workspace, ana, as_csv(["Phone"], ["12"]))
    under_way: Any = desk.get("/admin/contacts/contact/export/csv/")
    page = desk.get(at(made, "rows.csv?outcome=refused"), follow=True).content.decode()
    assert "Another export is under way just now" in page
    for close in under_way._resource_closers:
        close()
    answer: Any = desk.get(at(made, "rows.csv?outcome=refused"))
    assert b"is not a phone number" in b"".join(answer.streaming_content)
