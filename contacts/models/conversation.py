"""Threads, Kapso's sessions in them, and what automations said about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from contacts.models.contact import Contact
from contacts.models.workspace import PhoneNumber, Workspace
from contacts.rights import Rights

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from contacts.replies import Address


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def for_user(self, user: User | AnonymousUser) -> Self:
        return self if user.is_superuser else self.filter(Rights.of(user).of_leads())


class Conversation(models.Model):
    """The thread of one lead with one business number. It never closes; Kapso's sessions in it come and go."""

    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, db_index=False, related_name="conversations"
    )
    contact = models.ForeignKey(
        Contact, on_delete=models.PROTECT, related_name="conversations", db_index=False
    )
    phone_number = models.ForeignKey(PhoneNumber, on_delete=models.PROTECT, related_name="conversations")
    # Of the newest Kapso session.
    status = models.CharField(max_length=20, blank=True, default="active", db_default="active")
    kapso_conversation_id = models.CharField(max_length=128, blank=True, default="", db_default="")
    last_message_at = models.DateTimeField(null=True, blank=True)
    last_inbound_at = models.DateTimeField(null=True, blank=True)
    # The newest time that an automation asked for a human, and why.
    handoff_at = models.DateTimeField(null=True, blank=True)
    handoff_reason = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = ConversationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["contact", "phone_number"], name="conversation_once"),
        ]
        indexes = [
            # Those few in which an automation has ever asked for somebody.
            models.Index(
                fields=["workspace", "contact"],
                condition=Q(handoff_at__isnull=False),
                name="conversation_handed_over",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contact} with {self.phone_number}"

    def reply_address(self) -> Address:
        """Whom a reply reaches: the identity that the customer last wrote from here, else the lead's current ones.

        After a merge a lead may have several. A phone that has gone to somebody else since is left out.
        """
        from contacts.replies import reply_addresses  # the message's module is further up the foreign keys

        return reply_addresses([self])[self.pk]


class KapsoSession(models.Model):
    """A Kapso conversation id. Every one ever seen is kept and leads to its thread, as soon as there is one.

    `phone` and `user_id` are what its events named; each newer naming replaces an older one. `status` is the newest.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    phone_number = models.ForeignKey(PhoneNumber, on_delete=models.PROTECT, db_index=False, related_name="+")
    kapso_conversation_id = models.CharField(max_length=128)
    conversation = models.ForeignKey(
        Conversation, null=True, on_delete=models.SET_NULL, related_name="sessions", db_index=False
    )
    phone = models.CharField(max_length=20, null=True)
    phone_at = models.DateTimeField(null=True)
    user_id = models.CharField(max_length=256, null=True)
    user_id_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=20, default="", db_default="")
    status_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # What Kapso's newest summary of the session says that there is: more than we have means that something was lost.
    told_messages = models.PositiveIntegerField(null=True)
    told_last_wamid = models.CharField(max_length=255, default="", db_default="")
    told_at = models.DateTimeField(null=True)
    # Empty unless something was told without a time of its own: then every such telling, at the earliest time that its
    # body came, and under an empty source the newest of what was told with one. All columns above follow from these.
    tellings = models.JSONField(null=True, editable=False)
    is_sealed = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["phone_number", "kapso_conversation_id"], name="kapso_session_once"
            ),
        ]
        indexes = [
            # A thread's newest session. Without those that have none: looked for in here, each of many would be
            # compared with all of them (contacts/statements/refresh_derived.py).
            models.Index(
                fields=["conversation", "-last_at"],
                condition=Q(conversation__isnull=False),
                name="kapso_session_thread",
            ),
            # Sessions that wait for somebody to write, by what they name.
            models.Index(
                fields=["phone_number", "phone"],
                condition=Q(conversation=None, phone__isnull=False),
                name="kapso_session_by_phone",
            ),
            models.Index(
                fields=["phone_number", "user_id"],
                condition=Q(conversation=None, user_id__isnull=False),
                name="kapso_session_by_user",
            ),
            # What Kapso summed up lately (kapso_sync.watching).
            models.Index(
                fields=["phone_number", "-told_at"],
                condition=Q(told_at__isnull=False),
                name="kapso_session_told",
            ),
            # Workflow events name nothing but the session.
            models.Index(fields=["kapso_conversation_id"], name="kapso_session_by_id"),
        ]

    def __str__(self) -> str:
        return self.kapso_conversation_id


class AutomationEvent(models.Model):
    """A Kapso workflow handed a session over to people, or failed on it.

    It names no number: `served_numbers` are Meta's ids of those that its signature speaks for, empty for all. They
    are part of what it is: nobody can take the place of another's event by signing it first.

    `source` is empty where the event has a time of its own; else it stands for the body, and `at` is the earliest time
    that this body came.
    """

    class Kind(models.TextChoices):
        HANDOFF = "handoff", _("Needs a human")
        FAILED = "failed", _("Automation failed")

    kapso_conversation_id = models.CharField(max_length=128)
    execution_id = models.CharField(max_length=128)
    kind = models.CharField(max_length=10, choices=Kind)
    reason = models.TextField(blank=True, default="", db_default="")
    at = models.DateTimeField()
    source = models.CharField(max_length=80, default="", db_default="")
    served_numbers = ArrayField(models.CharField(max_length=64), default=list, db_default=[])
    is_sealed = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kapso_conversation_id", "execution_id", "kind", "served_numbers", "source"],
                name="automation_event_once",
            ),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()
