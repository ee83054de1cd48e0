"""Two buttons on a lead's page: everything that is stored about the person as a file, and erasing all of it.

Managers download, owners erase.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from contacts import showing
from contacts.admin.tenancy import allow, rights_of, user_of
from contacts.erasing import Person
from contacts.exporting import file_name
from contacts.models import Contact
from kapso_sync.erasing import erase_person
from kapso_sync.exporting import export_person
from kapso_sync.finding import are_more_than
from kapso_sync.patience import TooBusy

# A request must come to an end: the commands know no limit.
MOST_SEARCHED = 20_000


def people_urls() -> list[URLPattern]:
    """Below a lead's own address."""

    def page(end: str, view: Callable[[HttpRequest, int], HttpResponseBase], name: str) -> URLPattern:
        return path(f"contacts/contact/<int:lead_id>/{end}/", admin.site.admin_view(view), name=name)

    return [page("export", export_view, "lead-export"), page("erase", erase_view, "lead-erase")]


def _lead(request: HttpRequest, lead_id: int) -> Contact:
    """404 for leads of other workspaces, as for those that do not exist."""
    if not request.user.is_staff:
        raise PermissionDenied
    return get_object_or_404(Contact.objects.living().filter(rights_of(request).leads()), pk=lead_id)


@never_cache
@require_GET
def export_view(request: HttpRequest, lead_id: int) -> HttpResponseBase:
    lead = _lead(request, lead_id)
    allow(rights_of(request).may_manage(lead.workspace_id))
    if are_more_than(MOST_SEARCHED, lead.workspace_id):
        text = (
            _(
                "There are too many stored deliveries to look through for a page. Ask whoever looks after leadcrm to run:"
            )
            + f" manage.py export_person {lead.pk} --output lead-{lead.pk}.json"
        )
        messages.error(request, text)
        return HttpResponseRedirect(reverse("admin:contacts_contact_change", args=[lead.pk]))
    person = Person.of(lead.workspace_id, lead.pk)
    return StreamingHttpResponse(
        export_person(person),
        content_type="application/json; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{file_name(person)}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


@never_cache
@require_http_methods(["GET", "POST"])
def erase_view(request: HttpRequest, lead_id: int) -> HttpResponse:
    """What would go; and, once the name or the phone was typed, it does."""
    lead = _lead(request, lead_id)
    allow(rights_of(request).may_erase(lead.workspace_id))
    is_too_much = are_more_than(MOST_SEARCHED, lead.workspace_id)
    typed = request.POST.get("typed", "")
    is_confirmed = request.method == "POST" and not is_too_much and _is_name_of(lead, typed)
    if is_confirmed:
        return _erase(request, lead)
    context = admin.site.each_context(request) | {
        "title": _("Erase this person"),
        "lead": lead,
        "shown": lead.name or lead.kapso_name or showing.phone(lead.phone) or lead.shown_name,
        "counts": Person.of(lead.workspace_id, lead.pk).counts,
        "is_too_much": is_too_much,
        "is_wrong": request.method == "POST" and not is_too_much,
    }
    return TemplateResponse(request, "contacts/erase_lead.html", context)


def _is_name_of(lead: Contact, typed: str) -> bool:
    words = " ".join(typed.split()).casefold()
    names = {
        " ".join(name.split()).casefold() for name in (lead.name, lead.kapso_name or "", lead.shown_name)
    }
    digits = re.sub(r"[^0-9]", "", typed)
    return bool(words) and (words in names or (bool(digits) and digits == lead.phone))


def _erase(request: HttpRequest, lead: Contact) -> HttpResponse:
    lead_id = lead.pk
    try:
        outcome = erase_person(lead.workspace_id, lead_id)
    except TooBusy as error:
        messages.error(request, str(error))
        if Contact.objects.filter(pk=lead_id).exists():
            return HttpResponseRedirect(reverse("lead-erase", args=[lead_id]))
        return HttpResponseRedirect(reverse("admin:contacts_contact_changelist"))
    LogEntry.objects.create(
        user=user_of(request),
        content_type=ContentType.objects.get_for_model(Contact),
        object_id=str(lead_id),
        object_repr=f"Lead {lead_id}",
        action_flag=DELETION,
        change_message="Erased for good.",
    )
    messages.success(request, str(outcome))
    return HttpResponseRedirect(reverse("admin:contacts_contact_changelist"))
