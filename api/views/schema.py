"""The description of the API for programs (/api/schema/) and for people (/api/docs/). Public: it names no data."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.utils import translation
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer, OpenApiYamlRenderer2
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from api import idempotency
from api.views.base import ApiView


@cache
def schema() -> Any:
    """The same for everybody, so it is made once."""
    with translation.override("en"):
        return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


def only_ours(endpoints: list[Any], **_: Any) -> list[Any]:
    """What programs use; neither Kapso's webhook nor this description itself."""
    return [each for each in endpoints if each[0].startswith("/api/v1/")]


IDEMPOTENCY_KEY = {
    "name": idempotency.HEADER,
    "in": "header",
    "required": False,
    "description": "Makes it safe to repeat this request when its answer was lost: within 24 hours the same key with the "
    "same request happens once, and is answered the same (`Idempotency-Replayed: true`). A new key for each request.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "example": "6f1e0d7c-4b0b-4f6e-9f0c-2a4f3c1d5e77",
}


def with_idempotency(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Every write takes the key: `ApiView` sees to it, so no operation says it for itself."""
    for operations in result.get("paths", {}).values():
        for method, operation in operations.items():
            if method in ("post", "put", "patch", "delete"):
                operation["parameters"] = [*operation.get("parameters", ()), IDEMPOTENCY_KEY]
    return result


class _Public(ApiView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()


class SchemaView(_Public, SpectacularAPIView):
    renderer_classes = [OpenApiJsonRenderer2, OpenApiYamlRenderer2, OpenApiYamlRenderer]

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(schema(), headers={"Cache-Control": "public, max-age=300"})


class DocsView(_Public, SpectacularSwaggerSplitView):
    # It asks for its own script so.
    more_parameters = ("script",)


class BearerTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "api.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "lcrm_…",
            "description": "A token of yours. Tokens are made in the admin: user menu, API tokens.",
        }
