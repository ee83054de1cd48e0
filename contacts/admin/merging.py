"""Merging leads in the admin: hints on a lead's page, a side-by-side confirmation, undo, and possible duplicates.

All of it is the managers'. Every change is a POST to a page of a lead (or a merge) that the user sees; anything else is
not found.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeAlias

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.db import OperationalError
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from contacts import merging, remembering, showing, suggesting
from contacts.admin.tenancy import allow, rights_of, user_of
from contacts.admin.working import busy
from contacts.changing import is_busy
from contacts.merging import MergeRefused
from contacts.models import Contact, ContactMerge, LeadStatus, MergeDismissal, ProfileFact
from contacts.timeline import newest_messages

Admin: TypeAlias = "ModelAdmin[Contact]"
P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

HISTORY = 20
MATCHES = 20


def urls(admin: Admin) -> list[URLPattern]:
    """The pages, below those of the leads."""
    views: list[tuple[str, str, Callable[..., HttpResponse]]] = [
        ("duplicates/", "duplicates", duplicates),
        ("duplicates/dismiss/", "dismiss", dismiss),
        ("duplicates/restore/<int:pk>/", "restore", restore),
        ("merges/<int:pk>/undo/", "undo", undo),
        ("<int:pk>/merge/", "merge", pick),
        ("<int:pk>/merge/<int:other>/", "confirm", confirm),
    ]
    return [
        path(route, admin.admin_site.admin_view(partial(view, admin=admin)), name=f"contacts_contact_{name}")
        for route, name, view in views
    ]


def _known_by(lead: Contact) -> str:
    return showing.phone(lead.phone) or lead.business_scoped_user_id or lead.email or ""


def _can_undo(merge: ContactMerge) -> bool:
    return merge.undone_at is None and merge.merged.merged_into_id is not None


def _waiting_for_nobody(view: View[P]) -> View[P]:
    """A merge that waits for the webhooks of its workspace gives up as they do; then nothing has happened."""

    @wraps(view)
    def patient(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except OperationalError as error:
            if not is_busy(error):
                raise
            messages.error(request, busy())
            return HttpResponseRedirect(request.get_full_path())

    return patient


@require_GET
def pick(request: HttpRequest, pk: int, *, admin: Admin) -> HttpResponse:
    """Which lead is the same person? Those that look alike, and a search in the workspace."""
    lead = _lead(admin, request, pk)
    term = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    found: list[Contact] = []
    if term:
        inside = admin.get_queryset(request).filter(workspace=lead.workspace_id).exclude(pk=lead.pk)
        matches, _may_repeat = admin.get_search_results(request, inside, term)
        found = list(matches.order_by(F("last_activity_at").desc(nulls_last=True), "-id")[:MATCHES])
    newest = newest_messages(found)
    return _page(
        admin,
        request,
        "pick_lead",
        _("Merge %(name)s with another lead") % {"name": showing.name_of(lead)},
        lead=lead,
        term=term,
        found=[{"other": other, "newest": newest.get(other.pk)} for other in found],
        alike=[
            {"other": suggestion.other_than(lead), "reasons": suggestion.reasons}
            for suggestion in (suggesting.suggestions_for(lead) if not term else [])
        ],
    )


@require_http_methods(["GET", "POST"])
def confirm(request: HttpRequest, pk: int, other: int, *, admin: Admin) -> HttpResponse:
    """Both leads side by side, and what will be; merges when confirmed."""
    if request.method == "POST":
        return _merge(request, admin, pk, other)
    leads = sorted((_lead(admin, request, pk), _lead(admin, request, other)), key=lambda lead: lead.pk)
    if pk == other or leads[0].workspace_id != leads[1].workspace_id:
        messages.error(request, _("Choose another lead of the same workspace."))
        return HttpResponseRedirect(reverse("admin:contacts_contact_merge", args=[pk]))
    return _page(
        admin,
        request,
        "confirm_merge",
        _("Merge two leads?"),
        lead=_lead(admin, request, pk),
        other=other,
        rows=_side_by_side(leads[0], leads[1]),
        survivor=leads[0],
        reasons=[
            reason
            for suggestion in suggesting.suggestions_for(leads[0])
            if suggestion.other_than(leads[0]).pk == leads[1].pk
            for reason in suggestion.reasons
        ],
    )


@_waiting_for_nobody
def _merge(request: HttpRequest, admin: Admin, pk: int, other: int) -> HttpResponse:
    one, two = _lead(admin, request, pk), _lead(admin, request, other)
    try:
        made = merging.merge(one, two, by=user_of(request))
    except MergeRefused as refusal:
        messages.error(request, _("Nothing was merged. %(refusal)s") % {"refusal": refusal})
        return HttpResponseRedirect(_page_of(one))
    messages.success(
        request,
        format_html(
            '{} <a href="{}" class="underline">{}</a>',
            _("%(one)s and %(other)s are one lead now.")
            % {"one": showing.name_of(one), "other": showing.name_of(two)},
            reverse("admin:contacts_contact_undo", args=[made.pk]),
            _("Undo"),
        ),
    )
    return HttpResponseRedirect(_page_of(made.survivor))


@require_http_methods(["GET", "POST"])
def undo(request: HttpRequest, pk: int, *, admin: Admin) -> HttpResponse:
    """Asks first: what came since is shared out by its own evidence."""
    merges = ContactMerge.objects.filter(workspace__in=list(rights_of(request).workspaces))
    merge = get_object_or_404(merges.select_related("merged__merged_into", "survivor", "by"), pk=pk)
    _lead(admin, request, (merge.merged.merged_into or merge.survivor).pk)
    if request.method == "POST":
        return _take_back(request, merge)
    return _page(
        admin,
        request,
        "undo_merge",
        _("Undo this merge?"),
        merge=merge,
        lead=merge.merged.merged_into or merge.survivor,
        was=showing.name_of(merge.merged),
        can_undo=_can_undo(merge),
    )


@_waiting_for_nobody
def _take_back(request: HttpRequest, merge: ContactMerge) -> HttpResponse:
    survivor = merge.merged.merged_into or merge.survivor
    try:
        lead = merging.undo(merge, by=user_of(request))
    except MergeRefused as refusal:
        messages.error(request, _("Nothing was changed. %(refusal)s") % {"refusal": refusal})
    else:
        link = format_html('<a href="{}" class="underline">{}</a>', _page_of(lead), showing.name_of(lead))
        text = _("{lead} is a lead of its own again, with what belongs to it.")
        messages.success(request, format_html(text, lead=link))
    return HttpResponseRedirect(_page_of(survivor))


@require_GET
def duplicates(request: HttpRequest, *, admin: Admin) -> HttpResponse:
    """Pairs that look like one person, in all workspaces that the user manages, and those that somebody dismissed."""
    mine = rights_of(request).manages()
    allow(bool(mine) or not rights_of(request).places)
    found = suggesting.suggestions(mine)
    newest = newest_messages(lead for suggestion in found for lead in suggestion.leads)
    dismissed = MergeDismissal.objects.filter(workspace__in=mine).select_related("a", "b", "by")
    return _page(
        admin,
        request,
        "duplicates",
        _("Possible duplicates"),
        pairs=[
            {
                "leads": [
                    {"lead": lead, "known_by": _known_by(lead), "newest": newest.get(lead.pk)}
                    for lead in suggestion.leads
                ],
                "reasons": suggestion.reasons,
            }
            for suggestion in found
        ],
        is_full=len(found) >= suggesting.MOST,
        dismissed=dismissed.order_by("-at", "-pk")[:HISTORY],
        several=len(mine) > 1,
        opts=None,  # a page of the menu: its own name stands on top, not that of the leads
    )


@require_POST
def dismiss(request: HttpRequest, *, admin: Admin) -> HttpResponse:
    one, two = (_lead(admin, request, _number(request.POST.get(name))) for name in ("a", "b"))
    if one.pk != two.pk and one.workspace_id == two.workspace_id:
        suggesting.dismiss(one, two, by=user_of(request))
        messages.success(
            request,
            _("%(one)s and %(other)s stay two leads. It is listed below.")
            % {"one": showing.name_of(one), "other": showing.name_of(two)},
        )
    return HttpResponseRedirect(_back(request))


@require_POST
def restore(request: HttpRequest, pk: int, *, admin: Admin) -> HttpResponse:
    dismissal = get_object_or_404(MergeDismissal, workspace__in=list(rights_of(request).workspaces), pk=pk)
    for lead in (dismissal.a_id, dismissal.b_id):
        _lead(admin, request, lead)
    dismissal.delete()
    messages.success(request, _("They are suggested again, if they still look alike."))
    return HttpResponseRedirect(_back(request))


def _side_by_side(older: Contact, younger: Contact) -> list[dict[str, Any]]:
    """Field by field what either has and what the result shows, as `remembering` will decide it."""
    shown = remembering.preview(older, younger)
    owners = {lead.owner_id: lead.owner for lead in (older, younger) if lead.owner}
    together = (
        older
        if (older.last_activity_at or older.created_at) >= (younger.last_activity_at or younger.created_at)
        else younger
    )
    of_both = {
        _("Name"): (
            showing.name_of(older),
            showing.name_of(younger),
            shown["name"] or _first_name(older, younger) or showing.name_of(together),
        ),
        _("Phone"): (*_phones(older, younger),),
        _("WhatsApp user ID"): (*_user_ids(older, younger),),
        _("E-mail"): (older.email, younger.email, shown["email"]),
        _("Status"): (
            older.get_lead_status_display(),
            younger.get_lead_status_display(),
            LeadStatus(shown["lead_status"]).label,
        ),
        _("Owner"): (older.owner, younger.owner, owners.get(shown["owner"])),
        _("Score"): (older.lead_score, younger.lead_score, shown["lead_score"]),
        _("Tags"): tuple(", ".join(tags) for tags in (older.tags, younger.tags, shown["tags"])),
        _("Last activity"): (
            showing.exact_time(older.last_activity_at),
            showing.exact_time(younger.last_activity_at),
            showing.exact_time(together.last_activity_at),
        ),
    }
    return [
        {"name": name, "values": [one or "", two or ""], "result": result or ""}
        for name, (one, two, result) in of_both.items()
    ]


def _first_name(*leads: Contact) -> str:
    """Where nobody typed a name: the earliest that WhatsApp told of either, as the sync chooses it."""
    told = ProfileFact.objects.filter(identity__contact__in=leads, field=ProfileFact.Field.NAME)
    return told.order_by("first_at", "value").values_list("value", flat=True).first() or ""


def _phones(older: Contact, younger: Contact) -> tuple[str, str, str]:
    one, two = showing.phone(older.phone), showing.phone(younger.phone)
    return one, two, _(" and ").join(dict.fromkeys(filter(None, (one, two))))


def _user_ids(older: Contact, younger: Contact) -> tuple[str, str, str]:
    one, two = older.business_scoped_user_id or "", younger.business_scoped_user_id or ""
    return one, two, _(" and ").join(dict.fromkeys(filter(None, (one, two))))


def _lead(admin: Admin, request: HttpRequest, pk: int) -> Contact:
    """A living lead that the user sees, and may merge; whatever else is not found."""
    lead: Contact = get_object_or_404(admin.get_queryset(request).select_related("owner", "workspace"), pk=pk)
    allow(rights_of(request).may_manage(lead.workspace_id))
    return lead


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _page_of(lead: Contact) -> str:
    return reverse("admin:contacts_contact_change", args=[lead.pk])


def _back(request: HttpRequest) -> str:
    asked = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(asked, {request.get_host()}, require_https=request.is_secure())
    return asked if safe else reverse("admin:contacts_contact_duplicates")


def _page(admin: Admin, request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
    known = admin.admin_site.each_context(request) | {"opts": admin.opts, "title": title}
    return TemplateResponse(request, f"contacts/{template}.html", known | context)
