"""The description of the API for programs (/api/schema/) and for people (/api/docs/). Public: it names no data."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.utils import translation
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from api.views.base import ApiView


@cache
def schema() -> Any:
    """The same for everybody, so it is made once."""
    with translation.override("en"):
        return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


class _Public(ApiView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()


class SchemaView(_Public, SpectacularAPIView):
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - as its parent's
        return Response(schema(), headers={"Cache-Control": "public, max-age=300"})


class DocsView(_Public, SpectacularSwaggerSplitView):
    # It asks for its own script so.
    more_parameters = ("script",)


class BearerTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "api.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002 - its parent's
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "lcrm_…",
            "description": "A token of yours. Tokens are made in the admin: user menu, API tokens.",
        }
