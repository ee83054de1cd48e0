"""How often somebody may get a password wrong. django-axes counts, in the database; these are the words and the address."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

LOOPBACK = ("127.0.0.1", "::1", "")


def client_address(request: HttpRequest) -> str:
    """Whoever comes from this machine is the proxy: the last address that it was told by is one that it saw itself."""
    near: str = request.META.get("REMOTE_ADDR") or ""
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    if near in LOOPBACK:
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(told))
    return near or LOOPBACK[0]


def name_of(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """As it was typed, and no longer than a row holds."""
    typed = (credentials or {}).get("username") or request.POST.get("username", "")
    return str(typed)[:255]


def locked_out(
    request: HttpRequest, _answer: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    """The page in place of the login: how long to wait. It says the same whether there is such a user or not."""
    tries = AccessAttempt.objects.filter(
        username=name_of(request, credentials), ip_address=client_address(request)
    )
    last = tries.aggregate(last=Max("attempt_time"))["last"] or timezone.now()
    seconds = max(1, int((last + settings.AXES_COOLOFF_TIME - timezone.now()).total_seconds()))
    page = render(request, "registration/locked_out.html", {"minutes": -(-seconds // 60)}, status=429)
    page["Retry-After"] = str(seconds)
    return page
