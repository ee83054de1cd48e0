"""Notes of a lead: their authors change and delete them, nobody else; the history keeps that they were there."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts import notifying
from contacts.changing import Refused, Stale, locked, record, storable
from contacts.models import Contact, LeadChange, Note
from contacts.preview import one_line
from contacts.when import as_json

LONGEST = 10_000


@transaction.atomic
def add_note(lead: Contact, text: str, *, by: User | None) -> Note:
    row = locked(lead)
    note = Note.objects.create(workspace_id=row.workspace_id, contact=lead, text=_note_text(text), by=by)
    notifying.mentioned(note)
    return note


@transaction.atomic
def edit_note(note: Note, text: str, *, by: User, seen: str | None = None) -> Note:
    """By who wrote it, and by nobody else."""
    text, row = _note_text(text), _own_note(note, by)
    if seen is not None and _lines(seen) != _lines(row.text):
        raise Stale.of(_("the note"), one_line(row.text)[:80])
    if text != row.text:
        row.text, row.edited_at = text, timezone.now()
        row.save(update_fields=["text", "edited_at"])
        notifying.mentioned(row)
    return row


@transaction.atomic
def delete_note(note: Note, *, by: User) -> LeadChange:
    """By who wrote it. The words are gone; that there was a note, and since when, stays in the history."""
    row = _own_note(note, by)
    row.delete()
    return record(row.contact, LeadChange.Kind.NOTE, as_json(row.at), None, by=by)


def _own_note(note: Note, by: User) -> Note:
    row: Note | None = (
        Note.objects.select_for_update(of=("self",)).select_related("contact").filter(pk=note.pk).first()
    )
    if row is None:
        raise Refused(_("This note is no longer here."))
    if row.by_id != by.pk:
        raise Refused(_("Only who wrote a note can change or delete it."))
    return row


def _note_text(text: str) -> str:
    text = _lines(text)
    if not text:
        raise Refused(_("Write something first."))
    if len(text) > LONGEST:
        told = {"length": len(text), "most": LONGEST}
        raise Refused(_("This note has %(length)s characters; %(most)s is the most.") % told)
    return text


def _lines(text: str) -> str:
    return storable(text).replace("\r\n", "\n").replace("\r", "\n").strip()
