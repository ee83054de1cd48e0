"""A program that talks to the API, for tests: it brings a token, speaks JSON, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from api import tokens
from api.models import Scope, Token


@dataclass(slots=True)
class Program:
    text: str
    token: Token
    client: Client = field(default_factory=Client)

    @classmethod
    def of(cls, user: User, *, scope: str = Scope.WRITE) -> Program:
        token, text = tokens.issue(user, f"program {Token.objects.count()}", scope=scope)
        return cls(text, token)

    def get(self, path: str, **parameters: Any) -> Any:
        return self.client.get(path, parameters, headers=self._headers({}))

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """`body` is bytes, or data to serialise. Headers are named with underscores."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        kind = told.pop("Content-Type", "application/json")
        return self.client.generic(method, path, raw, content_type=kind, headers=self._headers(told))

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.send("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.send("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.send("DELETE", path, **headers)

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"} | more
