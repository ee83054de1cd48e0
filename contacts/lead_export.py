"""A list of leads as a file, streamed: CSV or XLSX, with every lead that the list shows, in its order.

The header has the names of the API's fields, custom fields by their key, so that an export can be imported again
(contacts.lead_import). Times are ISO 8601 in UTC. Whatever a spreadsheet would take for a formula is made inert.

The rows come from a cursor that PostgreSQL keeps: one snapshot, memory that does not grow, no transaction that stays
open. What stops midway is noticed: a CSV that we break off ends with a line that says so, an XLSX without its end is
no file that anything opens, and where the connection is cut the transfer itself has failed.
"""

from __future__ import annotations

import csv
import io
import logging
import re
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts import sheets
from contacts.batches import in_batches
from contacts.changing import Refused
from contacts.models import CustomField, Workspace

Format = Literal["csv", "xlsx"]
Value = str | int | float | None

CONTENT_TYPES: dict[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
BATCH = 2000
# Nobody's connection is so slow: it would keep the thread, and so webhooks, for ever.
MOST_SECONDS = 900
# Of the threads of a process that many may be busy with exports: the others answer webhooks.
AT_ONCE = 1
# A list of more workspaces than that has the custom fields of none.
MOST_WORKSPACES = 100

# Header and where the value comes from.
FIELDS = {
    "id": "pk",
    "workspace": "workspace__slug",
    "phone": "phone",
    "business_scoped_user_id": "business_scoped_user_id",
    "username": "username",
    "name": "name",
    "kapso_name": "kapso_name",
    "email": "email",
    "lead_status": "lead_status",
    "lead_score": "lead_score",
    "tags": "tags",
    "owner": "owner__username",
    "source": "source",
    "last_activity_at": "last_activity_at",
    "last_contact_at": "last_contact_at",
    "last_inbound_at": "last_inbound_at",
    "created_at": "created_at",
}
# What spreadsheets begin a formula with, also in full width; at the beginning of a text, or where Excel cuts a line at
# semicolons or tabs instead of commas. An apostrophe that is there already gets one more: what is taken away again is ours.
_BEGINS = "[=+\\-@＝＋－＠]"
_FORMULA = re.compile(rf"\A(?='*(?:{_BEGINS}|[\t\r\n]))|(?<=[;\t])[^\S\t]*(?='*{_BEGINS})")
_APOSTROPHE = re.compile(rf"\A'(?='*(?:{_BEGINS}|[\t\r\n]))|(?<=[;\t])([^\S\t]*)'(?='*{_BEGINS})")

logger = logging.getLogger(__name__)
_slots = threading.BoundedSemaphore(AT_ONCE)


class TooManyRows(Refused):
    """More than a sheet holds."""


class Busy(Refused):
    """As many exports as this process makes at once are being made."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The fields that every lead has, and the custom ones of these workspaces, by key."""

    custom: tuple[str, ...] = ()

    @classmethod
    def of(cls, workspaces: Iterable[int]) -> Columns:
        places = list(workspaces)
        if len(places) > MOST_WORKSPACES:
            return cls()
        fields = CustomField.objects.filter(workspace__in=places).order_by("workspace", "position", "id")
        return cls(tuple(dict.fromkeys(fields.values_list("key", flat=True))))

    @property
    def header(self) -> list[str]:
        """A custom field that is called like a field of every lead is told apart."""
        return [*FIELDS, *(f"metadata.{key}" if key in FIELDS else key for key in self.custom)]

    def row(self, values: tuple[Any, ...]) -> list[Value]:
        *own, metadata = values
        told = metadata if isinstance(metadata, dict) else {}
        return [*map(plain, own), *(plain(told.get(key)) for key in self.custom)]


def rows(leads: QuerySet[Any], columns: Columns) -> Iterator[list[Value]]:
    """Every lead of the list, in its order: plain values, not yet made inert."""
    # The cursor outlives its statement only outside a transaction; inside one (a test) it is an ordinary one.
    found = leads.values_list(*FIELDS.values(), "metadata").iterator(chunk_size=BATCH)
    return map(columns.row, found)


def stream(
    leads: QuerySet[Any], fmt: Format, *, workspaces: Iterable[int], marked: bool = False
) -> Generator[bytes, None, None]:
    """The file in pieces. `marked`: a CSV says that it is UTF-8, as Excel needs to be told.

    Raises `TooManyRows` before the first piece.
    """
    columns = Columns.of(workspaces)
    if fmt == "xlsx":
        if leads.order_by()[: sheets.MOST_ROWS].values("pk").count() == sheets.MOST_ROWS:  # and a header
            told = {"most": f"{sheets.MOST_ROWS - 1:,}"}
            raise TooManyRows(
                _("These are more than the %(most)s leads that an Excel sheet holds. Export them as CSV.")
                % told
            )
        return sheets.written(_in_time([columns.header], rows(leads, columns)), _("Leads"))
    return as_csv([columns.header], rows(leads, columns), marked=marked)


def response(
    leads: QuerySet[Any], fmt: Format, *, workspaces: Iterable[int], name: str = "leads", marked: bool = True
) -> StreamingHttpResponse:
    """The file as an answer. Raises `TooManyRows`, or `Busy` where others are being exported just now."""
    leads = leads.using(leads.db)  # also for the pieces, which are read when the request is done
    pieces = stream(leads, fmt, workspaces=workspaces, marked=marked)
    return streamed(pieces, fmt, name=f"{name}-{timezone.localdate().isoformat()}")


def streamed(pieces: Generator[bytes, None, None], fmt: Format, *, name: str) -> StreamingHttpResponse:
    """A file as an answer, sent piece by piece. Raises `Busy` where others are being sent just now."""
    answer = StreamingHttpResponse(_Slot(pieces), content_type=CONTENT_TYPES[fmt])
    answer["Content-Disposition"] = f'attachment; filename="{name}.{fmt}"'
    answer["Cache-Control"] = "no-store"
    answer["X-Accel-Buffering"] = "no"  # a proxy that buffers would fill its disk
    return answer


class _Slot:
    """Hands on the pieces while it holds one of the few slots. Every server calls `close`, whatever happened."""

    _is_held = False

    def __init__(self, pieces: Generator[bytes, None, None]) -> None:
        if not _slots.acquire(blocking=False):
            raise Busy(_("Another export is under way just now. Try again in a minute."))
        self._pieces = pieces
        self._is_held = True

    def __iter__(self) -> _Slot:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        if self._is_held:
            self._is_held = False
            _slots.release()
            self._pieces.close()

    __del__ = close


class BrokenOff(Exception):  # noqa: N818 - it ends the transfer
    """The export did not come to its end."""


def _in_time(*parts: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """The rows of all parts; raises `BrokenOff` when time is up."""
    end = time.monotonic() + MOST_SECONDS
    for part in parts:
        for number, row in enumerate(part):
            if number % BATCH == 0 and time.monotonic() > end:
                raise BrokenOff(f"not done after {MOST_SECONDS} seconds")
            yield row


def as_csv(*parts: Iterable[list[Any]], marked: bool = True) -> Generator[bytes, None, None]:
    """All lines of all parts, made inert, in pieces of many. One that breaks off says so in its last line, and raises."""
    if marked:
        yield "\ufeff".encode()
    try:
        for batch in in_batches(_in_time(*parts), 500):
            buffer = io.StringIO()
            csv.writer(buffer).writerows([[inert(value) for value in line] for line in batch])
            yield buffer.getvalue().encode()
    except GeneratorExit:  # whoever asked has gone away
        raise
    except Exception:
        logger.exception("an export of leads broke off")
        yield b'"INCOMPLETE: this export broke off here. Export again."\r\n'
        raise


def plain(value: Any) -> Value:
    """A column's value as a spreadsheet has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def inert(value: Value) -> Value:
    """A text that no spreadsheet takes for a formula."""
    return _FORMULA.sub(r"\g<0>'", value) if isinstance(value, str) else value


def without_apostrophe(text: str) -> str:
    """The text that `inert` was given."""
    return _APOSTROPHE.sub(r"\1", text)


def file_name(workspaces: Iterable[int]) -> str:
    """What a file of these workspaces is called: the one that it is of, else all leads."""
    places = list(workspaces)
    slug = Workspace.objects.filter(pk__in=places).values_list("slug", flat=True).first()
    return f"leads-{slug}" if len(places) == 1 and slug else "leads"
