"""The address to which a lead's page and the list send what people do: `<lead>/do/<what>/`, POST only.

A form gets back to where it came from (`next`, or the lead's page) with a message; a script gets JSON. A change that
is refused is 422, one that somebody else was faster with 409, and nothing was changed. Who may not see the lead gets
404, who may only look 403.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from contacts import work
from contacts.admin.tenancy import MemberAdmin, rights_of, user_of
from contacts.changing import is_busy
from contacts.models import Contact, LeadStatus, Note, TransitionRefused
from contacts.when import moment
from contacts.work import Refused, Stale

Do = Callable[[Contact, QueryDict, User], str]

LIST = "admin:contacts_contact_changelist"
DENIED, CONFLICT, UNPROCESSABLE = 403, 409, 422


def urls(leads: MemberAdmin) -> list[URLPattern]:
    """Below those of the leads."""
    view = leads.admin_site.admin_view(change)
    return [path("<int:lead_id>/do/<slug:what>/", view, name="contacts_contact_do")]


@require_POST
def change(request: HttpRequest, lead_id: int, what: str) -> HttpResponse:
    if what not in WHAT:
        raise Http404
    try:
        with transaction.atomic():
            lead = _lead(request, lead_id)
            said = WHAT[what](lead, request.POST, user_of(request))
    except (Refused, TransitionRefused) as refusal:
        return _refuse(
            request, lead_id, str(refusal), CONFLICT if isinstance(refusal, Stale) else UNPROCESSABLE
        )
    except PermissionDenied as denial:
        if not wants_json(request):
            raise
        return JsonResponse({"error": str(denial)}, status=DENIED)
    except OperationalError as error:
        if not is_busy(error):
            raise
        return _refuse(request, lead_id, busy(), CONFLICT)
    if wants_json(request):
        return JsonResponse({"message": said})
    messages.success(request, said)
    return HttpResponseRedirect(_next(request, lead_id, sees=rights_of(request).sees(lead)))


def _lead(request: HttpRequest, lead_id: int) -> Contact:
    """A lead that the user works, locked: whoever sees only some leads keeps it until the change is made."""
    rights = rights_of(request)
    mine = Contact.objects.filter(rights.leads()).select_for_update(no_key=True, of=("self",))
    lead: Contact = get_object_or_404(mine, pk=lead_id)
    if not rights.may_work(lead.workspace_id):
        raise PermissionDenied(_("You may look at these leads, not change them."))
    return lead


def _refuse(request: HttpRequest, lead_id: int, why: str, status: int) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({"error": why}, status=status)
    messages.error(request, why)
    return HttpResponseRedirect(_next(request, lead_id))


def wants_json(request: HttpRequest) -> bool:
    return "HX-Request" in request.headers or request.headers.get("Accept", "").startswith("application/json")


def busy() -> str:
    return _("Messages are just coming in here. Nothing was changed. Please try again.")


def _next(request: HttpRequest, lead_id: int, *, sees: bool = True) -> str:
    page = reverse("admin:contacts_contact_change", args=[lead_id])
    asked = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(asked, {request.get_host()}, require_https=request.is_secure()):
        asked = page
    if not sees and asked.startswith(page):  # they gave it to somebody else
        return reverse(LIST)
    return asked


# What there is to do: each makes the change and says so


def _status(lead: Contact, form: QueryDict, by: User) -> str:
    made = work.move(lead, form.get("to", ""), by=by, reason=form.get("reason", ""), seen=form.get("seen"))
    return _("Status: %(status)s.") % {"status": LeadStatus(made.to_status).label}


def _reengage(lead: Contact, form: QueryDict, by: User) -> str:
    work.reengage(lead, by=by, reason=form.get("reason", ""), seen=form.get("seen"))
    return _("The lead is new again.")


def _assign(lead: Contact, form: QueryDict, by: User) -> str:
    owner = owner_named(form.get("owner", ""), by)
    change = work.assign(lead, owner, by=by, reason=form.get("reason", ""), seen=form.get("seen"))
    if owner is None:
        return _("The lead is nobody's now.") if change else _("The lead was nobody's already.")
    if owner == by:
        return _("The lead is yours now.") if change else _("The lead is yours already.")
    name = owner.get_full_name() or owner.get_username()
    return _("The lead is %(name)s's now.") % {"name": name}


def owner_named(text: str, by: User) -> User | None:
    """`me`, a user's id, or nobody where nothing is said. Raises `Refused`."""
    text = text.strip()
    if text in ("", "me"):
        return by if text else None
    known = text.isascii() and text.isdecimal() and len(text) < 19
    owner = User.objects.filter(pk=int(text)).first() if known else None
    if owner is None:
        raise Refused(_("There is no such person."))
    return owner


def _tag(lead: Contact, form: QueryDict, by: User) -> str:
    made = work.add_tags(lead, form.getlist("name"), by=by)
    return _("Tag added.") if made else _("The lead has this tag already.")


def _untag(lead: Contact, form: QueryDict, by: User) -> str:
    made = work.remove_tags(lead, form.getlist("name"), by=by)
    return _("Tag removed.") if made else _("The lead has no such tag any more.")


def _field(lead: Contact, form: QueryDict, by: User) -> str:
    made = work.set_field(lead, form.get("name", ""), form.get("value", ""), by=by, seen=form.get("seen"))
    return _("Saved.") if made else _("Nothing to change.")


def _note(lead: Contact, form: QueryDict, by: User) -> str:
    work.add_note(lead, form.get("text", ""), by=by)
    return _("Note added.")


def _note_edit(lead: Contact, form: QueryDict, by: User) -> str:
    work.edit_note(_note_of(lead, form), form.get("text", ""), by=by, seen=form.get("seen"))
    return _("Note changed.")


def _note_delete(lead: Contact, form: QueryDict, by: User) -> str:
    work.delete_note(_note_of(lead, form), by=by)
    return _("Note deleted.")


def _note_of(lead: Contact, form: QueryDict) -> Note:
    """One of the lead's, or of what was merged into it."""
    pk = form.get("note", "")
    note: Note | None = None
    if pk.isascii() and pk.isdecimal() and len(pk) < 19:
        note = Note.objects.of(lead).filter(pk=int(pk)).first()
    if note is None:
        raise Refused(_("This note is no longer here."))
    return note


def _follow_up(lead: Contact, form: QueryDict, by: User) -> str:
    planned = work.plan_follow_up(
        lead, moment(form.get("due", "")), form.get("remark", ""), by=by, seen=form.get("seen")
    )
    return _("Follow-up planned for %(when)s.") % {"when": shown_time(planned.due_at)}


def _follow_up_done(lead: Contact, form: QueryDict, by: User) -> str:
    work.finish_follow_up(lead, by=by, seen=form.get("seen"))
    return _("Follow-up done.")


def _snooze(lead: Contact, form: QueryDict, by: User) -> str:
    until = moment(form.get("until", ""))
    work.snooze(lead, until, by=by, seen=form.get("seen"))
    told = {"when": shown_time(until)}
    return _("Put aside until %(when)s, or until the customer writes.") % told


def _wake(lead: Contact, form: QueryDict, by: User) -> str:
    made = work.wake(lead, by=by, seen=form.get("seen"))
    return _("Taken up again.") if made else _("The lead was not put aside any more.")


def _handoff_clear(lead: Contact, _form: QueryDict, by: User) -> str:
    made = work.clear_handoff(lead, by=by)
    return _("Taken care of.") if made else _("No automation asks for a human any more.")


def shown_time(at: datetime) -> str:
    return date_format(timezone.localtime(at), "j M Y, H:i")


WHAT: dict[str, Do] = {
    "status": _status,
    "reengage": _reengage,
    "assign": _assign,
    "tag": _tag,
    "untag": _untag,
    "field": _field,
    "note": _note,
    "note-edit": _note_edit,
    "note-delete": _note_delete,
    "follow-up": _follow_up,
    "follow-up-done": _follow_up_done,
    "snooze": _snooze,
    "wake": _wake,
    "handoff-clear": _handoff_clear,
}
