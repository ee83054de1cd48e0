"""What the team does with its leads: notes, follow-ups, and the record of every change.

Rows keep the lead that they were made for. A merge does not move them, so that an undo finds them: `of` a lead are
those of its own row and of all that is merged into it.
"""

from __future__ import annotations

from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from contacts.models.contact import Contact
from contacts.models.workspace import Workspace


class OfLead(models.QuerySet[Any]):
    def of(self, lead: Contact) -> Self:
        return self.filter(contact__in=Contact.objects.rows_of(lead.pk).values("pk"))


class Note(models.Model):
    """What somebody wrote down about a lead. Its author edits and deletes it; the history keeps that it was there."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="notes", db_index=False)
    text = models.TextField(max_length=10_000)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())
    edited_at = models.DateTimeField(null=True, blank=True)

    objects = OfLead.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["contact", "-at"], name="note_history")]

    def __str__(self) -> str:
        return self.text[:80]


class FollowUp(models.Model):
    """When to turn to a lead next, and why. A lead has one open at a time; done ones stay."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="follow_ups", db_index=False)
    due_at = models.DateTimeField()
    remark = models.CharField(max_length=500, blank=True, default="", db_default="")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = OfLead.as_manager()

    class Meta:
        ordering = ["due_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["contact"], condition=Q(done_at=None), name="follow_up_open_once"
            ),
        ]
        indexes = [
            # What is due in a workspace.
            models.Index(fields=["workspace", "due_at"], condition=Q(done_at=None), name="follow_up_due"),
            models.Index(fields=["contact", "-at"], name="follow_up_history"),
        ]

    def __str__(self) -> str:
        return self.remark or str(self.due_at)


class BulkChange(models.Model):
    """One change made to many leads at once. It can be undone for ten minutes (contacts.bulk)."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    # What was done, and with which value: {"do": "assign", "owner": 7}
    action = models.JSONField()
    leads = models.PositiveIntegerField(default=0)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())
    undone_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.action} for {self.leads} leads"


class LeadChange(models.Model):
    """Somebody changed something about a lead other than its status (that is a `StatusChange`).

    `before` and `after` are the values as JSON: an owner's id, a list of tags, a text; null for none.
    """

    class Kind(models.TextChoices):
        OWNER = "owner", _("Owner")
        TAGS = "tags", _("Tags")
        NAME = "name", _("Name")
        EMAIL = "email", _("E-mail")
        SCORE = "lead_score", _("Score")
        FIELD = "field", _("Custom field")
        FOLLOW_UP = "follow_up", _("Follow-up")
        SNOOZE = "snooze", _("Put aside")
        HANDOFF = "handoff", _("Needs a human")
        NOTE = "note", _("Note deleted")
        PHONE = "phone", _("Phone")
        USER_ID = "user_id", _("WhatsApp user ID")
        IMPORT = "import", _("Imported")

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="changes", db_index=False)
    kind = models.CharField(max_length=12, choices=Kind)
    # Of a custom field: its key.
    field = models.CharField(max_length=50, blank=True, default="", db_default="")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.CharField(max_length=255, blank=True, default="", db_default="")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())
    bulk = models.ForeignKey(BulkChange, null=True, on_delete=models.SET_NULL, related_name="lead_changes")

    objects = OfLead.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["contact", "-at"], name="lead_change_history")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.before} to {self.after}"
