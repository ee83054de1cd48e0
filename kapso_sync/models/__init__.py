"""Stored deliveries, what came of them, and what is counted."""

from __future__ import annotations

from kapso_sync.models.attempt import DeliveryAttempt
from kapso_sync.models.choosing import FINISHED, NEEDS_SOMETHING, WebhookDeliveryQuerySet
from kapso_sync.models.counts import AnswerCount, Tally
from kapso_sync.models.delivery import WebhookDelivery

__all__ = [
    "FINISHED",
    "NEEDS_SOMETHING",
    "AnswerCount",
    "DeliveryAttempt",
    "Tally",
    "WebhookDelivery",
    "WebhookDeliveryQuerySet",
]
