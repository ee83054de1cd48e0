"""A replay that somebody asked for by a click, and what came of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import ngettext

from kapso_sync.models import WebhookDelivery, WebhookDeliveryQuerySet
from kapso_sync.patience import TooBusy
from kapso_sync.replaying import replay_in_batches

Status = WebhookDelivery.Status


def replay_and_say(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, deliveries: WebhookDeliveryQuerySet
) -> None:
    """What really came out, in words and numbers; nothing where there is nothing to replay."""
    try:
        outcomes = replay_in_batches(deliveries)
    except TooBusy as error:
        model_admin.message_user(request, str(error), messages.ERROR)
    else:
        if outcomes:
            _say(model_admin, request, outcomes)


def _say(model_admin: admin.ModelAdmin[Any], request: HttpRequest, outcomes: Counter[str]) -> None:
    labels = dict(Status.choices)
    found = ", ".join(f"{count} {str(labels[status]).lower()}" for status, count in outcomes.most_common())
    level = messages.WARNING if {Status.FAILED, Status.UNROUTABLE} & set(outcomes) else messages.SUCCESS
    total = outcomes.total()
    text = ngettext(
        "Replayed %(total)s delivery: %(found)s.", "Replayed %(total)s deliveries: %(found)s.", total
    )
    model_admin.message_user(request, text % {"total": total, "found": found}, level)
