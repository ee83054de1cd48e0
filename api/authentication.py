"""`Authorization: Bearer lcrm_...`, and nothing else: a browser's session opens no door here, so no page can abuse one."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from api import tokens
from api.models import Scope, Token
from api.problems import Problem

READS = ("GET", "HEAD", "OPTIONS")


def not_authenticated(detail: str, *, error: str = "") -> Problem:
    challenge = 'Bearer realm="leadcrm"' + (f', error="{error}"' if error else "")
    return Problem("not-authenticated", detail, headers={"WWW-Authenticate": challenge})


class BearerToken(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        scheme, _, text = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = tokens.use(text.strip())
        if token is None:
            raise not_authenticated(tokens.why_not(text.strip()), error="invalid_token")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        return 'Bearer realm="leadcrm"'


class HasScope(BasePermission):
    """Whoever has a token reads; changes take the scope `write`."""

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        if not isinstance(request.auth, Token):
            raise not_authenticated(
                "Send a token: Authorization: Bearer lcrm_... Tokens are made in the admin."
            )
        if request.method not in READS and not request.auth.may_write:
            challenge = 'Bearer realm="leadcrm", error="insufficient_scope", scope="write"'
            raise Problem(
                "insufficient-scope",
                f"The token {request.auth.name!r} only reads: make one that may also change things.",
                headers={"WWW-Authenticate": challenge},
                scope=Scope.WRITE.value,
            )
        return True
