"""What all resources share: rows that the user sees, a page or one of them, and no more columns than were asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.functional import cached_property
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from api.authentication import READS
from api.bodies import Body
from api.etags import check_match
from api.filters import StrictFilters
from api.operations import ResourceSchema
from api.pagination import ById
from api.problems import forbidden, invalid_parameter, invalid_parameters
from api.serializers.shown import Shown
from api.views.base import ApiView


class Rows(ApiView, GenericViewSet[Any]):
    """A resource. What is not among `visible` does not exist for the user: 404."""

    # In operation ids, and in words.
    resource: str
    one: str
    many: str
    about = ""

    schema = ResourceSchema()
    serializer_class: type[Shown]
    filter_backends = (StrictFilters,)
    pagination_class: type[ById] = ById
    paginator: Any
    lookup_value_regex = "[0-9]{1,18}"

    def check_parameters(self, request: Request) -> None:
        super().check_parameters(request)
        if empty := {
            name: "Give it a value, or leave it away."
            for name, value in request.query_params.items()
            if not value
        }:
            raise invalid_parameters(empty)

    def parameters(self) -> set[str]:
        return super().parameters() | ({"fields"} if self.request.method in READS else set())

    @property
    def workspaces(self) -> list[int]:
        return list(self.rights.places)

    @cached_property
    def now(self) -> datetime:
        """One moment for the whole answer."""
        return timezone.now()

    def version(self, row: Any) -> str:
        """Of what people typed into it; "" for what nobody edits."""
        return ""

    def visible(self) -> QuerySet[Any]:
        raise NotImplementedError

    def dressed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """A page of them, with what the answer needs beside their own columns."""
        return rows

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):  # nobody asks: the schema is made
            return self.serializer_class.Meta.model._default_manager.none()  # type: ignore[no-any-return]  # noqa: SLF001
        return self.visible()

    def get_serializer_context(self) -> dict[str, Any]:
        more = {"now": self.now, "asked": self.asked, "rights": self.rights}
        return {**super().get_serializer_context(), **more}

    @cached_property
    def asked(self) -> frozenset[str] | None:
        """The fields that were asked for; None for all."""
        if "fields" not in self.request.query_params:
            return None
        serializer: Any = self.get_serializer_class()
        names = serializer.names()
        asked = self.request.query_params["fields"].split(",")
        if unknown := [name for name in asked if name not in names]:
            raise invalid_parameter(
                "fields", f"There is no field {unknown[0][:50]!r}. There are: {', '.join(names)}."
            )
        return frozenset([*asked, "id"])

    def row(self, pk: Any) -> Any:
        return self.found(self.dressed(self.visible()), pk)

    def found(self, rows: QuerySet[Any], pk: Any) -> Any:
        return get_object_or_404(rows, pk=pk)

    # For writes

    @property
    def user(self) -> User:
        assert isinstance(self.request.user, User)  # noqa: S101 - behind the token there is always one
        return self.request.user

    def body(self, takes: type[Body]) -> dict[str, Any]:
        given = takes(data=self.request.data)
        given.is_valid(raise_exception=True)
        found: dict[str, Any] = given.validated_data
        return found

    def held(self, pk: Any) -> Any:
        """The row, nobody else's until the request ends; if the user works there, and it is what the client read."""
        mine = self.visible().select_for_update(no_key=True, of=("self",))
        row = self.found(mine, pk)
        self.check_may_work(row.workspace_id)
        check_match(self.request, self.version(row))
        return row

    def check_may_work(self, workspace_id: int) -> None:
        if not self.rights.may_work(workspace_id):
            raise forbidden("You may look at this workspace, not change anything in it.")

    def answer(self, row: Any, status: int = 200) -> Response:
        response = Response(self.get_serializer(row).data, status=status)
        if version := self.version(row):
            response["ETag"] = f'"{version}"'
        return response

    def shown(self, pk: Any, status: int = 200) -> Response:
        """As it is by now, also where the user has just given it away."""
        return self.answer(self.dressed(self.serializer_class.Meta.model.objects).get(pk=pk), status)


class Listed(Rows):
    def list(self, request: Request) -> Response:
        _ = self.asked  # what cannot be is refused before anything is read
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class Retrieved(Rows):
    def retrieve(self, request: Request, pk: str) -> Response:
        _ = self.asked
        return self.answer(self.row(pk))
