"""Who the token stands for."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.serializers.team import MeSerializer
from api.views.base import ApiView
from contacts.members import name_of

EXAMPLE = OpenApiExample(
    "An agent",
    value={
        "id": 7,
        "username": "ana",
        "name": "Ana Flores",
        "email": "ana@example.com",
        "is_superuser": False,
        "token": {"name": "Sheet", "prefix": "lcrm_4Tq0b", "scopes": ["read"], "expires_at": None},
        "workspaces": [{"id": 1, "name": "Lima", "role": "agent"}],
    },
    response_only=True,
)


class MeView(ApiView):
    @extend_schema(
        operation_id="me_retrieve",
        summary="Get who you are",
        description="The user whose token this is, what the token may do, and in which workspaces, as what.",
        tags=["Me"],
        responses=MeSerializer,
        examples=[EXAMPLE],
    )
    def get(self, request: Request) -> Response:
        user: Any = request.user
        told = {
            "id": user.pk,
            "username": user.get_username(),
            "name": name_of(user),
            "email": user.email,
            "is_superuser": user.is_superuser,
            "token": request.auth,
            "workspaces": list(self.rights.places.values()),
        }
        return Response(MeSerializer(told).data)
