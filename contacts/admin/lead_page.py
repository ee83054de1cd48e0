"""The page of one lead: its messages, and everything about the person beside them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_safe

from contacts import showing, work
from contacts.admin import lead_panels, live_talk
from contacts.admin.tenancy import rights_of
from contacts.localising import localise
from contacts.models import Contact, Message
from contacts.surroundings import Surroundings, lead_and_surroundings, members_like
from contacts.timeline import Timeline, timeline

Admin: TypeAlias = "ModelAdmin[Contact]"


def urls(admin: Admin) -> list[URLPattern]:
    """Below a lead's own address."""
    views: list[tuple[str, str, Callable[..., HttpResponse]]] = [
        ("<int:pk>/message/<int:message>/", "message", whole_message),
        ("<int:pk>/messages/", "messages", older_messages),
        ("<int:pk>/members/", "members", members),
        ("<int:pk>/history/", "history", to_history),
    ]
    live = _live_view(admin.admin_site.admin_view(partial(newest_messages, admin=admin)))
    return [
        path("<int:pk>/live/", live, name="contacts_contact_talk"),
        *(
            path(
                route,
                admin.admin_site.admin_view(partial(view, admin=admin)),
                name=f"contacts_contact_{name}",
            )
            for route, name, view in views
        ),
    ]


def page(request: HttpRequest, pk: int, *, admin: Admin) -> HttpResponse:
    """Opens at the newest messages. Whoever works here has read them now."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    found = lead_and_surroundings(live_talk.with_cursor(_mine(request).living()), pk)
    if found is None:
        return _to_survivor(request, pk)
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    lead, surroundings = found
    talk = timeline(lead, request.GET.get("before", ""))
    context = _context(request, admin, lead, surroundings, talk)
    if talk.is_newest and context["may_work"]:
        work.mark_read(lead)
    return TemplateResponse(request, "contacts/lead/page.html", context)


def _context(
    request: HttpRequest, admin: Admin, lead: Contact, surroundings: Surroundings, talk: Timeline
) -> dict[str, Any]:
    rights = rights_of(request)
    name = showing.name_of(lead)
    return {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "lead": lead,
        "title": name,
        "heading": name,
        "user_id": rights.user_id,
        "may_work": rights.may_work(lead.workspace_id),
        "may_manage": rights.may_manage(lead.workspace_id),
        "may_erase": rights.may_erase(lead.workspace_id),
        "timeline": talk,
        "first_unread": _first_unread(lead, talk),
        "several_numbers": len(surroundings.threads) > 1,
        **lead_panels.panels(lead, surroundings, term=request.GET.get("member", "").replace("\x00", "")),
    }


def _first_unread(lead: Contact, talk: Timeline) -> int | None:
    """Above which message the page says that what follows is new; nowhere if nobody has read anything yet."""
    if lead.read_at is None:
        return None
    unread = (entry.pk for entry in talk.entries if entry.is_theirs and entry.at > lead.read_at)
    return next(unread, None)


def _live_view(whole: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @require_safe
    def live(request: HttpRequest, pk: int) -> HttpResponse:
        if nothing := live_talk.has_no_news(request, pk):
            return nothing
        localise(request)
        return whole(request, pk)

    live.localises_itself = True  # type: ignore[attr-defined]  # that reads the user, which no news needs not
    return live


@require_safe
def newest_messages(request: HttpRequest, pk: int, *, admin: Admin) -> HttpResponse:  # noqa: ARG001 - as every view here
    """The newest messages as they are now, for a page that is open. Whoever works here has read them."""
    lead: Any = get_object_or_404(live_talk.with_cursor(_mine(request).living()), pk=pk)
    rights = rights_of(request)
    context = {
        "lead": lead,
        "timeline": timeline(lead),
        "may_manage": rights.may_manage(lead.workspace_id),
        "several_numbers": request.GET.get("numbers") == "several",
    }
    response = TemplateResponse(request, "contacts/lead/messages.html", context)
    response["X-Seen"] = lead.talk_cursor
    if rights.may_work(lead.workspace_id):
        work.mark_read(lead)
    return response


@require_safe
def older_messages(request: HttpRequest, pk: int, *, admin: Admin) -> HttpResponse:  # noqa: ARG001 - as every view here
    """The messages before those that the page shows, as a piece of it."""
    lead = _lead(request, pk)
    rights = rights_of(request)
    context = {
        "lead": lead,
        "timeline": timeline(lead, request.GET.get("before", "")),
        "may_manage": rights.may_manage(lead.workspace_id),
        "several_numbers": request.GET.get("numbers") == "several",
    }
    return TemplateResponse(request, "contacts/lead/messages.html", context)


@require_safe
def whole_message(request: HttpRequest, pk: int, message: int, *, admin: Admin) -> HttpResponse:  # noqa: ARG001
    """The whole text of a message that is too long for the lead's page."""
    row = get_object_or_404(Message, pk=message, contact=_lead(request, pk))
    text = "\n\n".join(filter(None, (row.content, row.transcript)))
    return HttpResponse(
        text, content_type="text/plain; charset=utf-8", headers={"X-Content-Type-Options": "nosniff"}
    )


@require_safe
def members(request: HttpRequest, pk: int, *, admin: Admin) -> HttpResponse:  # noqa: ARG001
    """Who may own the lead, by a part of their name: where they are too many for a list."""
    lead = _lead(request, pk)
    term = request.GET.get("member", "").replace("\x00", "").strip()[:100]
    context = {"members": members_like(lead.workspace_id, term), "term": term}
    return TemplateResponse(request, "contacts/lead/members.html", context)


@require_safe
def to_history(request: HttpRequest, pk: int, *, admin: Admin) -> HttpResponse:  # noqa: ARG001
    """Django's own history knows only what its own forms changed."""
    return HttpResponseRedirect(
        reverse("admin:contacts_contact_change", args=[_lead(request, pk).pk]) + "#history"
    )


def _mine(request: HttpRequest) -> Any:
    return Contact.objects.filter(rights_of(request).leads())


def _lead(request: HttpRequest, pk: int) -> Contact:
    """A living lead that the user sees; whatever else is not found."""
    lead: Contact = get_object_or_404(_mine(request).living(), pk=pk)
    return lead


def _to_survivor(request: HttpRequest, pk: int) -> HttpResponse:
    """An old link to a lead that was merged leads to where its messages are now, if the user may go there."""
    survivor = get_object_or_404(_mine(request).living(), merged=pk)
    return HttpResponseRedirect(reverse("admin:contacts_contact_change", args=[survivor.pk]))
