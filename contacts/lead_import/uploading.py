"""A file becomes an import: stored, looked at, its columns guessed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from tempfile import TemporaryFile
from typing import BinaryIO

import phonenumbers
from django.contrib.auth.models import User
from django.db import transaction

from contacts.changing import storable
from contacts.lead_import import headers, reading, workbook
from contacts.lead_import.reading import MOST_BYTES, Reading
from contacts.lead_import.running import State, copied, held
from contacts.lead_import.words import Wrong
from contacts.models import CustomField, Import, ImportPiece, ImportRow, PhoneNumber, Workspace
from contacts.preview import one_line

PIECE = 1024 * 1024
SAMPLE = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """The header and the first rows below it."""

    header: list[str]
    rows: list[list[str]]


def begin(workspace: Workspace, by: User, name: str, chunks: Iterable[bytes]) -> Import:
    """Raises `Wrong` where the file cannot be read; then nothing is stored."""
    with TemporaryFile() as file:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > MOST_BYTES:
                raise Wrong("too_large", most=MOST_BYTES // 1024 // 1024)
            file.write(chunk)
        told = reading.detect(file, size)
        found = sample(file, told)
        with transaction.atomic():
            made = Import(workspace=workspace, by=by, file_name=one_line(storable(name))[-255:] or "?")
            made.country = country_of(workspace.pk)
            _look(made, told, found)
            made.save()
            file.seek(0)
            _store(made, file)
    return made


def _store(made: Import, file: BinaryIO) -> None:
    """One piece at a time: a hundred of them at once would be a hundred MB."""
    position = 0
    while data := file.read(PIECE):
        ImportPiece.objects.create(of=made, position=position, data=data)
        position += 1


def sample(file: BinaryIO, told: Reading) -> Sample:
    """Raises `Wrong`."""
    with closing(reading.rows(file, told)) as rows:
        found = [cells for _, cells in islice(rows, SAMPLE + 1)]
    if not found:
        raise Wrong("empty")
    if len(found) == 1:
        raise Wrong("header_only")
    return Sample(found[0], found[1:])


def look_again(made: Import, told: Reading) -> bool:
    """Read it in another way: another header, another guess. What was checked before has to be checked again.

    Raises `Wrong`, and has changed nothing; False where that is too late.
    """
    with held(made, State.UPLOADED, State.CHECKED, State.FAILED) as row:
        if row is None or not row.pieces.exists():
            return False
        with copied(row) as file:
            found = sample(file, told)
        _look(row, told, found)
        ImportRow.objects.filter(of=row).delete()
        row.rows, row.is_read, row.state = 0, False, State.UPLOADED
        row.save()
    return True


def _look(made: Import, told: Reading, found: Sample) -> None:
    fields = CustomField.objects.filter(workspace=made.workspace_id)
    made.reading, made.header = told.as_json(), found.header
    made.mapping = headers.guess(found.header, fields)


def sample_of(made: Import) -> Sample:
    """Raises `Wrong`."""
    with copied(made) as file:
        return sample(file, Reading(**made.reading))


def sheets_of(made: Import) -> list[str]:
    with copied(made) as file:
        return workbook.sheets(file)


def country_of(workspace: int) -> str:
    """That of the workspace's first number, "" where it has none that is known."""
    for number in PhoneNumber.objects.filter(workspace=workspace).order_by("pk")[:10]:
        try:
            found = phonenumbers.parse(f"+{number.own_phone}")
        except phonenumbers.NumberParseException:
            continue
        if region := phonenumbers.region_code_for_number(found):
            return str(region)
    return ""
