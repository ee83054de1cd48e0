"""Rows out of the bytes of a file, one at a time: memory does not grow with the file.

The encoding and the separator of a CSV are detected, and can be told otherwise. What cannot be read raises `Wrong`.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from typing import BinaryIO

from contacts.changing import storable
from contacts.lead_export import without_apostrophe
from contacts.lead_import import workbook
from contacts.lead_import.words import Wrong

MOST_BYTES = 100 * 1024 * 1024
MOST_ROWS = 500_000
MOST_COLUMNS = 200

# What people choose from, in the order in which it is likely.
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "cp1252": "Windows-1252",
    "latin-1": "Latin-1 (ISO 8859-1)",
    "cp850": "DOS (850)",
    "mac-roman": "Mac Roman",
}
DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 128 * 1024
_BLOCK = 1024 * 1024
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)  # what Excel writes and understands


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read: as JSON in its import."""

    kind: str
    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def detect(file: BinaryIO, size: int) -> Reading:
    """Raises `Wrong` where it is nothing that we read."""
    if size == 0:
        raise Wrong("empty")
    if size > MOST_BYTES:
        raise Wrong("too_large", most=MOST_BYTES // 1024 // 1024)
    file.seek(0)
    head = file.read(_SAMPLE)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise Wrong("old_excel")
    if head.startswith(b"PK\x03\x04"):
        return Reading("xlsx", sheet=workbook.first_sheet(file))
    encoding = _encoding(file, head)
    text = head.decode(encoding, errors="replace")
    if "\x00" in text or head.startswith(b"%PDF"):
        raise Wrong("not_text")
    return Reading("csv", encoding, _delimiter(text))


def _encoding(file: BinaryIO, head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if len(head) > 3 and (head[1::2].count(0) > len(head) // 4) != (head[::2].count(0) > len(head) // 4):
        return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
    if _is(file, "utf-8"):
        return "utf-8"
    return "cp1252" if _is(file, "cp1252") else "latin-1"


def _is(file: BinaryIO, encoding: str) -> bool:
    """Whether the whole file is text of this encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    try:
        while block := file.read(_BLOCK):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _delimiter(text: str) -> str:
    """The one that cuts the first lines into the most columns, as many in each."""
    if told := _SEPARATOR_LINE.match(text.removeprefix("\ufeff")):
        return told[1]
    lines = text.splitlines(keepends=True)[:50]
    whole = lines[:-1] if len(lines) > 1 and len(text) >= _SAMPLE // 4 else lines

    def fit(delimiter: str) -> tuple[float, int]:
        try:
            widths = [len(row) for row in csv.reader(whole, delimiter=delimiter) if row]
        except csv.Error:
            return (0.0, 0)
        usual = widths[0] if widths else 0
        return (sum(width == usual for width in widths) / len(widths), usual) if usual > 1 else (0.0, 0)

    return max(
        DELIMITERS, key=lambda delimiter: (fit(delimiter)[0] > 0.8, fit(delimiter)[1], fit(delimiter)[0])
    )


def rows(file: BinaryIO, reading: Reading) -> Generator[tuple[int, list[str]], None, None]:
    """Each row that is not empty, with its number as spreadsheets count; the first one is the header."""
    file.seek(0)
    found = workbook.rows(file, reading.sheet) if reading.kind == "xlsx" else _csv(file, reading)
    width = None
    with closing(found):
        for count, (number, cells) in enumerate(found):
            if count > MOST_ROWS:
                raise Wrong("too_many_rows", most=MOST_ROWS)
            texts = _texts(number, cells, width)
            width = width if width is not None else len(texts)
            yield number, texts + [""] * (width - len(texts))


def _texts(number: int, cells: list[str], width: int | None) -> list[str]:
    """Without what is empty beyond the header's columns."""
    if len(cells) > MOST_COLUMNS and any(cells[MOST_COLUMNS:]):
        raise Wrong("too_many_columns", row=number, most=MOST_COLUMNS)
    texts = [without_apostrophe(storable(cell).strip()) for cell in cells[:MOST_COLUMNS]]
    while texts and not texts[-1] and (width is None or len(texts) > width):
        texts.pop()
    return texts


def _csv(file: BinaryIO, reading: Reading) -> Generator[tuple[int, list[str]], None, None]:
    encoding = "utf-8-sig" if reading.encoding == "utf-8" else reading.encoding
    text = TextIOWrapper(file, encoding=encoding, newline="")
    number = 0
    try:
        if not _SEPARATOR_LINE.match(text.readline()):
            text.seek(0)
        for number, cells in enumerate(csv.reader(text, delimiter=reading.delimiter, strict=True), start=1):
            if any(cell.strip() for cell in cells):
                yield number, cells
    except UnicodeError as error:
        name = ENCODINGS.get(reading.encoding, reading.encoding)
        raise Wrong("encoding", row=number + 1, encoding=name) from error
    except csv.Error as error:
        raise Wrong("csv", row=number + 1, problem=str(error)) from error
    finally:
        text.detach()  # the file stays open
