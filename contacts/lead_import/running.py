"""Bringing imports forward: reading, checking, importing, taking back; a batch at a time, each in a transaction of its
own that also says how far it came. So whoever is killed leaves nothing half done, and the next one goes on there.

A worker does it (contacts.tasks); without one, the open page that shows the progress. Whoever works on an import has a
claim on it, which runs out when they no longer renew it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from itertools import islice
from tempfile import TemporaryFile
from typing import Any, BinaryIO
from uuid import UUID

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from contacts import people
from contacts.lead_import import reading, trying, undoing, writing
from contacts.lead_import.planning import Outcome
from contacts.lead_import.reading import Reading
from contacts.lead_import.words import Wrong
from contacts.models import BulkChange, Import, ImportPiece, ImportRow

State = Import.State

# For that long nobody else takes what somebody works on.
LEASE = timedelta(seconds=60)
READ_AT_ONCE, CHECK_AT_ONCE = 2000, 500
# Webhooks of the workspace wait while a batch is written.
WRITE_AT_ONCE = 200
# So often in a row a batch may be disturbed by others.
MOST_TRIES = 5
# The rows with which the planner is told how large the tables are by now.
ANALYZED_AT = (2, 2_000, 20_000, 200_000)
BEYOND_ALL_ROWS = 2**31 - 1

logger = logging.getLogger(__name__)


def go_on(*, seconds: float, only: int | None = None, by_page: bool = False) -> bool:
    """Work on an import that is due, for about so long; False if there is none that nobody else works on."""
    made = _claimed(only)
    if made is None:
        return False
    is_free = True
    try:
        _work(made, time.monotonic() + seconds, by_page=by_page)
    except Exception:
        is_free = False  # a fault of ours: it stays claimed for a while, so that what others have uploaded goes first
        raise
    finally:
        if is_free:
            Import.objects.filter(pk=made.pk, claim=made.claim).update(claim=None, claimed_until=None)
    return True


def _claimed(only: int | None) -> Import | None:
    now = timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    due = Import.objects.filter(free, state__in=Import.AT_WORK).order_by("pk")
    if only is not None:
        due = due.filter(pk=only)
    with transaction.atomic():
        made = due.select_for_update(skip_locked=True, of=("self",)).first()
        if made is None:
            return None
        made.claim, made.claimed_until = Import.new_claim(), now + LEASE
        made.save(update_fields=["claim", "claimed_until"])
    return made


def _work(made: Import, end: float, *, by_page: bool) -> None:
    tries = 0
    with _Rows(made) as rows:
        while True:
            try:
                current = _step(made.pk, made.claim, rows, by_page=by_page)
            except Wrong as wrong:
                _give_up(made, wrong)
                return
            except (IntegrityError, OperationalError):  # somebody added the same person, or kept us waiting
                tries += 1
                if tries == MOST_TRIES or connection.connection is None or connection.connection.closed:
                    raise
                rows.forget()
                continue
            except Exception:
                if not Import.objects.filter(pk=made.pk, claim=made.claim, state=State.CHECKING).exists():
                    raise
                # A fault of ours: whoever waits is told, and what others have uploaded goes on.
                logger.exception("import %s could not be checked", made.pk)
                _give_up(made, Wrong("broken"))
                return
            tries = 0
            is_reading = current is not None and current.state == State.CHECKING and not current.is_read
            if current is None or not current.is_at_work or (time.monotonic() > end and not is_reading):
                return


@transaction.atomic
def _step(pk: int, claim: UUID | None, rows: _Rows, *, by_page: bool) -> Import | None:
    """One batch; None if the import is no longer ours."""
    made = Import.objects.select_for_update(of=("self",)).filter(pk=pk, claim=claim).first()
    if made is None:
        return None
    if made.state == State.CHECKING:
        _check(made) if made.is_read else _read(made, rows)
    elif made.state == State.RUNNING:
        _import(made)
    elif made.state == State.UNDOING:
        _undo(made)
    made.moved_at = timezone.now()
    made.claimed_until = made.moved_at + LEASE
    made.by_page = by_page
    made.save()
    return made


class _Rows:
    """The rows of the file from where the import has come, opened when they are first asked for."""

    def __init__(self, made: Import) -> None:
        self._made = made
        self._file: BinaryIO | None = None
        self._rows: Generator[tuple[int, list[str]], None, None] | None = None

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()

    def forget(self) -> None:
        if self._rows is not None:
            self._rows.close()
        if self._file is not None:
            self._file.close()
        self._rows = self._file = None

    def take(self, after: int) -> list[tuple[int, list[str]]]:
        if self._rows is None:
            self._file = copied(self._made)
            self._rows = self._below_header(after)
        return list(islice(self._rows, READ_AT_ONCE))

    def _below_header(self, after: int) -> Generator[tuple[int, list[str]], None, None]:
        assert self._file is not None  # noqa: S101 - tells mypy
        with closing(reading.rows(self._file, Reading(**self._made.reading))) as found:
            next(found, None)
            yield from ((number, cells) for number, cells in found if number > after)


def copied(made: Import) -> BinaryIO:
    """The file on disk, for as long as it is open: what reads an XLSX goes to and fro in it."""
    file: Any = TemporaryFile()  # noqa: SIM115 - the caller's
    for data in made.pieces.order_by("position").values_list("data", flat=True).iterator(chunk_size=8):
        file.write(data)
    file.seek(0)
    return file  # type: ignore[no-any-return]


def _read(made: Import, rows: _Rows) -> None:
    batch = rows.take(made.upto)
    if not batch:
        if not made.rows:
            raise Wrong("header_only")
        made.is_read, made.upto = True, 0
        _analyze("contacts_importrow")
        return
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for number, cells in batch:
            copy.write_row((made.pk, number, cells))
    made.rows += len(batch)
    made.upto = batch[-1][0]


COPY = "COPY contacts_importrow (of_id, number, cells) FROM STDIN"


def _next(made: Import, count: int) -> list[ImportRow]:
    rows = ImportRow.objects.filter(of=made, number__gt=made.upto).order_by("number")
    return list(rows.only("number", "cells")[:count])


def _check(made: Import) -> None:
    rows = _next(made, CHECK_AT_ONCE)
    if not rows:
        made.state = State.CHECKED
        return
    planned, after = trying.plan(made, rows, is_check=True)
    writing.record(planned, after)
    _count(made, [row.outcome for row in planned], rows[-1].number)


def _import(made: Import) -> None:
    rows = _next(made, WRITE_AT_ONCE)
    if not rows:
        made.state, made.finished_at = State.DONE, timezone.now()
        _bulk(made).update(leads=made.count("new") + made.count("changed"))
        return
    people.lock_alone([made.workspace_id])
    planned, _ = trying.plan(made, rows, is_check=False)
    writing.write(made, planned)
    writing.record(planned)
    if any(made.upto < mark <= rows[-1].number for mark in ANALYZED_AT):
        _analyze("contacts_contact, contacts_identity, contacts_importrow")
    _count(made, [row.outcome for row in planned], rows[-1].number)


def _analyze(tables: str) -> None:
    """So many rows so fast: until PostgreSQL finds out by itself, it would take the tables for empty."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {tables}")


def _undo(made: Import) -> None:
    done = (Outcome.NEW, Outcome.CHANGED)
    rows = ImportRow.objects.filter(of=made, number__lt=made.upto, outcome__in=done, contact__isnull=False)
    batch = list(rows.order_by("-number").only("number", "outcome", "told", "contact")[:WRITE_AT_ONCE])
    if not batch:
        made.state = State.UNDONE
        _bulk(made).update(undone_at=timezone.now())
        return
    people.lock_alone([made.workspace_id])
    for what, count in undoing.take_back(made, batch).items():
        made.counts[what] = made.count(what) + count
    made.upto = batch[-1].number


def _bulk(made: Import) -> QuerySet[BulkChange]:
    return BulkChange.objects.filter(pk__in=[made.bulk_id] if made.bulk_id else [])


def _count(made: Import, outcomes: list[str], upto: int) -> None:
    for outcome in outcomes:
        made.counts[outcome] = made.count(outcome) + 1
    made.upto = upto


def _give_up(made: Import, wrong: Wrong) -> None:
    """The file cannot be read: nothing of it is kept but what is wrong with it."""
    with transaction.atomic():
        ImportRow.objects.filter(of=made).delete()
        mine = Import.objects.filter(pk=made.pk, claim=made.claim)
        mine.update(
            state=State.FAILED, error=wrong.told, moved_at=timezone.now(), rows=0, upto=0, is_read=False
        )


# What people begin


@contextmanager
def held(made: Import, *states: str) -> Iterator[Import | None]:
    """The import while it is in one of these states; None if somebody else was faster."""
    with transaction.atomic():
        yield Import.objects.select_for_update(of=("self",)).filter(pk=made.pk, state__in=states).first()


def check(made: Import, **chosen: Any) -> bool:
    """Read the file, and try every row, as it was chosen: `mapping`, `existing`, `reading`..."""
    with held(made, State.UPLOADED, State.CHECKED, State.FAILED) as row:
        if row is None or not row.pieces.exists():
            return False
        if not row.is_read or chosen.get("reading", row.reading) != row.reading:
            ImportRow.objects.filter(of=row).delete()
            row.rows, row.is_read = 0, False
        for name, value in chosen.items():
            setattr(row, name, value)
        _begin(row, State.CHECKING)
    return True


def start(made: Import) -> bool:
    """Import what was checked."""
    with held(made, State.CHECKED) as row:
        if row is None:
            return False
        ImportPiece.objects.filter(of=row).delete()
        action = {"do": "import", "import": row.pk, "file": row.file_name}
        row.bulk = BulkChange.objects.create(workspace_id=row.workspace_id, action=action, by_id=row.by_id)
        _begin(row, State.RUNNING)
    return True


def undo(made: Import) -> bool:
    with held(made, State.DONE) as row:
        if row is None or not undoing.can_undo(row):
            return False
        kept = {outcome: row.count(outcome) for outcome in Outcome.values}
        _begin(row, State.UNDOING)
        row.counts, row.upto = kept, BEYOND_ALL_ROWS
        row.save()
    return True


def drop(made: Import) -> bool:
    """Forget a file that was not imported."""
    with held(made, State.UPLOADED, State.CHECKED, State.FAILED) as row:
        if row is not None:
            ImportRow.objects.filter(of=row).delete()
            ImportPiece.objects.filter(of=row).delete()
            row.delete()
    return row is not None


def _begin(row: Import, state: str) -> None:
    row.state, row.upto, row.counts, row.error = state, 0, {}, None
    row.moved_at, row.by_page, row.claim, row.claimed_until = timezone.now(), False, None, None
    row.save()


KEPT = timedelta(days=14)


def forget_old(now: Any) -> None:
    """Files and rows are kept for two weeks; of what was never imported nothing stays."""
    old = Import.objects.filter(moved_at__lt=now - KEPT, is_cleared=False).exclude(state__in=Import.AT_WORK)
    for made in old.order_by("pk")[:100]:
        with transaction.atomic():
            ImportRow.objects.filter(of=made).delete()
            ImportPiece.objects.filter(of=made).delete()
            if made.state in (State.DONE, State.UNDONE):
                Import.objects.filter(pk=made.pk).update(is_cleared=True, claim=F("claim"))
            else:
                Import.objects.filter(pk=made.pk).delete()
