"""A problem for every exception: nothing that ends a request is answered in another way (`EXCEPTION_HANDLER`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import Error, InterfaceError, OperationalError, connection
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from api.authentication import not_authenticated
from api.problems import MEDIA_TYPE, Problem, conflict, invalid
from contacts.changing import Refused, Stale
from contacts.merging import MergeRefused
from contacts.models import TransitionRefused
from kapso_sync.patience import TooBusy, met_others, sqlstate

logger = logging.getLogger(__name__)

READ_ONLY = "25006"  # as PostgreSQL says it, of a server that only follows another
RETRY_AT_ONCE, RETRY_LATER = "1", "5"  # seconds


def handler(exc: Exception, context: dict[str, Any]) -> Response:  # noqa: ARG001 - DRF's signature
    problem = as_problem(exc)
    response = Response(problem.as_json(), status=problem.status_code, headers=problem.headers)
    response.content_type = MEDIA_TYPE
    return response


def as_problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    if isinstance(error, Error | TooBusy):
        return _of_database(error)
    if isinstance(error, Refused | MergeRefused | TransitionRefused):
        return _of_service(error)
    match error:
        case Http404():
            return not_found()
        case PermissionDenied():
            return Problem("forbidden", str(error) or "Your role in this workspace does not allow it.")
        case SuspiciousOperation():
            return Problem("bad-request", str(error) or "The request cannot be understood.")
    logger.exception("a request to the API failed", exc_info=error)
    return internal_error()


def internal_error() -> Problem:
    return Problem("internal-error", "An error of ours, which is in the log. Nothing was changed.")


def not_found(detail: str = "There is no such thing, or none that you may see.") -> Problem:
    return Problem("not-found", detail)


def _of_framework(error: exceptions.APIException) -> Problem:
    said = str(error.detail)
    match error:
        case exceptions.ValidationError():
            return invalid("invalid-fields", list(_flat(error.detail)))
        case exceptions.NotFound():
            return not_found()
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return not_authenticated(said)
        case exceptions.PermissionDenied():
            return Problem("forbidden", said)
        case exceptions.MethodNotAllowed():
            return Problem("method-not-allowed", said)
        case exceptions.NotAcceptable():
            return Problem("not-acceptable", "The answer is JSON: accept application/json.")
        case exceptions.UnsupportedMediaType():
            return Problem("unsupported-media-type", f"{said} Send application/json.")
        case exceptions.Throttled():
            wait = max(1, round(getattr(error, "wait", None) or 0))
            return Problem(
                "too-many-requests",
                f"This token came too often in this minute: go on in {wait} seconds.",
                headers={"Retry-After": str(wait)},
            )
    return Problem("bad-request", said) if error.status_code < 500 else _unavailable()


def _of_database(error: Error | TooBusy) -> Problem:
    if isinstance(error, TooBusy) or met_others(error):
        said = "Others were at work on the same rows. Nothing was changed: try again in a moment."
        return Problem("busy", said, headers={"Retry-After": RETRY_AT_ONCE})
    if isinstance(error, OperationalError | InterfaceError) or sqlstate(error) == READ_ONLY:
        logger.error("the API cannot use the database: %s", error)
        connection.close_at = 0  # with this request: it may lead to a server that has become read-only
        return _unavailable()
    logger.exception("a statement of the API failed", exc_info=error)
    return internal_error()


def _unavailable() -> Problem:
    said = "The database does not answer just now: try again later."
    return Problem("unavailable", said, headers={"Retry-After": RETRY_LATER})


def _of_service(error: Refused | MergeRefused | TransitionRefused) -> Problem:
    """What services refuse in general. Where it is a field's fault, the view knows which one."""
    match error:
        case Stale():
            return Problem("stale", str(error))
        case TransitionRefused():
            return Problem("transition-refused", str(error), allowed=list(error.allowed))
        case MergeRefused():
            return Problem("merge-refused", str(error))
    return conflict(str(error))


def _flat(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """DRF's errors, nested as the body is, each with the path of its field. What concerns no field has none: ""."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            at = path if name == "non_field_errors" else f"{path}.{name}" if path else str(name)
            yield from _flat(inner, at)
    elif isinstance(detail, list):
        for position, inner in enumerate(detail):
            if isinstance(inner, dict | list):
                yield from _flat(inner, f"{path}.{position}" if path else str(position))
            else:
                yield from _flat(inner, path)
    else:
        yield {"field": path, "detail": str(detail), "code": str(getattr(detail, "code", "invalid"))}
