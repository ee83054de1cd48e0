"""Choosing stored deliveries, locking them for a replay, and saving what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Q

from contacts.facts import as_json
from contacts.models import PhoneNumber
from contacts.rights import Rights
from contacts.statements import run
from kapso_sync.outcomes import SAVE_OUTCOMES

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from kapso_sync.models.delivery import WebhookDelivery


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
        """Lock their rows until the transaction ends; returns those that still have their bodies.

        Whoever writes to deliveries and to the CRM takes these locks first, and the workspaces' after them: so none
        waits for somebody who waits for them. An erasure or retention may have cleared one since it was loaded: that
        instance is emptied, too. Notes of the others what of them is applied already.
        """
        locked = self.filter(pk__in=[delivery.pk for delivery in deliveries]).order_by("id")
        rows = locked.select_for_update(no_key=True).values_list(
            "pk", "status", "error", "body_cleared_at", "waits_for"
        )
        known = {row[0]: row for row in rows}
        kept = []
        for delivery in deliveries:
            if (row := known.get(delivery.pk)) is None:
                continue
            _, status, error, body_cleared_at, waits_for = row
            if body_cleared_at:
                delivery.status, delivery.error, delivery.body = status, error, b""
                delivery.body_cleared_at = body_cleared_at
            else:
                delivery.note_applied(status, waits_for)
                kept.append(delivery)
        return kept

    def save_outcomes(self, deliveries: Iterable[WebhookDelivery]) -> None:
        """One statement, however many there are; earlier outcomes become past attempts."""
        rows = [
            {
                "id": delivery.pk,
                "is_first": delivery.is_just_stored,
                "is_busy": delivery.met_others,
                "is_dead": delivery.nobody_came_back,
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
        run(SAVE_OUTCOMES, [as_json(rows)])
