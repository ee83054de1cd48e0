"""Pages speak the language and tell the time of whoever reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone, translation

from contacts.admin.live_list import NEWS_SEEN
from contacts.models import Preferences
from contacts.time_zones import ZONES

# What the browser says (contacts/static/contacts/zone.js) and what its script is to show, where the user chose.
BROWSER_ZONE, CHOSEN_ZONE = "browser_zone", "chosen_zone"


def preferred(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Any:
    """After `LocaleMiddleware`, which has the browser's language: what the user prefers counts more.

    They come with the user (leadcrm.accounts.Backend), so this costs no query; and somebody who brings no session is
    not even asked for: a webhook, a probe, the login page. Nor is anybody for whom an open list asks for news, every
    few seconds: mostly the answer has no words. Where it has, the view asks for them (contacts.admin.live_list).
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if NEWS_SEEN in request.headers:
            vars(request)["in_their_words"] = in_their_words
            return get_response(request)
        return in_their_words(request, get_response)

    def in_their_words(
        request: HttpRequest, answer: Callable[[HttpRequest], HttpResponseBase]
    ) -> HttpResponseBase:
        wish = _preferences(request)
        zone = wish.time_zone if wish and wish.time_zone in ZONES else ""
        told = request.COOKIES.get(BROWSER_ZONE, "")
        with timezone.override(zone or (told if told in ZONES else None)):
            if wish and wish.language in dict(settings.LANGUAGES):
                translation.activate(wish.language)
                request.LANGUAGE_CODE = translation.get_language()
            response = answer(request)
        if wish is not None and request.COOKIES.get(CHOSEN_ZONE, "") != zone:
            _tell(response, zone)
        return response

    return middleware


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
