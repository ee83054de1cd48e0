"""A client of the API, as small as can be: what it asks, and what it is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from rest_framework.test import APIClient

from contacts.models import Membership, Role, Workspace


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
    """Whoever this user is, by a token of theirs."""

    user: User
    client: APIClient = field(default_factory=APIClient)

    def __post_init__(self) -> None:
        self.client.force_authenticate(self.user)

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
        """`path` without what all have in common, or an address that the API gave."""
        address = path if path.startswith("http") else f"/api/v1/{path}"
        if parameters:
            address += "?" + urlencode(parameters)
        told = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        response = self.client.generic(
            method,
            address,
            "" if body is None else json.dumps(body),
            "application/json",
            headers=told,
        )
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
