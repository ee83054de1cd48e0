"""Retries without a worker: by whoever has just answered a request, when the answer has been sent.

The request's own transaction has ended by then, and nothing that happens here can change its answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from kapso_sync.retrying import retry_a_few

_ASKED = "leadcrm.retries_are_due"


def ask_for_retries(request: HttpRequest | Request, *, are_due: bool = True) -> None:
    request.META[_ASKED] = are_due


def retries_after_answers(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """Middleware. A WSGI server calls `close` when it has sent the answer, and that closes the database connection
    if it is to be closed: so the retries come before that."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.META.get(_ASKED):
            close: Callable[[], Any] = response.close

            def retry_and_close() -> None:
                try:
                    retry_a_few()
                finally:
                    close()

            response.close = retry_and_close  # type: ignore[method-assign]
        return response

    return answer
