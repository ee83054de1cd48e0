"""What Kapso delivered, byte for byte, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from contacts.facts import as_json
from contacts.models import Workspace
from contacts.statements import run
from kapso_sync import formats
from kapso_sync.models.choosing import FINISHED, WebhookDeliveryQuerySet
from kapso_sync.outcomes import STORE

# The others may carry secrets: custom headers are a way to protect a webhook (CONTRACT.md 3.2).
KEPT_HEADERS = {
    "content-type",
    "user-agent",
    "x-webhook-event",
    "x-webhook-signature",
    "x-webhook-payload-version",
    "x-webhook-batch",
    "x-batch-size",
    "x-idempotency-key",
    "x-hub-signature-256",
}


class WebhookDelivery(models.Model):
    """One signed POST. The body is never changed, so it can be replayed; the same body under the same key is one row."""

    class Status(models.TextChoices):
        RECEIVED = "received", _("Received")
        PROCESSED = "processed", _("Processed")
        IGNORED = "ignored", _("Ignored")
        UNROUTABLE = "unroutable", _("Number not registered")
        FAILED = "failed", _("Failed")

    received_at = models.DateTimeField(default=timezone.now)
    idempotency_key = models.CharField(max_length=255, blank=True, default="", db_default="")
    event = models.CharField(_("event"), max_length=100, blank=True, default="", db_default="")
    # Meta's id of the first number that the body names; text, because that number may not be registered here.
    phone_number_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    workspace = models.ForeignKey(
        Workspace,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="+",
        verbose_name=_("workspace"),
    )
    headers = models.JSONField(default=dict, blank=True, db_default={})
    body = models.BinaryField()
    body_sha256 = models.CharField(max_length=64, default="", db_default="", editable=False)
    # The numbers that the signature speaks for; empty for all of them (a project-wide secret).
    served_numbers = ArrayField(models.CharField(max_length=64), null=True, blank=True)
    status = models.CharField(
        _("status"), max_length=10, choices=Status, default=Status.RECEIVED, db_default=Status.RECEIVED
    )
    error = models.TextField(blank=True, default="", db_default="")
    attempts = models.PositiveIntegerField(_("attempts"), default=0, db_default=0)
    duplicates = models.PositiveIntegerField(_("duplicates"), default=0, db_default=0)
    processed_at = models.DateTimeField(null=True, blank=True)
    code_version = models.CharField(max_length=40, blank=True, default="", db_default="")
    # Failed attempts in a row: the pauses before the next ones grow with them (kapso_sync.outcomes).
    failures = models.PositiveSmallIntegerField(default=0, db_default=0)
    # The numbers of items that its newest attempt did not apply: not registered here then, or inactive.
    waits_for = ArrayField(models.TextField(), null=True, blank=True)
    # When it is tried again by itself, or until when somebody who is at it has it for himself (kapso_sync.retrying);
    # empty where nothing is to be done, or where a human has to look first.
    next_retry_at = models.DateTimeField(null=True, blank=True)
    # How often in a row somebody took it to retry it and has not said what came of it: so far, or ever.
    claims = models.PositiveSmallIntegerField(default=0, db_default=0)
    # Since when retention or an erasure has emptied the body. Key, hash and outcome stay.
    body_cleared_at = models.DateTimeField(null=True, blank=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            # Also finds the byte-equal twins of a body.
            models.UniqueConstraint(
                fields=["phone_number_id", "body_sha256", "idempotency_key"], name="delivery_once"
            ),
        ]
        indexes = [
            # The admin's list, for a superuser and within a workspace.
            models.Index(F("received_at").desc(), F("id").desc(), name="delivery_newest"),
            models.Index(
                F("workspace"), F("received_at").desc(), F("id").desc(), name="delivery_of_workspace"
            ),
            # The deliveries of a number: its newest, how many by outcome, how many at this time of the week.
            models.Index(
                F("phone_number_id"),
                F("received_at").desc(),
                name="delivery_of_number",
                include=["status"],
            ),
            # What still needs something: a retry, a number, a human.
            models.Index(
                fields=["status", "phone_number_id"],
                condition=Q(status__in=["received", "failed", "unroutable"]),
                name="delivery_unfinished",
            ),
            # The oldest bodies that are still there (kapso_sync.retention).
            models.Index(
                fields=["received_at", "id"],
                condition=Q(body_cleared_at=None),
                name="delivery_body_to_clear",
            ),
            # What is to be tried again by now.
            models.Index(
                fields=["next_retry_at"],
                condition=Q(next_retry_at__isnull=False),
                name="delivery_to_retry",
            ),
            # What a number brings in that is registered now. Without the list of pending entries, which each look
            # would have to read.
            GinIndex(
                fields=["waits_for"],
                condition=Q(waits_for__isnull=False),
                fastupdate=False,
                name="delivery_waits_for",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event or 'delivery'} {self.pk}"

    @property
    def needs_something(self) -> bool:
        """As `needing_something` of the queryset, for this one as it is here."""
        return self.status not in FINISHED or bool(self.waits_for)

    @property
    def raw_body(self) -> bytes:
        """PostgreSQL's driver may hand out a memoryview."""
        return bytes(self.body)

    @cached_property
    def _parsed(self) -> tuple[object, str]:
        try:
            return formats.parse(self.raw_body), ""
        except formats.Unparseable as error:
            return None, str(error)

    @property
    def payload(self) -> object:
        """The body as JSON; None if it is none. Trust it no further than its signature was checked."""
        return self._parsed[0]

    @cached_property
    def numbers_named(self) -> tuple[str, ...]:
        return formats.numbers_named(self.payload)

    def items(self, own_phones: Mapping[str, str]) -> Sequence[formats.Item]:
        """What the body tells, where these are the businesses' own phones; read once, however often it is tried."""
        received_at = self.earliest_received_at or self.received_at
        own_phones = {number: own_phones[number] for number in self.numbers_named if number in own_phones}
        if self._items is None or self._items[:2] != (own_phones, received_at):
            headers = {name.lower(): value for name, value in self.headers.items()}
            items = formats.normalise(
                self.payload,
                headers=headers,
                received_at=received_at,
                digest=self.body_sha256,
                own_phones=own_phones,
            )
            self._items = own_phones, received_at, items
        return self._items[2]

    _items: tuple[Mapping[str, str], datetime, Sequence[formats.Item]] | None = None

    @property
    def unparseable(self) -> str:
        """Why the body is not JSON, in plain words; "" if it is."""
        return self._parsed[1]

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same delivery as another."""
        return self.phone_number_id, self.body_sha256, self.idempotency_key

    @classmethod
    def store(cls, deliveries: Sequence[Self]) -> None:
        """Insert them; those that were here already (`is_copy`) become what those rows are, counted again.

        No two have the same `key`. Of twenty copies that arrive at once, nineteen wait here for the first to commit.
        """
        rows = {row[:3]: row[3:] for row in run(STORE, _rows(deliveries))}
        for delivery in deliveries:
            row = rows[delivery.key]
            delivery.pk, delivery.is_just_stored, status, attempts = row[:4]
            delivery.received_at, delivery.served_numbers, delivery.earliest_received_at = row[4:7]
            delivery.others_are_due = row[7]
            delivery.is_copy = not delivery.is_just_stored
            if delivery.is_copy:
                delivery.status, delivery.attempts = status, attempts

    @property
    def is_to_apply(self) -> bool:
        """Of one that has come just now: it is new, or the next try of one that failed."""
        return self.is_just_stored or self.status in (self.Status.FAILED, self.Status.RECEIVED)

    # Whether `store` found that it was here already.
    is_copy = False

    # From when a body counts that has no time of its own: the first time that these very bytes came.
    earliest_received_at: datetime | None = None
    # Of the present attempt: whether it is the one that stored it, and whether it failed for nothing but the moment.
    is_just_stored = False
    met_others = False
    # Whether this is the attempt of somebody who was ended in the middle of it, told by whoever has it now.
    nobody_came_back = False
    # Of a replayed one that was applied before: the numbers whose items were not. The others' are in the CRM.
    applied_but_for: Sequence[str] | None = None
    # Whether, when this one was stored, others were due to be tried again.
    others_are_due = False

    def note_applied(self, status: str, waits_for: Sequence[str] | None) -> None:
        """What an earlier attempt came to: its parts for any number were applied, but for those that wait."""
        was_applied = status in (self.Status.PROCESSED, self.Status.UNROUTABLE)
        self.applied_but_for = (waits_for or ()) if was_applied else None

    def has_applied(self, number: str) -> bool:
        return self.applied_but_for is not None and number not in self.applied_but_for

    @classmethod
    def of(cls, body: bytes, headers: Mapping[str, str], **fields: Any) -> Self:
        """A delivery of this body, not stored yet. `headers` are clean text; only those without secrets are kept."""
        digest = hashlib.sha256(body).hexdigest()
        kept = {name.lower(): value for name, value in headers.items() if name.lower() in KEPT_HEADERS}
        key = kept.get("x-idempotency-key", "").strip()
        delivery = cls(
            body=body,
            body_sha256=digest,
            headers=kept,
            idempotency_key=key if 0 < len(key) <= 255 else digest,
            **fields,
        )
        delivery.phone_number_id = next(iter(delivery.numbers_named), "")[:64]
        delivery.event = formats.event_name(delivery.payload, kept)
        return delivery


def _rows(deliveries: Sequence[WebhookDelivery]) -> list[Any]:
    """As `STORE` takes them: in one order for everybody, so that none waits for another in a ring."""
    ordered = sorted(deliveries, key=lambda delivery: delivery.key)
    names = (
        "received_at", "idempotency_key", "event", "phone_number_id", "workspace_id", "headers", "body_sha256",
        "served_numbers", "status", "error", "processed_at", "code_version", "waits_for",
    )  # fmt: skip
    rows = [{name: getattr(delivery, name) for name in names} for delivery in ordered]
    return [as_json(rows), [delivery.raw_body for delivery in ordered]]
