"""Threads and their messages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from api.serializers.shown import Details, Shown
from contacts.lead_views import WINDOW
from contacts.models import Conversation, Message


class ConversationSerializer(Shown):
    """The thread of one contact with one number."""

    window_open = serializers.SerializerMethodField(
        help_text="WhatsApp takes free text here; else approved templates only."
    )
    window_closes_at = serializers.SerializerMethodField(
        help_text="24 hours after the customer's last message to this number; null if they never wrote."
    )

    class Meta:
        model = Conversation
        fields = (
            "id", "workspace", "contact", "phone_number", "status", "kapso_conversation_id", "last_message_at",
            "last_inbound_at", "window_open", "window_closes_at", "handoff_at", "handoff_reason", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_window_open(self, thread: Conversation) -> bool:
        now = self.context.get("now") or timezone.now()
        return thread.last_inbound_at is not None and thread.last_inbound_at > now - WINDOW

    def get_window_closes_at(self, thread: Conversation) -> datetime | None:
        return thread.last_inbound_at + WINDOW if thread.last_inbound_at else None


class MessageSerializer(Shown):
    """One message of a thread. Reactions, edits and revokes are messages, too: they act on `target_kapso_id`."""

    payload = serializers.JSONField(
        read_only=True, help_text="What this type of message has beside its text."
    )

    referral = Details(read_only=True, help_text="The ad or post that led here.")

    class Meta:
        model = Message
        fields = (
            "id", "workspace", "conversation", "contact", "phone_number", "kapso_message_id", "direction",
            "message_type", "content", "payload", "media_url", "transcript", "origin", "status", "sent_at",
            "delivered_at", "read_at", "failed_at", "error_code", "error_message", "reply_to_kapso_id",
            "target_kapso_id", "referral", "edited_at", "revoked_at", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    # Texts may be long: what was not asked for is not read.
    LONG = ("content", "payload", "transcript", "referral", "error_message")

    @classmethod
    def unread_columns(cls, asked: Any) -> list[str]:
        return [] if asked is None else [name for name in cls.LONG if name not in asked]
