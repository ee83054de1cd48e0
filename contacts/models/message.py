"""Messages, and the delivery statuses that may come before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from contacts.models.contact import Contact
from contacts.models.conversation import Conversation
from contacts.models.workspace import PhoneNumber, Workspace
from contacts.rights import Rights

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

# These act on another message, or on the person: rows, but no bubbles of their own (DESIGN.md section 3, Messages).
ACTS_ON_A_MESSAGE = ("reaction", "edit", "revoke")
# Nobody's turn: neither an answer, nor something to answer, nor a window (DESIGN.md 3 "Activity", EDGE_CASES.md 108).
NOT_A_TURN = (*ACTS_ON_A_MESSAGE, "system", "request_welcome")


class MessageQuerySet(models.QuerySet["Message"]):
    def for_user(self, user: User | AnonymousUser) -> Self:
        return self if user.is_superuser else self.filter(Rights.of(user).of_leads())

    def in_order(self) -> Self:
        """As they were written; arrival breaks ties."""
        return self.order_by("sent_at", "id")


class Message(models.Model):
    """One message of one thread, once per business number and WAMID, however often and by whatever route it came.

    `contact` and `conversation` are empty only while nobody knows whose message it is. `sent_at` is event time.
    """

    class Direction(models.TextChoices):
        INBOUND = "inbound", _("From the customer")
        OUTBOUND = "outbound", _("From us")

    class Status(models.TextChoices):
        RECEIVED = "received", _("Received")
        PENDING = "pending", _("Pending")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")
        DELIVERED = "delivered", _("Delivered")
        READ = "read", _("Read")

    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, db_index=False, related_name="messages"
    )
    phone_number = models.ForeignKey(
        PhoneNumber, on_delete=models.PROTECT, db_index=False, related_name="messages", editable=False
    )
    conversation = models.ForeignKey(
        Conversation, null=True, on_delete=models.PROTECT, related_name="messages", db_index=False
    )
    contact = models.ForeignKey(
        Contact, null=True, on_delete=models.PROTECT, related_name="messages", db_index=False
    )
    kapso_message_id = models.CharField("WAMID", max_length=255)
    direction = models.CharField(max_length=8, choices=Direction)
    # The provider's word, an open set (CONTRACT.md 9).
    message_type = models.CharField(_("type"), max_length=64, default="text", db_default="text")
    content = models.TextField(blank=True, default="", db_default="")
    content_before_edit = models.TextField(null=True, editable=False)
    payload = models.JSONField(default=dict, blank=True, db_default={})
    media_url = models.TextField(blank=True, default="", db_default="")
    transcript = models.TextField(blank=True, default="", db_default="")
    origin = models.CharField(max_length=20, default="cloud_api", db_default="cloud_api")
    status = models.CharField(
        max_length=10, choices=Status, default=Status.RECEIVED, db_default=Status.RECEIVED
    )
    sent_at = models.DateTimeField()
    # The earliest time known for the WAMID: `sent_at` until a `sent` status says better.
    earliest_at = models.DateTimeField(null=True, editable=False)
    delivered_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    error_code = models.IntegerField(null=True, blank=True)
    error_message = models.TextField(blank=True, default="", db_default="")
    reply_to_kapso_id = models.CharField(max_length=255, blank=True, default="", db_default="")
    # The message that a reaction, edit or revoke acts on.
    target_kapso_id = models.CharField(max_length=255, blank=True, default="", db_default="")
    referral = models.JSONField(null=True, blank=True)
    edited_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # Whom the events of this message named: what its contact is derived from.
    phone = models.CharField(max_length=20, null=True, editable=False)
    user_id = models.CharField(max_length=256, null=True, editable=False)
    kapso_conversation_id = models.CharField(max_length=128, default="", db_default="", editable=False)
    # Per field, how good the telling was that it is taken from (contacts.telling).
    told = models.JSONField(default=dict, db_default={}, editable=False)
    is_sealed = models.BooleanField(default=False, db_default=False, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    # Whether it answers, or wants an answer. Indexes ask for this and not for the status, which changes twice in the first
    # minutes: where no index has a column that changes, PostgreSQL writes to none of them (a HOT update).
    is_turn = models.GeneratedField(
        expression=~Q(message_type__in=NOT_A_TURN) & ~Q(status="failed"),  # type: ignore[arg-type]
        output_field=models.BooleanField(),
        db_persist=True,
    )

    objects = MessageQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["phone_number", "kapso_message_id"], name="message_once"),
        ]
        indexes = [
            # The timeline of a lead, and its newest activity.
            models.Index(fields=["contact", "-sent_at", "-id"], name="message_timeline"),
            # The newest turn of either side.
            models.Index(
                fields=["contact", "direction", "-sent_at"],
                condition=Q(is_turn=True),
                name="message_turns",
            ),
            # What a workspace wrote and was written in a period (contacts.reports).
            models.Index(
                fields=["workspace", "sent_at"],
                include=["contact", "direction"],
                condition=Q(is_turn=True),
                name="message_report",
            ),
            # The reactions, edits and revokes of a message.
            models.Index(
                fields=["phone_number", "target_kapso_id"],
                condition=~Q(target_kapso_id=""),
                name="message_target",
            ),
            # Who held a phone at a time: the messages that name it together with a user id.
            models.Index(
                fields=["workspace", "phone", "sent_at"],
                condition=Q(phone__isnull=False, user_id__isnull=False),
                name="message_evidence",
            ),
            # The ads that led a lead here.
            models.Index(
                fields=["contact", "sent_at"], condition=Q(referral__isnull=False), name="message_referral"
            ),
            # The messages that name nobody: they are whose their session is.
            models.Index(
                fields=["phone_number", "kapso_conversation_id"],
                condition=Q(phone=None, user_id=None) & ~Q(kapso_conversation_id=""),
                name="message_of_session",
            ),
            # Messages that wait for somebody to know whose they are.
            models.Index(fields=["phone_number"], condition=Q(contact=None), name="message_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.direction} {self.message_type}"


class MessageReceipt(models.Model):
    """The statuses of one WAMID: the first time of each, and every error. May be here before its message.

    `rank` is the highest of CONTRACT.md 11.1 ever told; a word may be known without a time.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, db_index=False, related_name="+")
    phone_number = models.ForeignKey(PhoneNumber, on_delete=models.PROTECT, db_index=False, related_name="+")
    kapso_message_id = models.CharField(max_length=255)
    rank = models.SmallIntegerField(default=0)
    accepted_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    played_at = models.DateTimeField(null=True)
    # Keys sort by time, so the first key is the first error: {"<milliseconds>|<code>|<text>|<digest>": {...}}.
    errors = models.JSONField(default=dict, db_default={})
    # Words that are not in the ranking: {"<word>|<time>": true}.
    other_words = models.JSONField(default=dict, db_default={})
    is_sealed = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["phone_number", "kapso_message_id"], name="message_receipt_once"),
        ]

    def __str__(self) -> str:
        return self.kapso_message_id
