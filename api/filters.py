"""How a list is narrowed: django-filter, with nothing overlooked that a client asked for."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import FilterSet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from api.problems import invalid_parameters


class Narrowed(FilterSet):  # type: ignore[misc]
    """The filters of one resource. Each is declared by hand: a column is no promise to clients."""

    request: Any

    @property
    def workspaces(self) -> list[int]:
        """Where the user may see anything at all."""
        return list(self.request.rights.places)


class StrictFilters(DjangoFilterBackend):  # type: ignore[misc]
    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filters = self.get_filterset(request, queryset, view)
        if filters is None:
            return queryset
        if not filters.is_valid():
            raise invalid_parameters({name: str(errors[0]) for name, errors in filters.form.errors.items()})
        narrowed: QuerySet[Any] = filters.qs
        return narrowed
