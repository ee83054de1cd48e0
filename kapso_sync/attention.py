"""What of the deliveries needs somebody's attention, in sentences with links; each counted no further than it matters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from contacts import showing
from contacts.admin.tenancy import rights_of, user_of
from contacts.admin.unfolded import DropdownFilter
from kapso_sync.models import WebhookDelivery

Status = WebhookDelivery.Status

# What needs something: none of it without a body, for there is nothing left to apply. The one place that says so.
_HAS_BODY = Q(body_cleared_at=None)
# Not applied, and the fault is ours.
UNPROCESSED = Q(status__in=[Status.RECEIVED, Status.FAILED]) & _HAS_BODY
# Nobody tries it again by itself any more.
GIVEN_UP = Q(status=Status.FAILED, next_retry_at=None) & _HAS_BODY
# It will be processed, or tried, without anybody's help.
UNDER_WAY = UNPROCESSED & (Q(status=Status.RECEIVED) | Q(next_retry_at__isnull=False))
# Some of it is for a number that is not registered here, or inactive.
FOR_ITS_NUMBER = Q(waits_for__isnull=False) & _HAS_BODY
# Not done, by status.
WAITING = UNPROCESSED | Q(status=Status.UNROUTABLE) & _HAS_BODY

# An outcome normally follows within the request.
LATE_AFTER = timedelta(minutes=1)
MOST_COUNTED = 100
MOST_NUMBERS = 5
# The newest deliveries tell which code is at work.
LOOKED_AT = 100

# An installation may wait for a number with a million webhooks: counting ends where nobody cares any more.
MISSING_NUMBERS = """
SELECT number, count(*) FROM (
    SELECT unnest(d.waits_for) AS number FROM kapso_sync_webhookdelivery d
    WHERE d.status = 'unroutable' AND d.body_cleared_at IS NULL LIMIT 10000) waiting
WHERE NOT EXISTS (SELECT FROM contacts_phonenumber n WHERE n.phone_number_id = number)
GROUP BY number ORDER BY count(*) DESC, number LIMIT %s
"""

_started_at = timezone.now()


@dataclass(frozen=True, slots=True)
class Alert:
    """A sentence, and where to go for it: (label, address) pairs."""

    text: str
    links: tuple[tuple[str, str], ...] = ()


class WaitsFilter(DropdownFilter):
    title = _("what it waits for")
    parameter_name = "waits"
    CHOICES = {
        "human": (_("Waits for a human"), GIVEN_UP),
        "retry": (_("Is tried again by itself"), UNDER_WAY),
        "number": (_("Waits for its number"), FOR_ITS_NUMBER),
    }

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        return [(key, str(label)) for key, (label, _) in self.CHOICES.items()]

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.CHOICES.get(self.value() or "")
        return rows.filter(chosen[1]) if chosen else rows


def seen_by(request: HttpRequest) -> Q:
    """Which deliveries the user sees: as `WebhookDelivery.objects.for_user`, of what is known of the request already."""
    return Q() if user_of(request).is_superuser else Q(workspace__in=rights_of(request).manages())


def sees_deliveries(request: HttpRequest) -> bool:
    """Managers do; so does a superuser where there is no workspace yet."""
    return user_of(request).is_superuser or bool(rights_of(request).manages())


def alerts_for(request: HttpRequest) -> list[Alert]:
    """Of the deliveries that the user may see. Numbers and code are the superusers' business."""
    found = [*_given_up(request), *_late(request)]
    if user_of(request).is_superuser:
        found += [*_missing(request), *_two_codes()]
    return found


def missing_numbers(request: HttpRequest) -> list[tuple[str, int]]:
    """Numbers that are not registered here, with how many webhooks wait; asked once per request."""
    kept = vars(request)
    if "leadcrm_missing_numbers" not in kept:
        with connection.cursor() as cursor:
            cursor.execute(MISSING_NUMBERS, [MOST_NUMBERS])
            kept["leadcrm_missing_numbers"] = cursor.fetchall()
    found: list[tuple[str, int]] = kept["leadcrm_missing_numbers"]
    return found


def _given_up(request: HttpRequest) -> list[Alert]:
    count = _unprocessed(request).given_up
    if not count:
        return []
    number = gettext("More than %d") % MOST_COUNTED if count > MOST_COUNTED else str(count)
    text = ngettext(
        "%(number)s delivery failed again and again: nothing more is tried by itself.",
        "%(number)s deliveries failed again and again: nothing more is tried by itself.",
        count,
    )
    return [Alert(text % {"number": number}, ((gettext("Look at what went wrong"), _list(waits="human")),))]


def oldest_under_way(request: HttpRequest) -> datetime | None:
    """When the oldest delivery came that is not processed yet, though it will be."""
    return _unprocessed(request).oldest_under_way


@dataclass(frozen=True, slots=True)
class _Unprocessed:
    """Of the deliveries that the user may see; those given up are counted no further than it matters."""

    given_up: int
    oldest_under_way: datetime | None


def _unprocessed(request: HttpRequest) -> _Unprocessed:
    """One statement, asked once per request."""
    kept = vars(request)
    if "leadcrm_unprocessed" not in kept:
        mine = WebhookDelivery.objects.filter(seen_by(request))
        given_up = mine.filter(GIVEN_UP).values_list(Value(1), "received_at")[: MOST_COUNTED + 1]
        under_way = mine.filter(UNDER_WAY).order_by("received_at")
        oldest = under_way.values_list(Value(0), "received_at")[:1]
        rows = list(given_up.union(oldest, all=True))
        count = sum(is_given_up for is_given_up, _at in rows)
        kept["leadcrm_unprocessed"] = _Unprocessed(
            count, next((at for given_up, at in rows if not given_up), None)
        )
    found: _Unprocessed = kept["leadcrm_unprocessed"]
    return found


def _late(request: HttpRequest) -> list[Alert]:
    oldest, now = oldest_under_way(request), timezone.now()
    if oldest is None or now - oldest < LATE_AFTER:
        return []
    text = gettext("The oldest delivery that is not processed yet came %(ago)s. It is tried again by itself.")
    return [Alert(text % {"ago": showing.ago(oldest, now)}, ((gettext("Look at it"), _list(waits="retry")),))]


def _missing(request: HttpRequest) -> list[Alert]:
    alerts = []
    for number, count in missing_numbers(request):
        text = ngettext(
            "Number %(number)s is not registered here: %(count)s webhook waits.",
            "Number %(number)s is not registered here: %(count)s webhooks wait.",
            count,
        ) % {"number": number, "count": count}
        register = reverse("admin:contacts_phonenumber_add") + "?" + urlencode({"phone_number_id": number})
        look = _list(waits="number", number=number)
        alerts.append(Alert(text, ((gettext("Register it"), register), (gettext("Look at them"), look))))
    return alerts


def _two_codes() -> list[Alert]:
    """Since this process started, another one has processed something by other code: one of the two is stale.

    Said for an hour after the last time, or the few seconds of an update would be said for days where little arrives.
    """
    known = ("", settings.CODE_VERSION)
    since = max(_started_at, timezone.now() - timedelta(hours=1))
    newest = WebhookDelivery.objects.order_by("-received_at", "-id")[:LOOKED_AT]
    failing = WebhookDelivery.objects.filter(status=Status.FAILED, processed_at__gt=since)
    seen = {code for at, code in newest.values_list("processed_at", "code_version") if at and at > since}
    seen |= set(failing.exclude(code_version__in=known).values_list("code_version", flat=True)[:LOOKED_AT])
    others = ", ".join(sorted(seen - set(known)))
    if not others:
        return []
    text = gettext(
        "Two versions of the code are at work: %(here)s here, %(elsewhere)s elsewhere. Restart the web server and the worker."
    )
    return [Alert(text % {"here": settings.CODE_VERSION, "elsewhere": others})]


def _list(**query: str) -> str:
    return f"{reverse('admin:kapso_sync_webhookdelivery_changelist')}?{urlencode(query)}"
