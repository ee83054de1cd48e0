"""The list of leads as a file, for those who manage its workspaces: the same tab, filters and search as on the page."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET

from contacts import lead_export
from contacts.admin.lead_filters import query_of
from contacts.admin.tenancy import allow, rights_of, user_of
from contacts.changing import Refused

if TYPE_CHECKING:
    from contacts.admin.tenancy import MemberAdmin

LIST = "admin:contacts_contact_changelist"
logger = logging.getLogger(__name__)


def urls(leads: MemberAdmin) -> list[URLPattern]:
    view = leads.admin_site.admin_view(partial(export, admin=leads))
    return [path("export/<slug:fmt>/", view, name="contacts_contact_export")]


def shown(request: HttpRequest) -> dict[str, Any]:
    """What the menu needs, without a query: whether there is one, and whether it gives all that the list shows."""
    managed = rights_of(request).manages()
    return {"may_export": bool(managed), "exports_all": len(managed) == len(rights_of(request).places)}


@require_GET
def export(request: HttpRequest, fmt: str, *, admin: MemberAdmin) -> HttpResponseBase:
    if fmt not in ("csv", "xlsx"):
        raise Http404
    managed = rights_of(request).manages()
    allow(bool(managed))
    back = f"{reverse(LIST)}?{query_of(request.GET)}".rstrip("?")
    try:
        listed: Any = admin.get_changelist_instance(request)
        leads = listed.queryset.filter(workspace__in=managed)
        name = lead_export.file_name(managed)
        answer = lead_export.response(leads, fmt, workspaces=managed, name=name)  # type: ignore[arg-type]
    except IncorrectLookupParameters:
        return HttpResponseRedirect(back)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return HttpResponseRedirect(back)
    logger.info("user %s exports leads as %s", user_of(request).pk, fmt)
    return answer
