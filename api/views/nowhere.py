"""What is asked for below /api/ that is not there."""

from __future__ import annotations

from typing import Any, NoReturn

from django.urls import Resolver404, resolve
from rest_framework.request import Request

from api.answering import not_found
from api.views.base import ApiView


class Nowhere(ApiView):
    """404 for everybody, with the slash where only that is missing."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    default_response_headers: dict[str, str] = {}  # no method is allowed

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:
        self.format_kwarg = None
        if _is_known(with_slash := f"{request.path_info}/"):
            raise not_found(f"Addresses end with a slash: {with_slash}")
        raise not_found("There is nothing at this address: /api/docs/ has those that there are.")


def _is_known(path: str) -> bool:
    try:
        found = resolve(path)
    except Resolver404:
        return False
    return getattr(found.func, "cls", None) is not Nowhere
