"""The page of one lead: its messages, and everything about the person beside them."""

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path

from contacts import showing
from contacts.admin import merging
from contacts.admin.tenancy import MemberAdmin
from contacts.models import Contact, Message, StatusChange
from contacts.timeline import timeline

HISTORY = 50


def urls(leads: MemberAdmin) -> list[URLPattern]:
    """Below a lead's own address."""

    def message_view(request: HttpRequest, lead_id: int, message_id: int) -> HttpResponse:
        """The whole text of a message that is too long for the lead's page."""
        lead = get_object_or_404(leads.get_queryset(request), pk=lead_id)
        message = get_object_or_404(Message, pk=message_id, contact=lead)
        text = "\n\n".join(filter(None, (message.content, message.transcript)))
        return HttpResponse(
            text, content_type="text/plain; charset=utf-8", headers={"X-Content-Type-Options": "nosniff"}
        )

    whole = leads.admin_site.admin_view(message_view)
    return [path("<int:lead_id>/message/<int:message_id>/", whole, name="contacts_contact_message")]


def shown(request: HttpRequest, lead: Contact) -> dict[str, Any]:
    """What the page's template needs."""
    return {
        "timeline": timeline(lead, request.GET.get("before", "")),
        "identities": _identities(lead),
        "status_changes": list(StatusChange.objects.of(lead).select_related("by")[:HISTORY]),
        **merging.shown_with(request, lead),
    }


def _identities(lead: Contact) -> list[dict[str, Any]]:
    """Every phone and user id that the lead ever had, the one seen last first."""
    return [
        {
            "known": known,
            "text": showing.phone(known.value) if known.kind == known.Kind.PHONE else known.value,
        }
        for known in lead.identities.exclude(kind="lead").order_by(
            F("last_seen_at").desc(nulls_last=True), "value"
        )[:HISTORY]
    ]
