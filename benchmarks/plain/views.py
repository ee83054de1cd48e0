from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.plain.models import Contact, Conversation, Message, WebhookDelivery
from benchmarks.plain.serializers import WebhookSerializer


class KapsoWebhookView(APIView):
    def post(self, request: Request) -> Response:
        expected = hmac.new(settings.WEBHOOK_SECRET.encode(), request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get("X-Webhook-Signature", "")):
            return Response({"detail": "Invalid signature"}, status=401)
        serializer = WebhookSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        delivery, created = WebhookDelivery.objects.get_or_create(
            idempotency_key=request.headers["X-Idempotency-Key"],
            defaults={"event": request.headers["X-Webhook-Event"], "payload": request.data},
        )
        if created:
            save_message(serializer.validated_data)
            delivery.processed = True
            delivery.save()
        return Response({"status": "ok"})


def save_message(data: dict[str, Any]) -> None:
    sent_at = datetime.fromtimestamp(data["message"]["timestamp"], UTC)
    contact, _ = Contact.objects.get_or_create(phone=data["conversation"]["phone_number"].lstrip("+"))
    contact.name = data["conversation"].get("kapso", {}).get("contact_name") or contact.name
    contact.last_activity_at = max(contact.last_activity_at or sent_at, sent_at)
    contact.save()
    conversation, _ = Conversation.objects.get_or_create(
        external_id=data["conversation"]["id"], defaults={"contact": contact, "status": "active"}
    )
    conversation.status = data["conversation"]["status"]
    conversation.last_message_at = max(conversation.last_message_at or sent_at, sent_at)
    conversation.save()
    message, created = Message.objects.get_or_create(
        external_id=data["message"]["id"],
        defaults={
            "conversation": conversation,
            "direction": data["message"]["kapso"]["direction"],
            "message_type": data["message"]["type"],
            "content": data["message"]["kapso"]["content"],
            "status": data["message"]["kapso"]["status"],
            "sent_at": sent_at,
        },
    )
    if not created:
        message.status = data["message"]["kapso"]["status"]
        message.save()
