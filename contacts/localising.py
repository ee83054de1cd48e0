"""Pages speak the language and tell the time of whoever reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone, translation

from contacts.models import Preferences
from contacts.time_zones import ZONES

# What the browser says (contacts/static/contacts/zone.js) and what its script is to show, where the user chose.
BROWSER_ZONE, CHOSEN_ZONE = "browser_zone", "chosen_zone"


class Localised:
    """After `LocaleMiddleware`, which has the browser's language: what the user prefers counts more.

    Preferences come with the user (leadcrm.accounts.Backend), so this costs no query of its own. A view that is marked
    as `localises_itself` does so once it knows that it has anything to say.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with timezone.override(_known(request.COOKIES.get(BROWSER_ZONE, "")) or None):
            response = self.get_response(request)
        chosen = getattr(request, "chosen_zone", None)
        if chosen is not None and request.COOKIES.get(CHOSEN_ZONE, "") != chosen:
            _tell(response, chosen)
        return response

    def process_view(self, request: HttpRequest, view: Any, *_: Any) -> None:
        if not getattr(view, "localises_itself", False):
            localise(request)


def localise(request: HttpRequest) -> None:
    """From here on in the language and the zone of the logged-in user.

    Somebody who brings no session is not even asked for: a webhook, a probe, the login page.
    """
    wish = _preferences(request)
    if wish is None:
        return
    if wish.language in dict(settings.LANGUAGES):
        translation.activate(wish.language)
        request.LANGUAGE_CODE = translation.get_language()
    request.chosen_zone = _known(wish.time_zone)  # type: ignore[attr-defined]
    if zone := _known(wish.time_zone):
        timezone.activate(zone)


def _known(zone: str) -> str:
    return zone if zone in ZONES else ""


def _preferences(request: HttpRequest) -> Preferences | None:
    """Those of the logged-in user; unsaved ones, which wish for nothing, where they never set any."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
        return None
    kept: Preferences | None = getattr(request.user, "preferences", None)
    return kept or Preferences()


def _tell(response: HttpResponseBase, zone: str) -> None:
    if zone:
        response.set_cookie(CHOSEN_ZONE, zone, max_age=31_536_000, samesite="Lax", secure=settings.HTTPS)
    else:
        response.delete_cookie(CHOSEN_ZONE, samesite="Lax")
