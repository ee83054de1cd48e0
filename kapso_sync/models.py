"""What Kapso delivered, byte for byte, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import connection, models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.functional import cached_property

from contacts.facts import as_json
from contacts.models import PhoneNumber, Workspace
from contacts.rights import Rights
from contacts.statements import run
from kapso_sync import formats
from kapso_sync.outcomes import PAUSES, SAVE_OUTCOMES, STORE

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


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


# In the reason why a delivery was ignored: it counts once its number is active again.
INACTIVE = "is set inactive"


FINISHED = ("processed", "ignored")

# A retry, a number, a human: something of it is not applied yet.
NEEDS_SOMETHING = ~Q(status__in=FINISHED) | Q(waits_for__isnull=False)


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def for_user(self, user: User | AnonymousUser) -> Self:
        """Of the workspaces that the user manages; those that are nobody's, or several workspaces', are a superuser's."""
        return self if user.is_superuser else self.filter(workspace__in=Rights.of(user).manages())

    def waiting_for(self, number: PhoneNumber) -> Self:
        """What came for this number before it was registered here, or while it was set inactive."""
        unroutable = Q(status=self.model.Status.UNROUTABLE, phone_number_id=number.phone_number_id)
        return self.filter(Q(waits_for__contains=[number.phone_number_id]) | unroutable)

    def needing_something(self) -> Self:
        """Those of which something is not applied yet, though it might be one day."""
        return self.filter(NEEDS_SOMETHING)

    def with_bodies(self) -> Self:
        """Without those whose bodies were cleared: there is nothing left in them to replay."""
        return self.filter(body_cleared_at=None)

    def without_bodies(self) -> Self:
        """Those whose bodies retention or an erasure has cleared."""
        return self.filter(body_cleared_at__isnull=False)

    def replayable(self) -> Self:
        """In the order in which they came, each with the time from which a body without times of its own counts.

        Cleared ones are left out.
        """
        twin = self.model.objects.filter(
            phone_number_id=models.OuterRef("phone_number_id"), body_sha256=models.OuterRef("body_sha256")
        )
        earliest = twin.order_by("received_at").values("received_at")[:1]
        return self.with_bodies().order_by("id").annotate(earliest_received_at=models.Subquery(earliest))

    def lock_to_replay(self, deliveries: Sequence[WebhookDelivery]) -> list[WebhookDelivery]:
        """Lock their rows until the transaction ends; those that still have their bodies.

        An erasure or retention may have cleared one since it was loaded: that instance is emptied, too. Notes of the
        others what of them is applied already.
        """
        locked = self.filter(pk__in=[delivery.pk for delivery in deliveries]).order_by("id")
        rows = locked.select_for_update(no_key=True).only("status", "error", "body_cleared_at", "waits_for")
        known = {row.pk: row for row in rows}
        kept = []
        for delivery in deliveries:
            row = known.get(delivery.pk)
            if row and row.body_cleared_at:
                delivery.status, delivery.error, delivery.body = row.status, row.error, b""
                delivery.body_cleared_at = row.body_cleared_at
            elif row:
                delivery.note_applied(row.status, row.waits_for)
                kept.append(delivery)
        return kept

    def save_outcomes(self, deliveries: Iterable[WebhookDelivery]) -> None:
        """One statement, however many there are; earlier outcomes become past attempts."""
        rows = [
            {
                "id": delivery.pk,
                "is_first": delivery.is_just_stored,
                "is_busy": delivery.met_others,
                "status": delivery.status,
                "error": delivery.error,
                "event": delivery.event,
                "workspace_id": delivery.workspace_id,
                "processed_at": delivery.processed_at,
                "code_version": delivery.code_version,
                "waits_for": delivery.waits_for,
            }
            for delivery in deliveries
        ]
        with connection.cursor() as cursor:
            cursor.execute(SAVE_OUTCOMES, [as_json(rows)])


class WebhookDelivery(models.Model):
    """One signed POST. The body is never changed, so it can be replayed; the same body under the same key is one row."""

    class Status(models.TextChoices):
        RECEIVED = "received", "Received"
        PROCESSED = "processed", "Processed"
        IGNORED = "ignored", "Ignored"
        UNROUTABLE = "unroutable", "Number not registered"
        FAILED = "failed", "Failed"

    received_at = models.DateTimeField(default=timezone.now)
    idempotency_key = models.CharField(max_length=255, blank=True, default="", db_default="")
    event = models.CharField(max_length=100, blank=True, default="", db_default="")
    # Meta's id of the first number that the body names; text, because that number may not be registered here.
    phone_number_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, on_delete=models.PROTECT, db_index=False, related_name="+"
    )
    headers = models.JSONField(default=dict, blank=True, db_default={})
    body = models.BinaryField()
    body_sha256 = models.CharField(max_length=64, default="", db_default="", editable=False)
    # The numbers that the signature speaks for; empty for all of them (a project-wide secret).
    served_numbers = ArrayField(models.CharField(max_length=64), null=True, blank=True)
    status = models.CharField(
        max_length=10, choices=Status, default=Status.RECEIVED, db_default=Status.RECEIVED
    )
    error = models.TextField(blank=True, default="", db_default="")
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    duplicates = models.PositiveIntegerField(default=0, db_default=0)
    processed_at = models.DateTimeField(null=True, blank=True)
    code_version = models.CharField(max_length=40, blank=True, default="", db_default="")
    # Failed attempts in a row: the pauses before the next ones grow with them (kapso_sync.outcomes).
    failures = models.PositiveSmallIntegerField(default=0, db_default=0)
    # The numbers of items that its newest attempt did not apply: not registered here then, or inactive.
    waits_for = ArrayField(models.TextField(), null=True, blank=True)
    # When it is tried again by itself, or until when somebody who is at it has it for himself (kapso_sync.retrying);
    # empty where nothing is to be done, or where a human has to look first.
    next_retry_at = models.DateTimeField(null=True, blank=True)
    # Since when retention or an erasure has emptied the body. Key, hash and outcome stay.
    body_cleared_at = models.DateTimeField(null=True, blank=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = "delivery"
        verbose_name_plural = "deliveries"
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

    @property
    def unparseable(self) -> str:
        """Why the body is not JSON, in plain words; "" if it is."""
        return self._parsed[1]

    def store(self) -> bool:
        """Insert this delivery; False if it was here already (then this instance becomes that row, counted again).

        Of twenty copies that arrive at once, nineteen wait here for the first to commit.
        """
        failed = self.status == self.Status.FAILED
        (row,) = run(
            STORE,
            [
                self.received_at, self.idempotency_key, self.event, self.phone_number_id, self.workspace_id,
                as_json(self.headers), self.raw_body, self.body_sha256, self.served_numbers, self.status,
                self.error, self.processed_at, self.code_version, int(failed), PAUSES[0] if failed else None,
                self.waits_for,
            ],
        )  # fmt: skip
        self.pk, self.is_just_stored, status, attempts = row[:4]
        self.received_at, self.served_numbers, self.earliest_received_at, self.others_are_due = row[4:]
        self.is_copy = not self.is_just_stored
        if self.is_copy:
            self.status, self.attempts = status, attempts
        return self.is_just_stored

    # Whether `store` found that it was here already.
    is_copy = False

    # From when a body counts that has no time of its own: the first time that these very bytes came.
    earliest_received_at = None
    # Of the present attempt: whether it is the one that stored it, and whether it failed for nothing but the moment.
    is_just_stored = False
    met_others = False
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
