"""Rows out of files: encodings, separators, XLSX, and files that are meant to do harm."""

from __future__ import annotations

import io
import resource
import zipfile
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest

from contacts.lead_import import headers, reading, workbook
from contacts.lead_import.reading import Reading
from contacts.lead_import.values import as_date, as_number, phone_of
from contacts.lead_import.words import WORDS, Wrong, shown
from contacts.models import CustomField
from tests.importing import as_csv, as_xlsx


def read(file: bytes, told: Reading | None = None) -> list[list[str]]:
    opened = io.BytesIO(file)
    return [cells for _, cells in reading.rows(opened, told or reading.detect(opened, len(file)))]


def wrong(file: bytes, told: Reading | None = None) -> str:
    with pytest.raises(Wrong) as found:
        read(file, told)
    assert shown(found.value.told)
    return str(found.value.told[0])


LINES = [["Teléfono", "Nombre"], ["51911110001", "Núñez; “Ana”, S.A."], ["51911110002", "two\nlines"]]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_separator_are_detected(encoding: str, delimiter: str) -> None:
    assert read(as_csv(*LINES, encoding=encoding, delimiter=delimiter)) == LINES


def test_latin_1_reads_what_windows_has_no_character_for() -> None:
    file = as_csv(["name", "phone"], ["a\x81ñ", "1"], encoding="latin-1")
    assert reading.detect(io.BytesIO(file), len(file)).encoding == "latin-1"


def test_what_is_not_ascii_only_far_below_is_noticed() -> None:
    file = as_csv(["name", "phone"], *([["plain", "1"]] * 60_000), ["Núñez", "1"], encoding="cp1252")
    assert read(file)[-1] == ["Núñez", "1"]


def test_another_encoding_can_be_told_and_a_wrong_one_is_noticed() -> None:
    file = as_csv(["name", "phone"], ["Ana", "1"], ["Núñez", "2"], encoding="cp850")
    assert read(file, Reading("csv", "cp850", ","))[2] == ["Núñez", "2"]
    assert wrong(file, Reading("csv", "utf-8", ",")) == "encoding"


def test_the_separator_line_of_excel_is_no_header() -> None:
    assert read(b"sep=;\r\nphone;name\r\n1;Ana\r\n") == [["phone", "name"], ["1", "Ana"]]


def test_rows_count_as_spreadsheets_count_and_empty_ones_are_left_out() -> None:
    file = b"\n\nphone,name,\n1,Ana,,,\n\n,,\n2\n"
    opened = io.BytesIO(file)
    found = list(reading.rows(opened, reading.detect(opened, len(file))))
    assert found == [(3, ["phone", "name"]), (4, ["1", "Ana"]), (7, ["2", ""])]
    assert read(b"phone,name\n1,a,b,c\n")[1] == ["1", "a", "b", "c"], "told apart by whoever reads the row"


def test_unprintable_text_is_data() -> None:
    assert read(b"phone,name\n1,a\x00b\n", Reading("csv", "utf-8", ","))[1] == ["1", "a\ufffdb"]


def test_a_csv_that_never_ends_its_quotes_says_where() -> None:
    assert wrong(b'phone,name\n1,"a\n' + b"x\n" * 100_000) == "csv"


@pytest.mark.parametrize("most", ["MOST_ROWS", "MOST_COLUMNS", "MOST_BYTES"])
def test_limits_are_told(monkeypatch: pytest.MonkeyPatch, most: str) -> None:
    monkeypatch.setattr(reading, most, 2)
    file = as_csv(["a", "b"], *([["1", "2"]] * 3)) if most != "MOST_COLUMNS" else as_csv(["a", "b", "c"])
    assert wrong(file) == {
        "MOST_ROWS": "too_many_rows", "MOST_COLUMNS": "too_many_columns", "MOST_BYTES": "too_large",
    }[most]  # fmt: skip


def test_the_cells_of_a_sheet_are_read_as_somebody_would_have_typed_them() -> None:
    book = openpyxl.Workbook()
    book.create_sheet("Hidden", 0).sheet_state = "hidden"
    sheet: Any = book["Sheet"]
    sheet.append(["phone", "score", "date", "time", "yes", "formula", "half"])
    sheet.append([51911110001, 3.0, date(2026, 3, 4), datetime(2026, 3, 4, 5, 6), True, "=1+1", 2.5])  # noqa: DTZ001 - as in a sheet
    buffer = io.BytesIO()
    book.save(buffer)
    assert read(buffer.getvalue())[1] == [
        "51911110001", "3", "2026-03-04", "2026-03-04 05:06:00", "yes", "", "2.5",
    ]  # fmt: skip


def bent(**parts: bytes) -> bytes:
    """A workbook with some of its parts replaced."""
    buffer = io.BytesIO()
    whole = io.BytesIO(as_xlsx(["phone"], ["1"]))
    with zipfile.ZipFile(whole) as book, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as other:
        for name in book.namelist():
            key = name.rsplit("/", 1)[-1].removesuffix(".xml")
            other.writestr(name, parts.pop(key, b"") or book.read(name))
        for name, part in parts.items():
            other.writestr(f"xl/{name}.xml", part)
    return buffer.getvalue()


SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%s</sheetData></worksheet>'
ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">%s]><worksheet>&z;</worksheet>'
    % b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(25))
)
BOMBS = {
    "one row of a million cells": bent(sheet1=SHEET % (b"<row>" + b"<c/>" * 2_000_000 + b"</row>")),
    "one text of many megabytes": bent(
        sheet1=SHEET % (b'<row><c t="inlineStr"><is><t>' + b"x" * 30_000_000 + b"</t></is></c></row>")
    ),
    "a text among the shared ones": bent(
        sharedStrings=b"<sst><si><t>" + b"x" * 30_000_000 + b"</t></si></sst>"
    ),
    "styles": bent(styles=b" " * 40_000_000),
    "entities": bent(sheet1=ENTITIES),
    "no XML": bent(sheet1=b"<worksheet><sheetData><row>"),
    "no book": bent(workbook=b"nonsense"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(kind: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert wrong(BOMBS[kind]) in ("too_dense", "not_xlsx", "no_sheet")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_a_damaged_file_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = as_xlsx(["phone"], ["1"])
    assert wrong(whole[: len(whole) // 2]) == "not_xlsx"
    monkeypatch.setattr(workbook, "MOST_OF_A_SHEET", 10)
    assert wrong(whole) == "too_dense"


@pytest.mark.parametrize(
    ("header", "guessed"),
    [
        (["First Name", "Last Name", "Phone", "E-mail"], ["first_name", "last_name", "phone", "email"]),
        (["Nombre completo", "N.º de teléfono", "Correo electrónico"], ["name", "", "email"]),
        (["NOMBRE", "CELULAR", "ETIQUETAS", "Asesor"], ["name", "phone", "tags", "owner"]),
        (["Nome", "Telefone", "Situação", "Responsável"], ["name", "phone", "lead_status", "owner"]),
        (["phone", "Phone", "whatever"], ["phone", "", ""]),
        (["id", "workspace", "last_activity_at", "lead_score"], ["", "", "", "lead_score"]),
        (["Budget", "metadata.size", "metadata.gone"], ["metadata.budget", "metadata.size", ""]),
        (["Name", "First name"], ["name", ""]),
    ],
)
def test_columns_are_guessed(header: list[str], guessed: list[str]) -> None:
    fields = [CustomField(key="budget", label="Budget"), CustomField(key="size", label="How large?")]
    assert headers.guess(header, fields) == guessed


def test_titles_that_come_twice_are_named() -> None:
    assert headers.duplicates(["Phone", "name", "phone ", "", ""]) == ["Phone"]
    assert [headers.column_name(index) for index in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


@pytest.mark.parametrize(
    ("typed", "country", "digits"),
    [
        ("+51 911 110 001", "", "51911110001"), ("0051911110001", "PE", "51911110001"), ("911110001", "PE", "51911110001"),
        ("51911110001", "PE", "51911110001"), ("51911110001.0", "", "51911110001"), ("(11) 98765-4321", "BR", "5511987654321"),
        ("015123456789", "DE", "4915123456789"), ("tel:+4915123456789", "BR", "4915123456789"),
        ("4915123456789", "BR", "4915123456789"), ("55 1234 5678", "MX", "525512345678"),
    ],
)  # fmt: skip
def test_phones_are_read_with_their_country(typed: str, country: str, digits: str) -> None:
    assert phone_of(typed, country) == digits


@pytest.mark.parametrize("country", ["", "US", "PE", "MX"])
@pytest.mark.parametrize(
    "stored", ["447700900123", "5215500000077", "5491112345678", "5511900000101", "51911110001"]
)
def test_a_phone_as_leadcrm_exports_it_is_read_as_it_is(stored: str, country: str) -> None:
    """Also in WhatsApp's own form, and where its country has no such number (as examples have them)."""
    assert phone_of(stored, country) == stored
    assert phone_of(f"+{stored}", country) == stored


def test_a_phone_without_any_country_is_not_guessed() -> None:
    with pytest.raises(Wrong, match="has no country code"):
        phone_of("0911110001", "")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,5", 1.5), ("1.5", 1.5), ("1,234", 1234), ("1.234", 1.234), ("1.234.567", 1234567), ("1.234,5", 1234.5),
        ("1,234.5", 1234.5), ("1 234,5", 1234.5), ("-3", -3), ("+3", 3), ("1e5", None), ("٣", None), ("", None), ("nan", None),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(text: str, number: float | None) -> None:
    assert as_number(text) == number


def test_a_number_longer_than_anybody_writes_is_none_at_once() -> None:
    """(A pattern that takes a second for each would keep whoever waits for the workspace.)"""
    assert as_number("9" * 400) is None
    assert as_number("1" * 100_000 + "x") is None


def test_dates_as_people_write_them() -> None:
    assert as_date("03/04/2026", day_first=True) == date(2026, 4, 3)
    assert as_date("3-4-2026", day_first=False) == date(2026, 3, 4)
    assert as_date("2026-03-04T10:00:00Z", day_first=True) == date(2026, 3, 4)
    assert as_date("31/02/2026", day_first=True) is None
    assert as_date("04/03/26", day_first=True) is None


def test_every_code_has_words() -> None:
    assert all(str(words) for words in WORDS.values())
