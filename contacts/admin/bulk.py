"""Changing many leads at once: what would become of them, doing it, and the page of a change with its undo.

The list sends its checkboxes (`lead`), or `all` for everything that its own address shows, and what to do. A preview
is signed: what is confirmed is what was shown, to whom it was shown, within the hour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import User
from django.core import signing
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from contacts import bulk, showing
from contacts.admin.tenancy import rights_of, user_of
from contacts.admin.working import LIST, busy, owner_named
from contacts.bulk_actions import (
    ACTIONS,
    Action,
    AssignAll,
    FollowUpAll,
    MoveAll,
    SnoozeAll,
    Step,
    TagAll,
    UntagAll,
    action_from,
)
from contacts.changing import Refused, is_busy, line
from contacts.later import LONGEST_REMARK
from contacts.models import BulkChange, Contact, LeadStatus
from contacts.when import as_json, local_text, moment
from contacts.work import LONGEST_REASON, clean_tags, may_own

Admin: TypeAlias = "ModelAdmin[Contact]"

SALT = "leadcrm.bulk"
HOUR = 3600
NAMED = 8
LISTED = 100


def urls(leads: Admin) -> list[URLPattern]:
    view = leads.admin_site.admin_view
    return [
        path("bulk/", view(partial(change, admin=leads)), name="contacts_contact_bulk"),
        path("bulk/<int:pk>/undo/", view(partial(undo, admin=leads)), name="contacts_contact_bulk_undo"),
    ]


def shown_with(request: HttpRequest) -> dict[str, Any]:
    """What the bar below a list of leads needs (contacts/bulk_bar.html), without a query; a viewer sees no bar."""
    rights = rights_of(request)
    return {"has_bulk": any(map(rights.may_work, rights.workspaces)), "statuses": LeadStatus.choices}


@require_http_methods(["GET", "POST"])
def change(request: HttpRequest, *, admin: Admin) -> HttpResponse:
    """The preview, and doing it once that is confirmed."""
    if request.method == "POST" and "plan" in request.POST:
        return _confirmed(request)
    chosen = _chosen(request, admin) if request.method == "POST" else []
    if not chosen:
        messages.warning(request, _("Choose leads on the list first."))
        return HttpResponseRedirect(_back(request))
    due = local_text(request.POST.get("due", ""))
    context: dict[str, Any] = {"chosen": chosen, "form": request.POST, "due": due, "error": ""}
    try:
        action = action_of(request.POST, user_of(request))
        made = bulk.plan(action, chosen, rights=rights_of(request))
    except Refused as refusal:
        context["error"] = str(refusal) if request.POST.get("do") in ACTIONS else _("Choose what to do.")
        return _page(request, admin, "bulk_preview", _("Change many leads"), **context, **_choices(request))
    return _page(
        request,
        admin,
        "bulk_preview",
        action.words(),
        **context,
        **_choices(request),
        **_shown(request, made),
    )


def _confirmed(request: HttpRequest) -> HttpResponse:
    by = user_of(request)
    try:
        told = signing.loads(request.POST["plan"], salt=SALT, max_age=HOUR)
        if told["by"] != by.pk:
            raise signing.BadSignature
        seen = {int(lead): before for lead, before in told["seen"].items()}
        made, plan = bulk.apply(action_from(told["action"]), seen, by=by, rights=rights_of(request))
    except signing.BadSignature:
        messages.error(request, _("This preview is too old. Nothing was changed: choose the leads again."))
    except OperationalError as error:
        if not is_busy(error):
            raise
        messages.error(request, busy())
    else:
        for one in made:
            messages.success(request, _done(request, plan.action, one))
        for why, leads in plan.refused.items():
            messages.warning(request, f"{why}: {_names(leads)}. {_('Left as it is.')}")
        if not made and not plan.refused:
            gone = _("These leads are no longer here. Nothing was changed.")
            messages.warning(request, _("These leads have it already.") if plan.same else gone)
    return HttpResponseRedirect(_back(request))


def _done(request: HttpRequest, action: Action, made: BulkChange) -> str:
    """With the undo at hand."""
    count = ngettext("%(count)s lead changed", "%(count)s leads changed", made.leads) % {"count": made.leads}
    return format_html(
        '<form method="post" action="{}" class="bulk-done"><span><b>{}.</b> <bdi>{}</bdi></span>'
        '<input type="hidden" name="csrfmiddlewaretoken" value="{}"><input type="hidden" name="next" value="{}">'
        '<button class="push" type="submit">{}</button></form>',
        reverse("admin:contacts_contact_bulk_undo", args=[made.pk]),
        count,
        action.words(),
        get_token(request),
        request.META["QUERY_STRING"],
        _("Undo (for 10 minutes)"),
    )


# What was asked for


def _chosen(request: HttpRequest, admin: Admin) -> list[int]:
    """At most as many as one change takes; of all that the list shows, the first."""
    if request.POST.get("all"):
        try:
            listed = admin.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return []
        return list(listed.values_list("pk", flat=True)[: bulk.MOST])
    named = [*request.POST.getlist("lead"), *request.POST.get("leads", "").split(",")]
    known = (int(pk) for pk in named if pk.isascii() and pk.isdecimal() and len(pk) < 19)
    return list(dict.fromkeys(known))[: bulk.MOST]


def action_of(form: QueryDict, by: User) -> Action:
    """What the form says is to be done. Raises `Refused` where it says too little, or what cannot be."""
    read = READERS.get(form.get("do", ""))
    if read is None:
        raise Refused(_("Choose what to do."))
    return read(form, by)


def _status(form: QueryDict, _by: User) -> Action:
    to = form.get("to", "")
    if to not in LeadStatus.values:
        raise Refused(_("Choose a status."))
    return MoveAll(to, line(form.get("reason", ""), LONGEST_REASON))


def _assign(form: QueryDict, by: User) -> Action:
    named = form.get("owner", "")
    if not named:
        raise Refused(_("Choose the owner."))
    owner = None if named == "nobody" else owner_named(named, by)
    return AssignAll(owner.pk if owner else None, line(form.get("reason", ""), LONGEST_REASON))


def _tag(form: QueryDict, _by: User) -> Action:
    return TagAll(clean_tags([form.get("name", "")]))


def _untag(form: QueryDict, _by: User) -> Action:
    return UntagAll(clean_tags([form.get("name", "")]))


def _follow_up(form: QueryDict, _by: User) -> Action:
    return FollowUpAll(as_json(moment(_when(form))) or "", line(form.get("remark", ""), LONGEST_REMARK))


def _snooze(form: QueryDict, _by: User) -> Action:
    return SnoozeAll(as_json(moment(_when(form))) or "")


def _when(form: QueryDict) -> str:
    """A step of the menu, or else the date beside it."""
    return form.get("step") or form.get("due") or form.get("until") or ""


READERS: dict[str, Callable[[QueryDict, User], Action]] = {
    "status": _status,
    "assign": _assign,
    "tag": _tag,
    "untag": _untag,
    "follow-up": _follow_up,
    "snooze": _snooze,
}


# What the pages show


def _shown(request: HttpRequest, made: bulk.Plan) -> dict[str, Any]:
    told = {"action": made.action.as_json(), "seen": made.seen, "by": user_of(request).pk}
    return {
        "planned": made,
        "count": len(made.steps),
        "moves": _moves(made.action, made.steps),
        "examples": _names([step.lead for step in made.steps]),
        "same": _names(made.same),
        "refused": [(why, len(leads), _names(leads)) for why, leads in made.refused.items()],
        "plan": signing.dumps(told, salt=SALT, compress=True),
    }


def _moves(action: Action, steps: Iterable[Step]) -> list[tuple[str, str, int]]:
    """How many go from what to what, the most first."""
    counted = Counter((action.shown(step.before), action.shown(step.after)) for step in steps)
    return [(before, after, count) for (before, after), count in counted.most_common(LISTED)]


def _names(leads: Sequence[Contact]) -> str:
    """Isolated from each other: a name may hold whatever turns the writing around."""
    named = ", ".join(f"\u2068{showing.name_of(lead)[:60]}\u2069" for lead in leads[:NAMED])
    more = len(leads) - NAMED
    if more <= 0:
        return named
    return ngettext("%(names)s and %(more)s more", "%(names)s and %(more)s more", more) % {
        "names": named,
        "more": more,
    }


def _choices(request: HttpRequest) -> dict[str, Any]:
    """What the form of the preview offers."""
    rights = rights_of(request)
    members = may_own([pk for pk in rights.workspaces if rights.may_work(pk)]).select_related("user")
    people = {member.user.pk: member.user for member in members.order_by("user__username")[:LISTED]}
    return {
        "statuses": LeadStatus.choices,
        "people": [(pk, user.get_full_name() or user.get_username()) for pk, user in people.items()],
    }


# Taking it back


@require_http_methods(["GET", "POST"])
def undo(request: HttpRequest, pk: int, *, admin: Admin) -> HttpResponse:
    """What the change was, and its undo."""
    rights, by = rights_of(request), user_of(request)
    made = get_object_or_404(bulk.seen_by(by, rights).select_related("by", "workspace"), pk=pk)
    if made.action["do"] not in ACTIONS:  # an import: it has a page of its own
        return HttpResponseRedirect(reverse("admin:contacts_contact_import", args=[made.action["import"]]))
    if request.method == "POST":
        return _taken_back(request, made)
    return _page(
        request,
        admin,
        "bulk_change",
        action_from(made.action).words(),
        made=made,
        until=bulk.undo_until(made),
        why_not=bulk.why_not_undo(made, by=by, rights=rights),
        leads=bulk.leads_of(made).filter(rights.leads(), merged_into=None)[:LISTED],
    )


def _taken_back(request: HttpRequest, made: BulkChange) -> HttpResponse:
    try:
        undone = bulk.undo(made, by=user_of(request), rights=rights_of(request))
    except Refused as refusal:
        messages.error(request, f"{refusal}")
    except OperationalError as error:
        if not is_busy(error):
            raise
        messages.error(request, busy())
    else:
        count = len(undone.returned)
        text = ngettext("%(count)s lead is as it was.", "%(count)s leads are as they were.", count)
        messages.success(request, text % {"count": count})
        if undone.left:
            left = ngettext(
                "%(count)s lead was changed since and left alone.",
                "%(count)s leads were changed since and left alone.",
                undone.left,
            )
            messages.warning(request, left % {"count": undone.left})
    query = request.POST.get("next")
    if query is None:
        return HttpResponseRedirect(request.path)
    return HttpResponseRedirect(f"{reverse(LIST)}?{query}" if query else reverse(LIST))


def _back(request: HttpRequest) -> str:
    query = request.META["QUERY_STRING"]
    return f"{reverse(LIST)}?{query}" if query else reverse(LIST)


def _page(request: HttpRequest, admin: Admin, template: str, title: str, **context: Any) -> HttpResponse:
    known = admin.admin_site.each_context(request) | {"opts": admin.opts, "title": title}
    known |= {"back": _back(request), "here": request.get_full_path()}
    return TemplateResponse(request, f"contacts/{template}.html", known | context)
