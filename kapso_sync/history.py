"""The attempts at a delivery, as its page shows them."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from contacts import showing
from kapso_sync.models import DeliveryAttempt, WebhookDelivery

# A page must come to an end; of a longer history it shows the newest.
MOST_SHOWN = 50


def attempts_at(delivery: WebhookDelivery) -> list[DeliveryAttempt]:
    """The newest first, which is what the delivery itself says. Replays that changed nothing are not among them."""
    if not delivery.attempts:
        return []
    newest = DeliveryAttempt(
        delivery=delivery,
        number=delivery.attempts,
        at=delivery.processed_at or delivery.received_at,
        status=delivery.status,
        error=delivery.error,
        code_version=delivery.code_version,
    )
    return [newest, *delivery.past_attempts.order_by("-number")[: MOST_SHOWN - 1]]


def next_step(delivery: WebhookDelivery) -> SafeString | str:
    """What happens to it without anybody's help."""
    if delivery.body_cleared_at:
        return ""
    if delivery.next_retry_at and delivery.status != WebhookDelivery.Status.PROCESSED:
        return format_html(
            _("Tried again by itself {time}."), time=showing.exact_time(delivery.next_retry_at)
        )
    if delivery.status == WebhookDelivery.Status.FAILED:
        return _("It waits for a human: nothing more is tried by itself.")
    if delivery.waits_for:
        return _("It counts by itself once %(numbers)s is registered and active here.") % {
            "numbers": _(" and ").join(delivery.waits_for)
        }
    return ""
