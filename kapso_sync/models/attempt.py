"""What came of a delivery before."""

from __future__ import annotations

from django.db import models

from kapso_sync.models.delivery import WebhookDelivery


class DeliveryAttempt(models.Model):
    """What an earlier attempt at a delivery came to; the delivery itself shows the newest one."""

    delivery = models.ForeignKey(
        WebhookDelivery, on_delete=models.CASCADE, related_name="past_attempts", db_index=False
    )
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    status = models.CharField(max_length=10, choices=WebhookDelivery.Status)
    error = models.TextField(blank=True, default="", db_default="")
    code_version = models.CharField(max_length=40, blank=True, default="", db_default="")

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="delivery_attempt_once")]

    def __str__(self) -> str:
        return f"attempt {self.number} at delivery {self.delivery_id}"
