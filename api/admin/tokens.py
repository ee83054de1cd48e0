"""A user's own API tokens, and, for owners and superusers, those of the people they answer for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api import tokens
from api.models import Scope, Token
from contacts.admin.tenancy import allow, rights_of, user_of
from contacts.admin.unfolded import Select, TextInput
from contacts.models import Membership, Role

# A program has one token; who has more than these has lost sight of them.
MOST = 50
PER_PAGE = 50


class TokenForm(forms.Form):
    name = forms.CharField(
        label=pgettext_lazy("of a token", "Name"),
        max_length=100,
        widget=TextInput({"autocomplete": "off"}),
        help_text=gettext_lazy(
            "What it is for, so that you know it again: “Orders sheet”, “Data warehouse”."
        ),
    )
    scope = forms.ChoiceField(label=gettext_lazy("It may"), choices=Scope.choices, widget=Select())
    days = forms.TypedChoiceField(
        label=gettext_lazy("Good for"),
        coerce=int,
        initial=90,
        choices=[
            (30, gettext_lazy("30 days")),
            (90, gettext_lazy("90 days")),
            (365, gettext_lazy("One year")),
            (0, gettext_lazy("Ever, until it is revoked")),
        ],
        widget=Select(),
    )

    def __init__(self, user: User, *args: Any) -> None:
        super().__init__(*args)
        self.user = user

    def clean(self) -> dict[str, Any]:
        if _living().filter(user=self.user).count() >= MOST:
            raise forms.ValidationError(
                _("You have %(most)s tokens. Revoke one that is not needed.") % {"most": MOST}
            )
        return self.cleaned_data

    def issue(self) -> tuple[Token, str] | None:
        """The new token and its text; None where there is one of that name, which the form then says."""
        asked, days = self.cleaned_data, self.cleaned_data["days"]
        expires_at = timezone.now() + timedelta(days=days) if days else None
        try:
            with transaction.atomic():
                return tokens.issue(self.user, asked["name"], scope=asked["scope"], expires_at=expires_at)
        except IntegrityError:  # the page that shows a new one was loaded anew, or a name was taken twice
            self.add_error("name", _("You have a token of this name already."))
            return None


@never_cache
@require_http_methods(["GET", "POST"])
def own_tokens(request: HttpRequest) -> HttpResponse:
    """A new one is shown in the answer to its form and nowhere else: so it stands in no session and no message."""
    user = user_of(request)
    form = TokenForm(user, request.POST if request.method == "POST" else None)
    made = form.issue() if form.is_valid() else None
    if made:
        form = TokenForm(user)
    context = {
        "tokens": _living().filter(user=user)[:MOST],
        "form": form,
        "made": made and {"name": made[0].name, "text": made[1]},
        "has_team": bool(_teams(request)) or user.is_superuser,
        "address": request.build_absolute_uri("/api/v1/"),
    }
    return _page(request, "tokens", _("API tokens"), context)


@require_GET
def team_tokens(request: HttpRequest) -> HttpResponse:
    allow(bool(_teams(request)) or user_of(request).is_superuser)
    pages = Paginator(_of_team(request), PER_PAGE)
    return _page(
        request, "team_tokens", _("API tokens of the team"), {"tokens": pages.get_page(request.GET.get("p"))}
    )


@require_http_methods(["GET", "POST"])
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks first. Of somebody else it is for those who answer for them; others do not find it."""
    user = user_of(request)
    theirs = _of_team(request).values("pk")
    token = get_object_or_404(_living().filter(Q(user=user) | Q(pk__in=theirs)), pk=pk)
    back = reverse("api-tokens" if token.user_id == user.pk else "api-tokens-of-team")
    if request.method == "POST":
        tokens.revoke(token)
        messages.success(
            request, _("“%(name)s” was revoked: it opens nothing any more.") % {"name": token.name}
        )
        return HttpResponseRedirect(back)
    title = _("Revoke “%(name)s”?") % {"name": token.name}
    return _page(
        request, "revoke_token", title, {"token": token, "back": back, "is_mine": token.user_id == user.pk}
    )


def _living() -> QuerySet[Token]:
    """Also those that have expired: somebody may wonder why their program stopped."""
    return Token.objects.filter(revoked_at=None).select_related("user").order_by("name", "pk")


def _teams(request: HttpRequest) -> list[int]:
    return rights_of(request).where(Role.OWNER)


def _of_team(request: HttpRequest) -> QuerySet[Token]:
    """Those of the members of the user's own workspaces, but not of superusers; for superusers, everybody's."""
    others = _living().exclude(user=user_of(request)).order_by("user__username", "name", "pk")
    if user_of(request).is_superuser:
        return others
    members = Membership.objects.filter(workspace__in=_teams(request)).values("user")
    return others.filter(user__in=members, user__is_superuser=False)


def _page(request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
    known = admin.site.each_context(request) | {"title": title, "now": timezone.now()}
    return TemplateResponse(request, f"api/{template}.html", known | context)


def token_urls() -> list[URLPattern]:
    view = admin.site.admin_view
    return [
        path("tokens/", view(own_tokens), name="api-tokens"),
        path("tokens/team/", view(team_tokens), name="api-tokens-of-team"),
        path("tokens/<int:pk>/revoke/", view(revoke), name="api-token-revoke"),
    ]
