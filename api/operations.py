"""What each operation is in the schema: its words stand with its method, the rest follows from what it takes and gives.

A method says `@operation("Give to somebody", takes=Assignment, gives=ContactSerializer)`; its docstring is the
description. Lists and single rows are described by their resource (`Rows.resource`, `one`, `many`, `about`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from api.bodies import Body, Nothing
from api.serializers.problem import ProblemSerializer

F = TypeVar("F", bound=Callable[..., Any])
PROBLEM_JSON = "application/problem+json"
WRITES = ("POST", "PATCH", "PUT", "DELETE")

PROBLEMS = {
    400: "Something cannot be read: a parameter, a header, or the JSON. `errors` names what.",
    401: "There is no token, or none that is valid.",
    403: "You see it, but your role or your token's scopes do not allow this.",
    404: "There is no such thing, or none that you may see.",
    406: "The answer is JSON, and you accept something else.",
    409: "As things are it cannot be done, or messages are just coming in here. `detail` says what to do.",
    410: "This contact was merged: `survivor` is where to go on.",
    412: "`If-Match` names another version: somebody changed it since you read it.",
    413: "The body is too large.",
    415: "Send JSON, as application/json.",
    422: "The body is JSON, but not what this takes. `errors` names each field.",
    429: "Too many requests with this token. `Retry-After` says for how long to wait.",
    500: "An error of ours. Nothing was changed.",
}


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

    def get_request_serializer(self) -> Any:
        return self.of.takes

    def get_response_serializers(self) -> Any:
        of = self.of
        good = OpenApiResponse(None if of.status == 204 else of.gives, description=GOOD[of.status])
        if self.view.action == "list":
            good = OpenApiResponse(of.gives(many=True), description="A page.")
        problems = {
            (code, PROBLEM_JSON): OpenApiResponse(ProblemSerializer, description=PROBLEMS[code])
            for code in self.problems()
        }
        return {of.status: good} | problems

    def problems(self) -> list[int]:
        of, codes = self.of, {400, 401, 403, 406, 429, 500}
        detail = "pk" in self.path or "{id}" in self.path
        codes |= {404} if detail else set()
        codes |= {410} if detail and self.view.resource == "contacts" else set()
        if self.method in WRITES:
            codes |= {409, 413, 415, 422}
            codes |= {412} if of.matches and detail else set()
        return sorted(codes)

    def get_override_parameters(self) -> Any:
        of = self.of
        if self.method == "GET":
            return [_fields(of.gives)] if hasattr(of.gives, "names") else []
        return [IF_MATCH] if of.matches and "{id}" in self.path else []


GOOD = {200: "As it is now.", 201: "It is made.", 204: "It is gone."}

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
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


__all__ = ["Nothing", "ResourceSchema", "operation"]
