"""What the link of an invitation opens: a new account, or one that there is already, joins a workspace."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.auth import login
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from contacts.admin.unfolded import PasswordInput, TextInput
from contacts.inviting import accept, invitation_of
from contacts.models import Invitation

BACKEND = "leadcrm.accounts.Backend"


class AccountForm(BaseUserCreationForm):  # type: ignore[type-arg]
    """A user is who the invitation was sent to; they choose their name and password."""

    class Meta:
        model = User
        fields = ("username", "first_name", "last_name")

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, instance=User(email=email, is_staff=True), **kwargs)
        self.initial["username"] = email[:150]
        self.fields["username"].help_text = gettext_lazy("With it you log in. You may choose another one.")
        for name in ("username", "first_name", "last_name"):
            self.fields[name].widget = TextInput(self.fields[name].widget.attrs)
        for name in ("password1", "password2"):
            self.fields[name].widget = PasswordInput({"autocomplete": "new-password"})

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        if User.objects.filter(username__iexact=name).exists():
            self.add_error("username", _("Somebody has this username already. If it is you, log in first."))
        return name


class TooLate(Exception):  # noqa: N818 - nothing is broken
    """The link was used, or taken back, while its page was open."""


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def join(request: HttpRequest, secret: str) -> HttpResponse:
    invitation = invitation_of(secret)
    if invitation is None:
        return _page(request, "void", _("This invitation is not valid any more"), status=410)
    try:
        view = _join_as_known if request.user.is_authenticated else _join_anew
        return view(request, invitation)
    except TooLate:
        return _page(request, "void", _("This invitation is not valid any more"), status=410)


def _join_as_known(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    """Whoever is logged in as somebody else than the invitation names is told so first: nobody joins by a slip."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - tells mypy
    if request.method == "POST":
        return _welcome(request, invitation, user)
    is_another = user.email.lower() != invitation.email.lower()
    return _page(request, "known", _title(invitation), invitation=invitation, is_another=is_another)


def _join_anew(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    email = invitation.email
    if User.objects.filter(Q(email__iexact=email) | Q(username__iexact=email)).exists():
        return _page(
            request, "log_in", _title(invitation), invitation=invitation, login_address=_login(request)
        )
    form = AccountForm(request.POST or None, email=email)
    if form.is_valid() and (user := _made(form, invitation)):
        login(request, user, backend=BACKEND)
        return _welcomed(request, invitation)
    told: dict[str, Any] = {"invitation": invitation, "login_address": _login(request)}
    return _page(request, "new", _title(invitation), form=form, **told)


def _made(form: AccountForm, invitation: Invitation) -> User | None:
    """The account exists only together with what it was invited to."""
    try:
        with transaction.atomic():
            user: User = form.save()
            _accept(invitation, user)
    except IntegrityError:  # somebody has just taken the name
        form.add_error("username", _("Somebody has this username already."))
        return None
    return user


def _welcome(request: HttpRequest, invitation: Invitation, user: User) -> HttpResponse:
    _accept(invitation, user)
    return _welcomed(request, invitation)


def _accept(invitation: Invitation, user: User) -> None:
    if not accept(invitation, user):
        raise TooLate


def _welcomed(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    messages.success(request, _("Welcome to %(workspace)s.") % {"workspace": invitation.workspace})
    return HttpResponseRedirect(reverse("admin:index"))


def _login(request: HttpRequest) -> str:
    return f"{reverse('admin:login')}?{urlencode({'next': request.path})}"


def _title(invitation: Invitation) -> str:
    return _("Join %(workspace)s") % {"workspace": invitation.workspace}


def _page(request: HttpRequest, name: str, title: str, *, status: int = 200, **context: Any) -> HttpResponse:
    known = admin.site.each_context(request) | {"title": title} | context
    return TemplateResponse(request, f"registration/join_{name}.html", known, status=status)
