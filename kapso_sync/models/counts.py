"""What is counted: early returns by reason, and our answers."""

from __future__ import annotations

from django.db import models


class Tally(models.Model):
    """How often something happened on a day (UTC): each early return of the code by (source, reason), see kapso_sync.tallies.

    A reason is a word of ours or a key path of a payload, never a value.
    """

    day = models.DateField()
    source = models.CharField(max_length=40)
    reason = models.CharField(max_length=200)
    count = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        verbose_name_plural = "tallies"
        constraints = [models.UniqueConstraint(fields=["day", "source", "reason"], name="tally_once")]

    def __str__(self) -> str:
        return f"{self.source} {self.reason}: {self.count}"


class AnswerCount(models.Model):
    """What we answered to webhooks of a number in a minute, by HTTP status: what Kapso judges the endpoint by (CONTRACT.md 3.6)."""

    phone_number_id = models.CharField(max_length=64)
    minute = models.DateTimeField()
    http_status = models.PositiveSmallIntegerField()
    count = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["phone_number_id", "minute", "http_status"], name="answer_count_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.count} times {self.http_status}"
