"""What Kapso delivered, for those who manage a workspace."""

from __future__ import annotations

from base64 import b64encode

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers.shown import Details, Shown
from kapso_sync.models import WebhookDelivery

_LISTED = (
    "id", "workspace", "received_at", "event", "phone_number_id", "status", "attempts", "duplicates", "processed_at",
    "next_retry_at", "idempotency_key", "body_sha256", "body_cleared_at",
)  # fmt: skip


class DeliverySerializer(Shown):
    """One signed webhook, and what came of it."""

    class Meta:
        model = WebhookDelivery
        fields: tuple[str, ...] = _LISTED
        read_only_fields: tuple[str, ...] = _LISTED


class WholeDeliverySerializer(DeliverySerializer):
    """With its headers and body, as they came, and the error with its traceback."""

    headers = Details(read_only=True, help_text="Without those that may carry secrets.")
    body = serializers.SerializerMethodField(
        help_text="As it came, byte for byte; empty where retention or an erasure has cleared it."
    )
    body_encoding = serializers.SerializerMethodField(help_text="How `body` is written here.")

    class Meta(DeliverySerializer.Meta):
        fields = (*_LISTED, "error", "headers", "body_encoding", "body")
        read_only_fields = fields

    def get_body(self, delivery: WebhookDelivery) -> str:
        return _text(delivery.raw_body)[1]

    @extend_schema_field({"type": "string", "enum": ["utf-8", "base64"]})
    def get_body_encoding(self, delivery: WebhookDelivery) -> str:
        return _text(delivery.raw_body)[0]


def _text(body: bytes) -> tuple[str, str]:
    try:
        return "utf-8", body.decode()
    except UnicodeDecodeError:
        return "base64", b64encode(body).decode()
