"""Why a message, or a clock of a lead, is as it is: the deliveries that told it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from contacts import showing
from contacts.admin.tenancy import rights_of
from contacts.models import Contact, Message
from contacts.preview import preview
from kapso_sync import causes
from kapso_sync.causes import Cause

CLOCKS = {
    "last_inbound_at": _("The customer last wrote"),
    "last_contact_at": _("We last wrote"),
    "last_activity_at": _("Last activity"),
}


def why_urls() -> list[URLPattern]:
    """Below a lead's own address."""
    view = admin.site.admin_view(why)
    return [path("contacts/contact/<int:lead_id>/why/", view, name="lead-why")]


@never_cache
@require_safe
def why(request: HttpRequest, lead_id: int) -> TemplateResponse:
    """`?message=` or `?clock=`; for those who see deliveries. 404 for whatever is not there, or not theirs."""
    rights = rights_of(request)
    if not request.user.is_staff:
        raise PermissionDenied
    lead = get_object_or_404(Contact.objects.living().filter(rights.leads()), pk=lead_id)
    if not rights.may_manage(lead.workspace_id):
        raise PermissionDenied
    clock = request.GET.get("clock", "")
    asked = _of_clock(lead, clock) if clock else _of_message(lead, request.GET.get("message", ""))
    context = admin.site.each_context(request) | {"title": _("Why?"), "lead": lead} | asked
    return TemplateResponse(request, "kapso_sync/why.html", context)


def _of_message(lead: Contact, key: str) -> dict[str, Any]:
    if not key.isascii() or not key.isdecimal() or len(key) > 18:
        raise Http404
    message = get_object_or_404(Message, pk=int(key), contact=lead)
    return _told(lead, message, causes.causes_of_message(message))


def _of_clock(lead: Contact, clock: str) -> dict[str, Any]:
    if clock not in CLOCKS or getattr(lead, clock) is None:
        raise Http404
    message = causes.message_behind(lead, clock)
    found = causes.causes_of_message(message) if message else causes.causes_of_profile(lead)
    at = getattr(lead, clock)
    return _told(lead, message, found) | {"clock": CLOCKS[clock], "clock_at": showing.exact_time(at)}


def _told(lead: Contact, message: Message | None, found: list[Cause]) -> dict[str, Any]:
    at = message.created_at if message else lead.last_activity_at
    return {
        "message": message,
        "quote": message and _quote(message),
        "sent_at": showing.exact_time(message.sent_at) if message else "",
        "causes": [
            {
                "delivery": cause.delivery,
                "words": [str(WORDS.get(word, word)) for word in cause.words],
                "received": showing.exact_time(cause.delivery.received_at),
            }
            for cause in found
        ],
        "cleared": causes.cleared_around(lead.workspace_id, at) if at and not found else None,
    }


def _quote(message: Message) -> str:
    return preview(
        message.message_type,
        message.content,
        transcript=message.transcript,
        payload=message.payload,
        is_deleted=message.revoked_at is not None,
    )


# The words of the sync and of WhatsApp; any other is shown as it came.
WORDS = {
    "received": _("brought the message"),
    "message": _("brought the message"),
    "accepted": _("said: accepted"),
    "sent": _("said: sent"),
    "delivered": _("said: delivered"),
    "read": _("said: read"),
    "played": _("said: listened to"),
    "failed": _("said: not delivered"),
    "edit": _("brought an edit"),
    "revoke": _("brought the deletion"),
    "reaction": _("brought a reaction"),
    "contact.updated": _("brought the contact's new name"),
}
