"""What is left of a person who was erased: enough to know them again, not enough to know who they were."""

from __future__ import annotations

from django.db import models

from contacts.models.workspace import Workspace


class Tombstone(models.Model):
    """A phone, user id, session id or WAMID of somebody erased, as a salted hash.

    An event of theirs up to `erased_at` (by its own time) is ignored for ever, so that no replay, retry or import brings
    them back. What they write later makes a new lead: they came back by themselves.
    """

    class Kind(models.TextChoices):
        PHONE = "phone", "Phone"
        USER = "user", "WhatsApp user ID"
        SESSION = "session", "Kapso session"
        MESSAGE = "message", "WAMID"

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    kind = models.CharField(max_length=7, choices=Kind)
    # sha256 of the workspace's salt, the kind and the value, in hex. A message's value also names its number.
    digest = models.CharField(max_length=64)
    erased_at = models.DateTimeField()
    # Empty but for a phone that was somebody else's before: what is older than this is not about the erased person.
    since = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "digest"], name="tombstone_once")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} erased"
