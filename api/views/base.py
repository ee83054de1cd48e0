"""What every view of the API is: `ApiView`, first among its bases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone, translation
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from api import idempotency
from api.authentication import READS
from api.models import Token
from api.parsing import read_whole
from api.problems import invalid_parameters
from api.throttling import rate_headers
from contacts.rights import Rights

NOBODYS = Rights(None, {})


class ApiView(APIView):
    """Knows who asks and what they may, takes no parameter that it does not know, and writes all or nothing."""

    # Parameters that it takes beside those of its filters and its paginator.
    more_parameters: Iterable[str] = ()
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        view = super().as_view(*args, **kwargs)
        view.localises_itself = True  # type: ignore[attr-defined]  # contacts.localising: no session is asked for
        return view

    @property
    def rights(self) -> Rights:
        found: Rights = self.request.rights  # type: ignore[attr-defined]
        return found

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """English and UTC for everybody. Otherwise as DRF's, with a transaction around what writes."""
        with translation.override("en"), timezone.override(UTC):
            self.args, self.kwargs = args, kwargs
            self.request = asked = self.initialize_request(request, *args, **kwargs)
            self.headers = self.default_response_headers
            try:
                self.initial(asked, *args, **kwargs)
                response = self._answer(asked)
            except Exception as error:  # noqa: BLE001 - it is answered, as DRF does
                response = self.handle_exception(error)
            self.response = self.finalize_response(asked, response, *args, **kwargs)
            return self.response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # who it is, and whether they may come
        self.check_method(request)
        known = request.user.is_authenticated
        request.rights = Rights.of(request.user) if known else NOBODYS  # type: ignore[attr-defined]
        self.check_parameters(request)

    def check_method(self, request: Request) -> None:
        name = str(request.method).lower()
        if name not in self.http_method_names or not hasattr(self, name):
            raise MethodNotAllowed(str(request.method))

    def check_parameters(self, request: Request) -> None:
        known = self.parameters()
        given = request.query_params
        said = {
            name: f"There is no such parameter here. There are: {', '.join(sorted(known)) or 'none'}."
            for name in given
            if name not in known
        }
        if said:
            raise invalid_parameters(said, code="unknown")
        if twice := {name: "Say it once." for name in given if len(given.getlist(name)) > 1}:
            raise invalid_parameters(twice, code="repeated")

    def parameters(self) -> set[str]:
        """The query parameters of this request's kind: filters and pages are for lists."""
        known = set(self.more_parameters)
        if self.request.method in READS and not getattr(self, "detail", True):
            filters = getattr(self, "filterset_class", None)
            known |= set(filters.base_filters) if filters else set()
            known |= set(getattr(getattr(self, "paginator", None), "parameters", ()))
        return known

    def _answer(self, request: Request) -> Any:
        handler = getattr(self, str(request.method).lower())
        if request.method in READS:
            return handler(request, *self.args, **self.kwargs)
        read_whole(request._request)  # noqa: SLF001 - DRF's own goes through its parsers
        with transaction.atomic():
            claim = idempotency.claim(request)
            if claim is not None and claim.answered is not None:
                return claim.answer_again()
            response = handler(request, *self.args, **self.kwargs)
            if claim is not None:
                claim.keep(response)
            return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if getattr(response, "exception", False):
            response.accepted_renderer = JSONRenderer()  # a problem is JSON, also where a file was asked for
        # What authentication could not decide is answered without: asking for it again would raise again.
        token = getattr(request, "_auth", None)
        if isinstance(token, Token):
            for name, value in rate_headers(token).items():
                response[name] = value
        response.setdefault("Cache-Control", "no-store")
        response["Content-Language"] = "en"
        return response
