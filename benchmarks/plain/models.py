from __future__ import annotations

from django.db import models


class WebhookDelivery(models.Model):
    idempotency_key = models.CharField(max_length=255, unique=True)
    event = models.CharField(max_length=100)
    payload = models.JSONField()
    processed = models.BooleanField(default=False)
    received_at = models.DateTimeField(auto_now_add=True)


class Contact(models.Model):
    phone = models.CharField(max_length=32, unique=True)
    name = models.CharField(max_length=255, blank=True)
    last_activity_at = models.DateTimeField(null=True, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)


class Conversation(models.Model):
    external_id = models.CharField(max_length=64, unique=True)
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE)
    status = models.CharField(max_length=20)
    last_message_at = models.DateTimeField(null=True)


class Message(models.Model):
    external_id = models.CharField(max_length=255, unique=True)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE)
    direction = models.CharField(max_length=10)
    message_type = models.CharField(max_length=20)
    content = models.TextField(blank=True)
    status = models.CharField(max_length=20)
    sent_at = models.DateTimeField(db_index=True)
