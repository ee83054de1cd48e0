"""What goes wrong before a view is asked, and after it has answered: below /api/ a problem, elsewhere Django's page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from api.answering import as_problem, internal_error
from api.problems import MEDIA_TYPE, Problem


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _told(as_problem(exception)) if _is_ours(request) else defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    return _told(internal_error()) if _is_ours(request) else defaults.server_error(request)


def _is_ours(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _told(problem: Problem) -> JsonResponse:
    told: dict[str, Any] = problem.as_json()
    return JsonResponse(told, status=problem.status_code, content_type=MEDIA_TYPE, headers=problem.headers)
