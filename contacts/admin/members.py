"""Who works in a workspace: their roles, who goes, who is invited. For its owners."""

from __future__ import annotations

from collections.abc import Iterable

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from contacts import inviting
from contacts.admin.owning import back, below, owned, page
from contacts.admin.reassigning import HeirField
from contacts.admin.tenancy import allow, rights_of, user_of
from contacts.admin.unfolded import EmailInput, Select
from contacts.arranging import MOST_COUNTED, leads_with
from contacts.mailing import mail
from contacts.members import MemberRefused, name_of, owners_for, remove, set_role
from contacts.models import Invitation, Membership, Role, Workspace

PER_PAGE = 50
MOST_OPEN = 100


class InvitationForm(forms.Form):
    email = forms.EmailField(
        label=gettext_lazy("E-mail"), max_length=254, widget=EmailInput({"autocomplete": "off"})
    )
    role = forms.ChoiceField(
        label=gettext_lazy("Role"), choices=Role.choices, initial=Role.AGENT, widget=Select()
    )


@require_GET
def members(request: HttpRequest, pk: int) -> HttpResponse:
    return _members(request, owned(request, pk), InvitationForm())


def _members(request: HttpRequest, workspace: Workspace, form: InvitationForm) -> HttpResponse:
    people = Membership.objects.filter(workspace=workspace).select_related("user")
    pages = Paginator(people.order_by("user__first_name", "user__username"), PER_PAGE)
    shown = pages.get_page(request.GET.get("p"))
    context = {
        "members": shown,
        "roles": Role.choices,
        "beyond": _beyond(request, shown.object_list),
        "form": form,
        "invitations": inviting.open_invitations(workspace)[:MOST_OPEN],
        "can_mail": settings.CAN_MAIL,
    }
    return page(request, workspace, "members", _("Members"), **context)


def _beyond(request: HttpRequest, members: Iterable[Membership]) -> set[int]:
    """Those for whom nobody but a superuser makes a link to a new password, as `may_reset` has it."""
    if user_of(request).is_superuser:
        return set()
    users = {member.user_id: member.user for member in members}
    elsewhere = Membership.objects.filter(user__in=users).exclude(
        workspace__in=rights_of(request).where(Role.OWNER)
    )
    found = set(elsewhere.values_list("user", flat=True))
    return found | {pk for pk, user in users.items() if user.is_superuser or not user.is_active}


@require_POST
def member(request: HttpRequest, pk: int, member_id: int) -> HttpResponse:
    """Another role, or whether they get leads in turn."""
    workspace = owned(request, pk)
    known = get_object_or_404(Membership.objects.select_related("user"), workspace=workspace, pk=member_id)
    role = request.POST.get("role", "")
    try:
        if role not in Role.values:
            raise MemberRefused(_("There is no such role."))
        set_role(known, role, takes_leads="takes_leads" in request.POST)
    except MemberRefused as refusal:
        messages.error(request, str(refusal))
    else:
        said = {"name": name_of(known.user), "role": Role(role).label}
        messages.success(request, _("Saved: %(name)s, %(role)s.") % said)
    return _back_or_home(request, workspace, known)


@require_http_methods(["GET", "POST"])
def member_remove(request: HttpRequest, pk: int, member_id: int) -> HttpResponse:
    """Says how many leads they own, and asks whose they become."""
    workspace = owned(request, pk)
    known = get_object_or_404(
        Membership.objects.select_related("user", "workspace"), workspace=workspace, pk=member_id
    )
    form = _RemovalForm(request.POST if request.method == "POST" else None)
    form.fields["heir"].offer(owners_for(workspace).exclude(pk=known.user_id))  # type: ignore[attr-defined]
    count = leads_with(workspace.pk, owner=known.user)
    form.fields["heir"].required = count > 0
    if form.is_valid():
        return _remove(request, known, form.cleaned_data["heir"])
    title = _("Remove %(name)s?") % {"name": name_of(known.user)}
    context = {"member": known, "count": count, "most": MOST_COUNTED}
    return page(request, workspace, "remove", title, form=form, **context)


class _RemovalForm(forms.Form):
    heir = HeirField()


def _remove(request: HttpRequest, known: Membership, heir: User | None) -> HttpResponse:
    workspace = known.workspace
    try:
        moved = remove(known, to=heir, by=user_of(request))
    except MemberRefused as refusal:
        messages.error(request, str(refusal))
        return back("members", workspace)
    said = ngettext("%(name)s was removed; %(count)s lead changed hands.", "%(name)s was removed; %(count)s leads changed hands.", moved)  # fmt: skip
    messages.success(request, said % {"name": name_of(known.user), "count": moved})
    return _back_or_home(request, workspace, known)


def _back_or_home(request: HttpRequest, workspace: Workspace, changed: Membership) -> HttpResponse:
    """Whoever took their own rights would find a closed door here."""
    is_mine = changed.user_id == user_of(request).pk and not user_of(request).is_superuser
    still = Membership.objects.filter(workspace=workspace, user=user_of(request), role=Role.OWNER)
    if is_mine and not still.exists():
        return HttpResponseRedirect(reverse("admin:index"))
    return back("members", workspace)


@never_cache
@require_POST
def reset_link(request: HttpRequest, pk: int, member_id: int) -> HttpResponse:
    """For somebody who forgot their password, where no e-mail can be sent. It opens all of their workspaces."""
    workspace = owned(request, pk)
    known = get_object_or_404(Membership.objects.select_related("user"), workspace=workspace, pk=member_id)
    allow(may_reset(request, known.user))
    uid = urlsafe_base64_encode(force_bytes(known.user_id))
    token = default_token_generator.make_token(known.user)
    link = settings.SITE_URL + reverse("password_reset_confirm", args=[uid, token])
    context = {"link": link, "name": name_of(known.user), "hours": settings.PASSWORD_RESET_TIMEOUT // 3600}
    return page(request, workspace, "reset_link", _("A link to a new password"), **context)


def may_reset(request: HttpRequest, user: User) -> bool:
    """Never of somebody who may do more than oneself: a superuser, or a member of a workspace that one does not own."""
    if user_of(request).is_superuser:
        return user.is_active
    theirs = set(Membership.objects.filter(user=user).values_list("workspace", flat=True))
    return user.is_active and not user.is_superuser and theirs <= set(rights_of(request).where(Role.OWNER))


@never_cache
@require_POST
def invite(request: HttpRequest, pk: int) -> HttpResponse:
    workspace = owned(request, pk)
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return _members(request, workspace, form)
    return _invite(request, workspace, form.cleaned_data["email"], form.cleaned_data["role"])


@never_cache
@require_POST
def invite_again(request: HttpRequest, pk: int, invitation_id: int) -> HttpResponse:
    """A new link, good for another seven days; the former one is void."""
    workspace = owned(request, pk)
    former = get_object_or_404(inviting.open_invitations(workspace), pk=invitation_id)
    return _invite(request, workspace, former.email, former.role)


def _invite(request: HttpRequest, workspace: Workspace, email: str, role: str) -> HttpResponse:
    try:
        made, secret = inviting.invite(workspace, email, role, by=user_of(request))
    except MemberRefused as refusal:
        messages.error(request, str(refusal))
        return back("members", workspace)
    link = settings.SITE_URL + reverse("join", args=[secret])
    context = {"invitation": made, "link": link, "workspace": workspace, "by": name_of(user_of(request))}
    subject = _("Join %(workspace)s") % {"workspace": workspace}
    was_sent = mail(
        email, subject=subject, text=render_to_string("contacts/workspace/invitation.txt", context)
    )
    return page(request, workspace, "invited", _("Invited"), invitation=made, link=link, was_sent=was_sent)


@require_POST
def invitation_revoke(request: HttpRequest, pk: int, invitation_id: int) -> HttpResponse:
    workspace = owned(request, pk)
    get_object_or_404(Invitation, workspace=workspace, accepted_at=None, pk=invitation_id).delete()
    messages.success(request, _("The invitation was taken back: its link is void."))
    return back("members", workspace)


PAGES = below(
    {
        "members": ("members/", members),
        "member": ("members/<int:member_id>/", member),
        "member_remove": ("members/<int:member_id>/remove/", member_remove),
        "reset_link": ("members/<int:member_id>/reset-link/", reset_link),
        "invite": ("invitations/", invite),
        "invite_again": ("invitations/<int:invitation_id>/again/", invite_again),
        "invitation_revoke": ("invitations/<int:invitation_id>/revoke/", invitation_revoke),
    }
)
