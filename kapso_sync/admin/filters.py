"""What the list of deliveries can be narrowed to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from contacts.admin.tenancy import user_of
from contacts.admin.unfolded import DropdownFilter
from contacts.models import PhoneNumber
from kapso_sync.attention import missing_numbers
from kapso_sync.models import WebhookDelivery

Status = WebhookDelivery.Status

# CONTRACT.md 7. The column is free text: any other name is found by searching for it.
EVENTS = (
    "whatsapp.message.received",
    "whatsapp.message.sent",
    "whatsapp.message.delivered",
    "whatsapp.message.read",
    "whatsapp.message.failed",
    "whatsapp.conversation.created",
    "whatsapp.conversation.ended",
    "whatsapp.conversation.inactive",
    "contact.updated",
    "workflow.execution.handoff",
    "workflow.execution.failed",
    "whatsapp.phone_number.created",
    "whatsapp.phone_number.deleted",
)


class StatusFilter(DropdownFilter):
    title = _("status")
    parameter_name = "status"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        return [(value, str(label)) for value, label in Status.choices]

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(status=self.value()) if self.value() in Status.values else rows


class EventFilter(DropdownFilter):
    title = _("event")
    parameter_name = "event"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        return [(event, event.removeprefix("whatsapp.")) for event in EVENTS]

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(event=self.value()) if self.value() in EVENTS else rows


class NumberFilter(DropdownFilter):
    title = _("number")
    parameter_name = "number"

    def lookups(self, request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        numbers = PhoneNumber.objects.for_user(user_of(request)).defer("webhook_secret")
        found = [(number.phone_number_id, str(number)) for number in numbers]
        if user_of(request).is_superuser:
            found += [
                (number, gettext("%(number)s (not registered)") % {"number": number})
                for number, _ in missing_numbers(request)
            ]
        return found

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        number = self.value()
        if number not in {str(key) for key, _ in self.lookup_choices}:
            return rows
        return rows.filter(Q(phone_number_id=number) | Q(waits_for__contains=[number]))


class ReceivedFilter(DropdownFilter):
    title = _("time")
    parameter_name = "within"
    HOURS = {
        "1": _("The last hour"),
        "24": _("The last 24 hours"),
        "168": _("The last 7 days"),
        "720": _("The last 30 days"),
    }

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[Any, str]]:
        return [(hours, str(label)) for hours, label in self.HOURS.items()]

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        hours = self.value()
        if hours not in self.HOURS:
            return rows
        return rows.filter(received_at__gte=timezone.now() - timedelta(hours=int(hours)))
