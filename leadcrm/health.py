"""For probes and for Prometheus: /healthz, /readyz and /metrics (docs/monitoring.md).

Probes come by IP address and over plain HTTP, with any Host header: they are answered before Django looks at either,
and say nothing that would be a secret.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from datetime import datetime
from threading import Event

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Min
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from kapso_sync.attention import UNPROCESSED
from kapso_sync.models import WebhookDelivery
from leadcrm.measures import Measures

logger = logging.getLogger(__name__)

_migrated = Event()


class Probes:
    """Middleware, the first: answers probes, and Prometheus where it brings the token."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        match request.path_info:
            case "/healthz":
                return JsonResponse({"status": "ok"})
            case "/readyz":
                return readyz()
            case "/metrics" if _brings_the_token(request):
                return _measured()
        return self.get_response(request)


def readyz() -> JsonResponse:
    """Whether webhooks can be taken in: 503 with the reason where they cannot.

    A delivery that waits does not make it unready: who took this process away for that would lose what comes next.
    """
    try:
        if not _is_migrated():
            return JsonResponse({"ready": False, "reason": "migrations are not applied"}, status=503)
        waiting = WebhookDelivery.objects.filter(UNPROCESSED).aggregate(oldest=Min("received_at"))
    except Error:
        logger.warning("not ready: the database does not answer")
        return JsonResponse({"ready": False, "reason": "the database does not answer"}, status=503)
    return JsonResponse({"ready": True, "oldest_unprocessed_seconds": _age(waiting["oldest"])})


def metrics(request: HttpRequest) -> HttpResponse:
    """For a superuser who is logged in; whoever brings the token was answered before (Probes)."""
    user: User | AnonymousUser = request.user
    if user.is_active and user.is_superuser:
        return _measured()
    return HttpResponse("Bring METRICS_TOKEN as a bearer token, or log in as a superuser.\n", status=401,
        content_type="text/plain", headers={"WWW-Authenticate": "Bearer"})  # fmt: skip


def _measured() -> HttpResponse:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Measures())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _brings_the_token(request: HttpRequest) -> bool:
    token: str = settings.METRICS_TOKEN
    scheme, _, brought = request.headers.get("Authorization", "").partition(" ")
    is_it = hmac.compare_digest(brought.strip().encode(), token.encode())
    return bool(token) and scheme.lower() == "bearer" and is_it


def _is_migrated() -> bool:
    """Once true it stays true: no process lives longer than its own code."""
    if not _migrated.is_set():
        executor = MigrationExecutor(connection)
        if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
            _migrated.set()
    return _migrated.is_set()


def _age(at: datetime | None) -> int:
    return int((timezone.now() - at).total_seconds()) if at else 0
