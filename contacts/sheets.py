"""A table as an XLSX file that is written while it is sent: no library does that, and the format asks for little.

An XLSX is a zip of a few XML parts. The sheet comes last, row by row, with its texts in place: nothing is kept in
memory or on disk. Texts are texts, whatever they begin with: a spreadsheet calculates none of them. A file that was not
sent to its end has no directory, so that nothing opens it.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Generator, Iterable
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from contacts.batches import in_batches

# What a sheet holds (Excel's own limits), the header included.
MOST_ROWS = 1_048_576
LONGEST_TEXT = 32_767
# XML has no such characters.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# What looks like one of the format's own escapes must not be taken for one.
_ESCAPE = re.compile("_(?=x[0-9A-Fa-f]{4}_)")

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
    # Two looks: as it is, and bold; both for texts ("@"), so that a phone that somebody edits stays one.
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
}
_TEXT, _BOLD = 1, 2
# The header stays in sight.
_BEFORE = (
    f'<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>'
)
_AFTER = "</sheetData></worksheet>"


class _Outlet:
    """Takes what the zip writes, for `take` to hand on: it cannot be sought, so the zip never goes back."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def written(rows: Iterable[list[Any]], title: str) -> Generator[bytes, None, None]:
    """The file in pieces; the first row is the header. Too many rows are the caller's business."""
    outlet = _Outlet()
    book = zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED, compresslevel=1)  # type: ignore[call-overload]
    for name, part in {**_PARTS, "xl/workbook.xml": _workbook(title)}.items():
        book.writestr(name, _XML + part)
    # Sheets of a million rows are larger than what an ordinary entry of a zip tells of itself.
    with book.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
        sheet.write((_XML + _BEFORE).encode())
        style = _BOLD
        for batch in in_batches(rows, 500):
            parts = []
            for row in batch:
                parts.append(_row(row, style))
                style = _TEXT
            sheet.write("".join(parts).encode())
            if piece := outlet.take():
                yield piece
        sheet.write(_AFTER.encode())
    book.close()  # only now: a file that broke off has no directory
    yield outlet.take()


def _workbook(title: str) -> str:
    name = quoteattr(re.sub(r"[\\/?*\[\]:]", " ", title)[:31])
    return (
        f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
        f'<sheets><sheet name={name} sheetId="1" r:id="rId1"/></sheets></workbook>'
    )


def _row(values: list[Any], style: int) -> str:
    return f"<row>{''.join([_cell(value, style) for value in values])}</row>"


def _cell(value: Any, style: int) -> str:
    if value is None or value == "":
        return "<c/>"
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return f"<c><v>{value!r}</v></c>"
    text = _ESCAPE.sub("_x005F_", _ILLEGAL.sub("\ufffd", str(value)[:LONGEST_TEXT]))
    text = text.replace("\r", "_x000D_")
    return f'<c t="inlineStr" s="{style}"><is><t xml:space="preserve">{escape(text)}</t></is></c>'
