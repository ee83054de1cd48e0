"""How somebody comes in: the user with what they prefer, a forgotten password, a link that sets a new one."""

from __future__ import annotations

from typing import Any

from axes.utils import reset
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import views
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _


class Backend(ModelBackend):
    """Users come together with their preferences: each page of each request wants to know them (contacts.localising)."""

    def get_user(self, user_id: int) -> User | None:
        user = User.objects.select_related("preferences").filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None


class InOurLook(views.PasswordContextMixin):
    """A page for somebody who is not logged in, in the frame of the login."""

    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return admin.site.each_context(self.request) | context | {"title": context["title"]}


class ForgottenPassword(InOurLook, views.PasswordResetView):
    """Where no e-mail is configured it says whom to ask. It never says whether there is such a user."""

    template_name = "registration/forgotten_password.html"
    email_template_name = "registration/forgotten_password.txt"
    subject_template_name = "registration/forgotten_password_subject.txt"
    success_url = reverse_lazy("password_reset_done")
    title = _("Forgotten password")
    # Not the host that the request names: whoever asks may name any.
    extra_email_context = {"site_url": settings.SITE_URL}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"can_mail": settings.CAN_MAIL}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().post(request, *args, **kwargs) if settings.CAN_MAIL else self.get(request)


class Mailed(InOurLook, views.PasswordResetDoneView):
    template_name = "registration/forgotten_password_mailed.html"
    title = _("Look into your mailbox")


class NewPassword(InOurLook, views.PasswordResetConfirmView):
    template_name = "registration/new_password.html"
    success_url = reverse_lazy("password_reset_complete")
    title = _("Choose a new password")

    def form_valid(self, form: Any) -> HttpResponse:
        """Whoever proved in this way who they are need not wait until they may try again."""
        answer = super().form_valid(form)
        reset(username=form.user.get_username())
        return answer


class PasswordSet(InOurLook, views.PasswordResetCompleteView):
    template_name = "registration/password_set.html"
    title = _("Your password is set")
