"""What whoever has just answered a request does when the answer has been sent: retries, so that they need no worker, and
giving out new leads in turn.

The request's own transaction has ended by then, and nothing that happens here can change its answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from contacts import in_turn
from kapso_sync.retrying import retry_a_few

logger = logging.getLogger(__name__)

_ASKED = "leadcrm.afterwards"


def ask_for_retries(request: HttpRequest | Request, *, are_due: bool = True) -> None:
    if are_due:
        _ask(request, retry_a_few)


def ask_for_turns(request: HttpRequest | Request, workspaces: Collection[int]) -> None:
    if workspaces:
        _ask(request, partial(_give_out, workspaces))


def _ask(request: HttpRequest | Request, job: Callable[[], object]) -> None:
    request.META.setdefault(_ASKED, []).append(job)


def retries_after_answers(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """Middleware. A WSGI server calls `close` when it has sent the answer, and that closes the database connection
    if it is to be closed: so all of this comes before that."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if jobs := request.META.get(_ASKED):
            close: Callable[[], Any] = response.close

            def work_and_close() -> None:
                try:
                    for job in jobs:
                        job()
                finally:
                    close()

            response.close = work_and_close  # type: ignore[method-assign]
        return response

    return answer


def _give_out(workspaces: Collection[int]) -> None:
    try:
        in_turn.give_out(workspaces)
    except Exception:
        logger.exception("New leads could not be given out; they stay due.")
