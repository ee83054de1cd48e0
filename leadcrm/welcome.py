"""The first steps of an installation, page by page, for its superusers: leadcrm.onboarding knows how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from contacts.admin.notifications import bell
from contacts.admin.tenancy import user_of, workspaces_of
from contacts.models import PhoneNumber, Workspace
from kapso_sync.afterwards import ask_for_retries
from kapso_sync.models import WebhookDelivery
from leadcrm import onboarding
from leadcrm.welcome_forms import NumberForm, SecretForm, WorkspaceForm, generated

get_or_post = require_http_methods(["GET", "POST"])


def welcome_urls() -> list[URLPattern]:
    def page(end: str, view: Callable[..., HttpResponseBase], name: str) -> URLPattern:
        return path(f"welcome/{end}", admin.site.admin_view(never_cache(_for_superusers(view))), name=name)

    return [
        page("", welcome, "welcome"),
        page("workspace/", workspace_step, "welcome-workspace"),
        page("number/", number_step, "welcome-number"),
        page("<int:number_id>/webhook/", webhook_step, "welcome-webhook"),
        page("<int:number_id>/waiting/", waiting_step, "welcome-waiting"),
        page("<int:number_id>/waiting/heard/", heard_yet, "welcome-heard"),
    ]


def every_page(request: HttpRequest) -> dict[str, Any]:
    """For every page of the admin (UNFOLD, GLOBAL_CALLBACK). What is asked for it is asked where it is drawn."""
    return bell(request) | {"checklist": lambda: _checklist(request)}


def _checklist(request: HttpRequest) -> dict[str, Any]:
    """For the start page: nothing once the first event was heard, and nothing for whoever is in a workspace."""
    if user_of(request).is_superuser:
        return {"steps": [] if onboarding.is_over() else onboarding.steps()}
    return {"is_nowhere": not workspaces_of(request)}


def _for_superusers(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    def checked(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if not user_of(request).is_superuser:
            raise PermissionDenied
        return view(request, **kwargs)

    return checked


@require_GET
def welcome(request: HttpRequest) -> HttpResponseBase:
    """To where it goes on; the list of steps where all is done."""
    following = next((step for step in onboarding.steps() if step.is_next), None)
    return redirect(following.url) if following else _page(request, "done", _("All set up"))


@get_or_post
def workspace_step(request: HttpRequest) -> HttpResponseBase:
    form = WorkspaceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.create(by=user_of(request))
        return redirect("welcome-number")
    names = list(Workspace.objects.order_by("-pk").values_list("name", flat=True)[:5])
    return _page(request, "workspace", _("Create a workspace"), form=form, names=names)


@get_or_post
def number_step(request: HttpRequest) -> HttpResponseBase:
    if not Workspace.objects.exists():
        return redirect("welcome-workspace")
    form = NumberForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        number = form.save()
        ask_for_retries(request)  # what came for it before it was here
        return redirect("welcome-webhook", number_id=number.pk)
    numbers = PhoneNumber.objects.defer("webhook_secret").order_by("-pk")[:5]
    return _page(request, "number", _("Add your WhatsApp number"), form=form, numbers=numbers)


@get_or_post
def webhook_step(request: HttpRequest, number_id: int) -> HttpResponseBase:
    """The address and the secret. One that is made here is shown by the answer that made it, and never again."""
    number = get_object_or_404(PhoneNumber, pk=number_id)
    form = SecretForm(request.POST or None, number=number)
    shown_once = ""
    if request.method == "POST" and form.is_valid():
        is_generated = "generate" in request.POST
        secret = generated() if is_generated else form.cleaned_data["secret"]
        if secret:
            form.store(secret)
        if not is_generated:
            return redirect("welcome-waiting", number_id=number.pk)
        shown_once, form = secret, SecretForm(number=number)
    error = str(form.errors["seen"][0]) if "seen" in form.errors else ""
    if error:
        form = SecretForm(number=number)
    return _page(
        request,
        "webhook",
        _("Connect the webhook in Kapso"),
        number=number,
        form=form,
        error=error,
        shown_once=shown_once,
        has_secret=bool(number.webhook_secret),
        has_project_secret=bool(settings.KAPSO_WEBHOOK_SECRETS),
        **_address(request),
    )


def _address(request: HttpRequest) -> dict[str, Any]:
    url = request.build_absolute_uri(reverse("kapso-webhook"))
    return {"webhook_url": url, "is_public": url.startswith("https://")}


@require_GET
def waiting_step(request: HttpRequest, number_id: int) -> HttpResponseBase:
    number = get_object_or_404(PhoneNumber.objects.defer("webhook_secret"), pk=number_id)
    context = _listening(number) | _address(request)
    return _page(request, "waiting", _("Hear the first event"), **context)


@require_GET
def heard_yet(request: HttpRequest, number_id: int) -> HttpResponseBase:
    """The part of the page that asks again every other second. Once a signed event is here, all of it is new."""
    number = get_object_or_404(PhoneNumber.objects.defer("webhook_secret"), pk=number_id)
    context = _listening(number)
    headers = {"HX-Refresh": "true"} if context["delivery"] else None
    return TemplateResponse(request, "leadcrm/listening.html", context, headers=headers)


def _listening(number: PhoneNumber) -> dict[str, Any]:
    delivery = onboarding.heard(number)
    return {
        "number": number,
        "delivery": delivery,
        "is_failed": delivery is not None and delivery.status == WebhookDelivery.Status.FAILED,
        "troubles": [] if delivery else onboarding.troubles(number, timezone.now()),
    }


def _page(request: HttpRequest, here: str, title: str, **context: Any) -> HttpResponse:
    frame = admin.site.each_context(request)
    steps = {"title": title, "steps": onboarding.steps(), "here": here}
    return TemplateResponse(request, f"leadcrm/welcome_{here}.html", frame | steps | context)
