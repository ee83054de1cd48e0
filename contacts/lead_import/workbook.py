"""Rows of an XLSX file, by openpyxl as it reads row by row; what would unpack to more than memory holds is refused first.

Cells with a formula have the value that the spreadsheet calculated last. Nothing is calculated here.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Generator, Iterator
from datetime import date, datetime, time
from typing import Any, BinaryIO

import openpyxl

from contacts.lead_import.words import Wrong

# A million cells of text in a sheet are some 50 MB. The texts of a book (its "shared strings") are held in memory.
MOST_OF_A_SHEET = 600 * 1024 * 1024
MOST_OF_TEXTS = 96 * 1024 * 1024
MOST_OF_A_PART = 16 * 1024 * 1024
MOST_PARTS = 2000
# One row is held in memory: so much of the XML may stand between the beginnings of two.
MOST_OF_A_ROW = 4 * 1024 * 1024
_ROW = re.compile(rb"<(?:\w+:)?row[\s/>]")
_ITEM = re.compile(rb"<(?:\w+:)?si[\s/>]")


def first_sheet(file: BinaryIO) -> str:
    """The first sheet that has a header, of a file that can be read."""
    _look_inside(file)
    book = _open(file)
    try:
        for sheet in book.worksheets:
            if sheet.sheet_state == "visible" and any(True for _ in _texts(sheet)):
                return str(sheet.title)
    finally:
        book.close()
    raise Wrong("no_sheet")


def sheets(file: BinaryIO) -> list[str]:
    book = _open(file)
    try:
        return [str(sheet.title) for sheet in book.worksheets][:50]
    finally:
        book.close()


def rows(file: BinaryIO, sheet: str) -> Generator[tuple[int, list[str]], None, None]:
    book = _open(file)
    try:
        if sheet not in book.sheetnames:
            raise Wrong("no_sheet")
        yield from _texts(book[sheet])
    finally:
        book.close()


def _open(file: BinaryIO) -> Any:
    file.seek(0)
    try:
        return openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    except Exception as error:  # whatever a damaged file makes of the library
        raise Wrong("not_xlsx") from error


def _texts(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    sheet.reset_dimensions()  # what a file says of its own size may be wrong
    try:
        for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            texts = [text_of(cell) for cell in cells]
            if any(text.strip() for text in texts):
                yield number, texts
    except Wrong:
        raise
    except Exception as error:  # as above
        raise Wrong("not_xlsx") from error


def text_of(cell: object) -> str:
    """As somebody would have typed it: a phone in a cell of numbers has no decimals."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ", "seconds")
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell)


def _look_inside(file: BinaryIO) -> None:
    """Raises `Wrong` before anything is unpacked that would not fit. A zip never gives more than it says it has."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as book:
            parts = book.infolist()
            if "[Content_Types].xml" not in book.namelist() or len(parts) > MOST_PARTS:
                raise Wrong("not_xlsx")
            for part in parts:
                _fits(book, part)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise Wrong("not_xlsx") from error
    except Exception as error:
        if isinstance(error, Wrong):
            raise
        raise Wrong("not_xlsx") from error


def _fits(book: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    if part.filename.startswith("xl/worksheets/sheet"):
        most, mark = MOST_OF_A_SHEET, _ROW
    elif part.filename.endswith("sharedStrings.xml"):
        most, mark = MOST_OF_TEXTS, _ITEM
    elif part.filename.startswith(("xl/media/", "xl/drawings/", "xl/embeddings/", "customXml/", "docProps/")):
        return  # never unpacked
    else:
        if part.file_size > MOST_OF_A_PART:
            raise Wrong("too_dense")
        return
    if part.file_size > most:
        raise Wrong("too_dense")
    if part.file_size > MOST_OF_A_ROW:
        _beginnings(book, part, mark)


def _beginnings(book: zipfile.ZipFile, part: zipfile.ZipInfo, mark: re.Pattern[bytes]) -> None:
    since = 0
    with book.open(part) as opened:
        while block := opened.read(256 * 1024):
            if mark.search(block):
                since = 0
            elif (since := since + len(block)) > MOST_OF_A_ROW:
                raise Wrong("too_dense")
