"""What each operation is in the schema: its words stand with its method, the rest follows from what it takes and gives.

A method says `@operation("Give to somebody", takes=Assignment, gives=ContactSerializer)`; its docstring is the
description. Lists and single rows are described by their resource (`Rows.resource`, `one`, `many`, `about`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from api.bodies import Body
from api.examples import ANSWERS, REQUESTS

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """What an operation gives instead of JSON: a file, of a kind that the parameter `name` says; the first is usual."""

    name: str
    content_types: Mapping[str, str]
    about: str

    @property
    def responses(self) -> dict[Any, Any]:
        kinds = (content_type.partition(";")[0] for content_type in self.content_types.values())
        return {(200, kind): OpenApiResponse(OpenApiTypes.BINARY, description="The file.") for kind in kinds}

    @property
    def parameter(self) -> OpenApiParameter:
        kinds = list(self.content_types)
        return OpenApiParameter(
            self.name, {"type": "string", "enum": kinds, "default": kinds[0]}, description=self.about
        )


@dataclass(frozen=True, slots=True)
class Operation:
    summary: str
    takes: type[Body] | None = None
    gives: Any = None
    status: int = 200
    matches: bool = False


def operation(
    summary: str,
    *,
    takes: type[Body] | None = None,
    gives: Any = None,
    status: int = 200,
    matches: bool = True,
) -> Callable[[F], F]:
    """`matches`: `If-Match` is looked at."""

    def describe(method: F) -> F:
        method.operation = Operation(summary, takes, gives, status, matches)  # type: ignore[attr-defined]
        return method

    return describe


class ResourceSchema(AutoSchema):
    """Of one address of a resource (`api.views.rows.Rows`)."""

    view: Any

    @property
    def of(self) -> Operation:
        method = getattr(self.view, self.view.action)
        if hasattr(method, "operation"):
            found: Operation = method.operation
            return found
        gives = self.view.get_serializer_class()
        if self.view.action == "list":
            return Operation(f"List {self.view.many}", gives=gives)
        return Operation(f"Get {self.view.one}", gives=gives)

    def get_operation_id(self) -> str:
        action = {"partial_update": "update", "destroy": "delete"}.get(self.view.action, self.view.action)
        return f"{self.view.resource}_{action}"

    def get_tags(self) -> list[str]:
        return [self.view.many.capitalize()]

    def get_summary(self) -> str:
        return self.of.summary

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular has it
        told = getattr(getattr(self.view, self.view.action), "operation", None)
        said: str = super().get_description() if told else self.view.about
        return said or self.of.summary

    def get_filter_backends(self) -> Any:
        """A file has what the same filters list, though it is no list of JSON."""
        return self.view.filter_backends if isinstance(self.of.gives, File) else super().get_filter_backends()

    def get_request_serializer(self) -> Any:
        return self.of.takes

    def get_response_serializers(self) -> Any:
        of = self.of
        if isinstance(of.gives, File):
            return of.gives.responses
        good = OpenApiResponse(None if of.status == 204 else of.gives, description=GOOD[of.status])
        if self.view.action == "list":
            good = OpenApiResponse(of.gives(many=True), description="A page.")
        return {of.status: good}

    def get_override_parameters(self) -> Any:
        of, one = self.of, "{id}" in self.path
        if isinstance(of.gives, File):
            return [of.gives.parameter]
        if self.method == "GET":
            return [*([ID] if one else ()), _fields(of.gives)]
        return [*([ID] if one else ()), *([IF_MATCH] if of.matches and one else ())]

    def get_examples(self) -> list[OpenApiExample]:
        of, found = self.of, []
        if of.takes in REQUESTS:
            found.append(OpenApiExample("What to send", value=REQUESTS[of.takes], request_only=True))
        if of.gives in ANSWERS:
            value = ANSWERS[of.gives]
            found.append(OpenApiExample("What is answered", value=value, response_only=True))
        return found


GOOD = {200: "As it is now.", 201: "It is made.", 204: "It is gone."}

ID = OpenApiParameter("id", {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}, OpenApiParameter.PATH)

IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'},
    OpenApiParameter.HEADER,
    description="The `ETag` that you read, with its quotes: where somebody changed it since, nothing happens (412).",
)


def _fields(gives: Any) -> OpenApiParameter:
    return OpenApiParameter(
        "fields",
        {"type": "array", "items": {"type": "string", "enum": list(gives.names())}, "minItems": 1},
        OpenApiParameter.QUERY,
        explode=False,
        style="form",
        description="Only these fields, separated by commas; `id` is always there.",
    )
