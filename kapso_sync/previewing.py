"""The admin's preview of a replay: per lead what would change, what would come of the deliveries, and the button."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from contacts.admin.tenancy import rights_of, user_of
from contacts.difference import LeadDifference
from kapso_sync.models import WebhookDelivery
from kapso_sync.rehearsing import rehearsal

# A page must come to an end, and somebody has to read it: `manage.py replay_webhooks --dry-run` knows no limit.
MOST_PREVIEWED = 200
MOST_LEADS = 100

COMMAND = "manage.py replay_webhooks --dry-run"


def preview_chosen(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, deliveries: QuerySet[WebhookDelivery]
) -> HttpResponse | None:
    """The page; None where these are too many for one, which is said."""
    chosen = list(deliveries.order_by("id").values_list("pk", flat=True)[: MOST_PREVIEWED + 1])
    if len(chosen) > MOST_PREVIEWED:
        advice = _("That is too much for one page: choose up to %(most)s, or run %(command)s.") % {
            "most": MOST_PREVIEWED,
            "command": COMMAND,
        }
        model_admin.message_user(request, advice, messages.ERROR)
        return None
    return preview_page(model_admin, request, chosen)


def preview_page(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, chosen: list[int], *, single: int | None = None
) -> HttpResponse:
    """What a replay of the chosen deliveries would change; `single` is the one on whose page it was asked for."""
    only = None if user_of(request).is_superuser else set(rights_of(request).manages())
    with rehearsal(WebhookDelivery.objects.filter(pk__in=chosen), only=only) as told:
        leads = list(islice(told.differences, MOST_LEADS + 1))
        context = _context(leads, told.outcomes, told.emptied)
    context |= {
        **model_admin.admin_site.each_context(request),
        "title": _("Preview of the replay"),
        "opts": model_admin.opts,
        "chosen": chosen,
        "single": single,
    }
    return TemplateResponse(request, "kapso_sync/preview.html", context)


def _context(leads: list[LeadDifference], outcomes: Counter[str], emptied: int) -> dict[str, Any]:
    labels = dict(WebhookDelivery.Status.choices)
    return {
        "leads": leads[:MOST_LEADS],
        "is_cut": len(leads) > MOST_LEADS,
        "outcomes": [
            (str(labels[WebhookDelivery.Status(status)]), n) for status, n in outcomes.most_common()
        ],
        "total": outcomes.total(),
        "would_be_processed": outcomes[WebhookDelivery.Status.PROCESSED],
        "would_wait": outcomes.total() - outcomes[WebhookDelivery.Status.PROCESSED],
        "emptied": emptied,
        "command": COMMAND,
    }
