"""Programs that talk to the API, for tests: they bring a token and speak JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.test import Client

from api import tokens
from api.models import Scope, Token
from contacts.models import Membership, Role, Workspace


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


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Any
    body: Any

    @property
    def results(self) -> list[dict[str, Any]]:
        assert self.status == 200, self
        rows: list[dict[str, Any]] = self.body["results"]
        return rows

    @property
    def ids(self) -> list[int]:
        return [row["id"] for row in self.results]

    @property
    def problem(self) -> str:
        """The end of its type; "" where there is none."""
        assert self.headers["Content-Type"] == "application/problem+json" or self.status < 400, self
        return str(self.body.get("type", "")).rpartition(":")[2] if self.body else ""

    @property
    def fields(self) -> dict[str, str]:
        """What is said of each field."""
        return {told["field"]: told["detail"] for told in self.body.get("errors", ())}


@dataclass(slots=True)
class Api:
    """As `Program`, in few words: paths without what all have in common, and answers that are read already."""

    user: User
    scope: str = Scope.WRITE
    program: Program = field(init=False)

    def __post_init__(self) -> None:
        self.program = Program.of(self.user, scope=self.scope)

    def get(self, path: str, **parameters: Any) -> Answer:
        return self.ask("GET", path, parameters=parameters)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, headers=headers)

    def patch(self, path: str, body: Any, **headers: str) -> Answer:
        return self.ask("PATCH", path, body, headers=headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self.ask("DELETE", path, headers=headers)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        parameters: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """`path` without /api/v1/, or an address that the API gave."""
        address = path if path.startswith("http") else f"/api/v1/{path}"
        if parameters:
            address += "?" + urlencode(parameters)
        response = self.program.send(method, address, body, **(headers or {}))
        content = response.content
        return Answer(response.status_code, response.headers, json.loads(content) if content else None)

    def pages(self, path: str, **parameters: Any) -> Iterator[Answer]:
        """All of them, by `next`."""
        answer = self.get(path, **parameters)
        yield answer
        while answer.body["next"]:
            answer = self.get(answer.body["next"])
            yield answer


def somebody(name: str, workspace: Workspace | None = None, role: Role = Role.AGENT) -> User:
    user = User.objects.create_user(name, f"{name}@crm.test")
    if workspace:
        Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


WHO = ("owner", "manager", "agent", "narrow", "viewer", "stranger", "superuser")


def as_role(who: str, workspace: Workspace) -> Api:
    """`narrow`: an agent where agents see their own leads and those of nobody."""
    if who == "superuser":
        return Api(User.objects.create_superuser("root"))
    if who == "stranger":
        return Api(somebody(who))
    Workspace.objects.filter(pk=workspace.pk).update(agents_see_all=who != "narrow")
    return Api(somebody(who, workspace, Role("agent" if who == "narrow" else who)))
