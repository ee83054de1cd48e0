"""Files of leads that people import: what they uploaded, what they chose, and what became of each row."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from contacts.models.contact import Contact
from contacts.models.work import BulkChange
from contacts.models.workspace import Workspace


class Import(models.Model):
    """A file on its way to leads (contacts.lead_import). What is to be done next stands here, so no crash loses it."""

    class State(models.TextChoices):
        UPLOADED = "uploaded", _("Uploaded")
        CHECKING = "checking", _("Being checked")
        CHECKED = "checked", _("Checked")
        RUNNING = "running", _("Being imported")
        DONE = "done", _("Imported")
        FAILED = "failed", _("Cannot be read")
        UNDOING = "undoing", _("Being undone")
        UNDONE = "undone", _("Undone")

    AT_WORK = (State.CHECKING, State.RUNNING, State.UNDOING)

    class Existing(models.TextChoices):
        """What becomes of leads that are here already."""

        FILL = "fill", _("Fill in what is empty")
        OVERWRITE = "overwrite", _("Replace what the file says otherwise")
        LEAVE = "leave", _("Leave them as they are")

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())
    file_name = models.CharField(max_length=255)
    # How the file is read (contacts.lead_import.reading.Reading), and its columns.
    reading = models.JSONField(default=dict)
    header = ArrayField(models.TextField(), default=list)
    # Of each column, which field of a lead it fills; "" for none.
    mapping = ArrayField(models.CharField(max_length=60, blank=True), default=list)
    existing = models.CharField(max_length=10, choices=Existing, default=Existing.FILL)
    # The country of phones without a country code; "" where all have one.
    country = models.CharField(max_length=2, blank=True, default="")
    day_first = models.BooleanField(default=True)
    state = models.CharField(max_length=10, choices=State, default=State.UPLOADED)
    # What makes the file unreadable, as code and values (contacts.lead_import.words).
    error = models.JSONField(null=True)
    # How many rows were read, and up to which row the present state has come.
    rows = models.PositiveIntegerField(default=0)
    is_read = models.BooleanField(default=False)
    upto = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict)
    # Whoever works on it says so, and until when: after that it is anybody's.
    claim = models.UUIDField(null=True)
    claimed_until = models.DateTimeField(null=True)
    # When it last came forward, and whether by an open page, for want of a worker.
    moved_at = models.DateTimeField(db_default=Now())
    by_page = models.BooleanField(default=False)
    finished_at = models.DateTimeField(null=True)
    bulk = models.ForeignKey(BulkChange, null=True, on_delete=models.SET_NULL, related_name="+")
    # Its rows are gone: they are kept for some days.
    is_cleared = models.BooleanField(default=False)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(
                fields=["id"], condition=Q(state__in=["checking", "running", "undoing"]), name="import_due"
            ),
        ]

    def __str__(self) -> str:
        return self.file_name

    @property
    def is_at_work(self) -> bool:
        return self.state in self.AT_WORK

    def count(self, outcome: str) -> int:
        found: Any = self.counts.get(outcome, 0)
        return int(found)

    @staticmethod
    def new_claim() -> uuid.UUID:
        return uuid.uuid4()


class ImportPiece(models.Model):
    """A part of the file as it was uploaded; gone as soon as its rows are imported."""

    of = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="pieces", db_index=False)
    position = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["of", "position"], name="import_piece_once")]

    def __str__(self) -> str:
        return f"{self.of_id}/{self.position}"


class ImportRow(models.Model):
    """A row of the file: its cells, whom it names, and what became or would become of it."""

    class Outcome(models.TextChoices):
        NEW = "new", _("New")
        CHANGED = "changed", _("Changed")
        SAME = "same", _("As it is")
        REFUSED = "refused", _("Refused")

    of = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="lines", db_index=False)
    # As spreadsheets count: the header is row 1.
    number = models.PositiveIntegerField()
    cells = ArrayField(models.TextField())
    outcome = models.CharField(max_length=8, choices=Outcome, blank=True, default="", db_default="")
    # What changes, {field: [before, after]}; why not, and what else there is to say, as codes and values.
    told = models.JSONField(default=dict, db_default={})
    # By what the row names somebody; null where it does not. A phone is in its shorter form (contacts_phone_key).
    phone = models.CharField(max_length=20, null=True)
    user_id = models.CharField(max_length=256, null=True)
    email = models.CharField(max_length=254, null=True)
    # While it is checked: the person ("c7" a lead, "r7" whom row 7 would make), and what they have after this row.
    person = models.CharField(max_length=24, blank=True, default="", db_default="")
    after = models.JSONField(null=True)
    contact = models.ForeignKey(
        Contact, null=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["of", "number"], name="import_row_once")]
        indexes = [
            models.Index(fields=["of", "outcome", "number"], name="import_row_outcome"),
            # Whether an earlier row names the same person.
            models.Index(
                fields=["of", "phone", "number"], condition=Q(phone__isnull=False), name="import_row_phone"
            ),
            models.Index(
                fields=["of", "user_id", "number"], condition=Q(user_id__isnull=False), name="import_row_user"
            ),
            models.Index(
                fields=["of", "email", "number"], condition=Q(email__isnull=False), name="import_row_email"
            ),
            models.Index(
                fields=["of", "person", "number"], condition=~Q(person=""), name="import_row_person"
            ),
            models.Index(fields=["contact"], condition=Q(contact__isnull=False), name="import_row_contact"),
        ]

    def __str__(self) -> str:
        return f"{self.of_id}/{self.number}"
