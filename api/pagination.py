"""Lists in pages that follow each other by key: `{"next": <address or null>, "results": [...]}`, and no counts.

A page begins behind the last row of the one before, whatever was added or removed meanwhile, so by a key that stays
(`id`) each row comes once. Every page is one statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from api import cursors
from api.cursors import HIGHEST, Unreadable
from api.problems import invalid_parameter

DEFAULT_LIMIT, HIGHEST_LIMIT = 50, 200


class ById(BasePagination):
    """The base of every list: oldest row first, each exactly once."""

    orderings: tuple[str, ...] = ("id",)
    limit: int
    next_cursor: str | None

    @property
    def parameters(self) -> tuple[str, ...]:
        """What the pages take of an address."""
        return ("limit", "cursor", *(("ordering",) if len(self.orderings) > 1 else ()))

    def paginate_queryset(self, rows: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        self.limit = _limit(request)
        ordering = request.query_params.get("ordering") or self.orderings[0]
        if ordering not in self.orderings:
            raise invalid_parameter("ordering", f"Choose one of: {', '.join(self.orderings)}.")
        try:
            after = self._after(request, ordering)
            found = self.page(rows, ordering, after, view)
        except Unreadable as error:
            said = (
                "This cursor is none of this list. Begin without one, or take the address in `next` as it is."
            )
            raise invalid_parameter("cursor", said, code="invalid_cursor") from error
        return found

    def _after(self, request: Request, ordering: str) -> list[Any] | None:
        """What the last row before this page is; None for the first page."""
        if "cursor" not in request.query_params:
            return None
        parts = cursors.read(request.query_params["cursor"])
        if not parts or parts[0] != ordering:
            raise Unreadable
        return parts[1:]

    def page(self, rows: QuerySet[Any], ordering: str, after: list[Any] | None, view: Any) -> list[Any]:
        """One more than the limit is read: then there is another page."""
        found = list(view.dressed(self.behind(rows, ordering, after))[: self.limit + 1])
        self.next_cursor = None
        if len(found) > self.limit:
            self.next_cursor = cursors.write(ordering, *self.key(found[self.limit - 1], ordering))
        return found[: self.limit]

    def behind(self, rows: QuerySet[Any], ordering: str, after: list[Any] | None) -> QuerySet[Any]:  # noqa: ARG002
        if after is None:
            return rows.order_by("pk")
        (last,) = ids(after, 1)
        return rows.filter(pk__gt=last).order_by("pk")

    def key(self, row: Any, ordering: str) -> Sequence[int | str | None]:  # noqa: ARG002
        return (row.pk,)

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self._next(), "results": data})

    def _next(self) -> str | None:
        if self.next_cursor is None:
            return None
        return replace_query_param(self.request.build_absolute_uri(), "cursor", self.next_cursor)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {
                "next": {
                    "type": ["string", "null"],
                    "format": "uri",
                    "example": None,
                    "description": "The address of the next page; null after the last one.",
                },
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:  # noqa: ARG002
        described = {
            "limit": (
                {"type": "integer", "minimum": 1, "maximum": HIGHEST_LIMIT, "default": DEFAULT_LIMIT},
                "How many rows a page has at most.",
            ),
            "cursor": (
                {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": cursors.LONGEST,
                    "pattern": "^[A-Za-z0-9_-]+$",
                },
                "Where to go on: from `next` of the page before. Nothing to make up or take apart.",
            ),
            "ordering": (
                {"type": "string", "enum": list(self.orderings), "default": self.orderings[0]},
                self.about_orderings,
            ),
        }
        return [
            {"name": name, "in": "query", "required": False, "schema": schema, "description": said}
            for name, (schema, said) in described.items()
            if name in self.parameters
        ]

    about_orderings = ""


class NewestFirst(ById):
    """By a time that every row has, newest first."""

    field = "received_at"
    orderings: tuple[str, ...] = ("-received_at",)

    def behind(self, rows: QuerySet[Any], ordering: str, after: list[Any] | None) -> QuerySet[Any]:
        if not ordering.startswith("-"):
            return super().behind(rows, ordering, after)
        ordered = rows.order_by(f"-{self.field}", "-pk")
        if after is None:
            return ordered
        at, last = moment_and_id(after)
        if at is None:  # these rows all have one
            raise Unreadable
        earlier = Q(**{f"{self.field}__lt": at}) | Q(pk__lt=last)
        return ordered.filter(earlier, **{f"{self.field}__lte": at})

    def key(self, row: Any, ordering: str) -> Sequence[int | str | None]:
        if not ordering.startswith("-"):
            return super().key(row, ordering)
        return (cursors.number_of(getattr(row, self.field)), row.pk)


def ids(parts: list[Any], count: int) -> list[int]:
    if len(parts) != count or not all(isinstance(part, int) for part in parts):
        raise Unreadable
    return parts


def moment_and_id(parts: list[Any]) -> tuple[Any, int]:
    """The time may be empty where rows without one come last."""
    if len(parts) != 2 or not isinstance(parts[1], int) or isinstance(parts[0], str):
        raise Unreadable
    return cursors.time_of(parts[0]), parts[1]


def _limit(request: Request) -> int:
    asked = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not (asked.isascii() and asked.isdecimal() and len(asked) <= len(str(HIGHEST))):
        raise invalid_parameter("limit", f"Ask for 1 to {HIGHEST_LIMIT} rows.")
    if not 1 <= int(asked) <= HIGHEST_LIMIT:
        raise invalid_parameter("limit", f"Ask for 1 to {HIGHEST_LIMIT} rows.")
    return int(asked)
