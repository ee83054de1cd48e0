"""Export and import in the browser: from the list to a file, and from a file to leads, also on a phone."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contacts.models import Contact, Import
from tests.importing import as_csv
from tests.looks import Boutique
from tests.test_browser import LEADS, PHONE, browser
from tests.test_browser_looks import FITS, boutique, faults, page

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["boutique", "browser", "page"]  # fixtures
pytestmark = pytest.mark.browser
IMPORTS = f"{LEADS}imports/"
FILE = as_csv(
    ["Nombre", "Celular", "Correo", "Etiquetas", "Cumpleaños"],
    ["Rosa Díaz", "911 110 091", "rosa@x.test", "feria", "3 de mayo"],
    ["Sin número", "no tiene", "", "", ""],
    ["Rosa otra vez", "911110091", "", "vip", ""],
    encoding="cp1252",
    delimiter=";",
)


@pytest.fixture(autouse=True)
def nobody_waits_for_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contacts.admin.importing.PATIENCE", timedelta())


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("LEADCRM_SHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def lines_of(download: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path(download.path()).read_text("utf-8-sig"))))


def look(page: Page, shots: Path, name: str) -> Iterator[str]:
    """The page as it is now, in every look: nothing stands out of it."""
    for size, colours in ((PHONE, "light"), ({"width": 1280, "height": 720}, "dark")):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
        page.screenshot(path=shots / f"{name}-{colours}.png", full_page=True)
        assert page.evaluate(FITS), name
    yield from faults(page, page.url)


def test_a_file_becomes_leads(page: Page, boutique: Boutique, shots: Path, tmp_path: Path) -> None:
    found: list[str] = []
    (tmp_path / "feria.csv").write_bytes(FILE)
    page.goto(LEADS)
    page.get_by_role("link", name="Import").click()
    page.set_input_files("#import-file", tmp_path / "feria.csv")
    found += look(page, shots, "upload")
    page.set_input_files("#import-file", tmp_path / "feria.csv")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/imports/*/")
    assert page.input_value("#column-1") == "phone"
    assert page.input_value("#import-encoding") == "cp1252"
    page.select_option("#import-country", "PE")
    assert "Peru" in str(page.text_content("#import-country option:checked"))
    found += look(page, shots, "columns")
    page.select_option("#import-country", "PE")
    page.get_by_role("button", name="Check every row").click()
    page.get_by_text("What would become of each row").wait_for()
    found += look(page, shots, "checked")
    known = Contact.objects.count()
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_text("The leads are imported").wait_for()
    assert Contact.objects.count() == known + 1
    page.get_by_role("link", name="Changed").click()
    page.get_by_text("The same person as in row 2").wait_for()
    found += look(page, shots, "done")
    with page.expect_download() as download:
        page.goto(page.url.replace("changed", "refused"))
        page.get_by_role("link", name="Download the refused rows").click()
    rows = lines_of(download.value)
    assert rows[0]["Celular"] == "no tiene"
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("The import was undone").wait_for()
    assert Contact.objects.count() == known
    found += look(page, shots, "undone")
    assert not found, "\n".join(found)


def test_the_list_becomes_a_file(page: Page, boutique: Boutique, shots: Path) -> None:
    page.goto(f"{LEADS}?status=new")
    page.locator("summary", has_text="Export").click()
    page.screenshot(path=shots / "export.png")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = lines_of(download.value)
    assert {row["lead_status"] for row in rows} == {"new"}
    assert len(rows) == Contact.objects.living().filter(lead_status="new").count()


def test_progress_shows_and_moves_by_itself(
    page: Page, boutique: Boutique, shots: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("contacts.admin.importing.SLICE", 0)
    monkeypatch.setattr("contacts.lead_import.running.CHECK_AT_ONCE", 10)
    lines = [[f"5191122{n:04}", f"N{n}"] for n in range(60)]
    page.goto(IMPORTS)
    page.set_input_files(
        "#import-file",
        {"name": "many.csv", "mimeType": "text/csv", "buffer": as_csv(["phone", "name"], *lines)},
    )
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("button", name="Check every row").click()
    page.get_by_text("of 60 rows").wait_for()
    page.screenshot(path=shots / "progress.png")
    page.get_by_text("What would become of each row").wait_for()
    assert Import.objects.get().count("new") == 60
