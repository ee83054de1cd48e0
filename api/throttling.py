"""How often a token may come (API_REQUESTS_PER_MINUTE). `tokens.use` has counted already; these are the limit and its headers.

The headers are those of the IETF's draft "RateLimit header fields for HTTP".
"""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from api import tokens
from api.models import Token

MINUTE = 60


class PerToken(BaseThrottle):
    token: Token | None = None

    def allow_request(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        self.token = request.auth if isinstance(request.auth, Token) else None
        return self.token is None or self.token.used_in_minute <= tokens.limit()

    def wait(self) -> float | None:
        return _seconds_left(self.token) if self.token else None


def rate_headers(token: Token) -> dict[str, str]:
    left = max(0, tokens.limit() - token.used_in_minute)
    return {
        "RateLimit-Policy": f'"token";q={tokens.limit()};w={MINUTE}',
        "RateLimit": f'"token";r={left};t={_seconds_left(token)}',
    }


def _seconds_left(token: Token) -> int:
    """Of the minute in which the database saw the request: its clock counts."""
    assert token.last_used_at is not None  # noqa: S101 - it has just been used
    return MINUTE - token.last_used_at.second
