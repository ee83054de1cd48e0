"""The production server with more clients that wait for news than may: nobody else has to wait for them."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from api import tokens, waiting
from api.models import Token
from contacts.models import Membership, Role
from leadcrm import webserver
from tests.builders import LIMA, RECEIVED, SAOPAULO, Desk, message
from tests.kapso import Kapso
from tests.test_worker import answers, comes_true, running

MORE_THAN_MAY = webserver.WORKERS * waiting.MOST_WAITING + 16


@dataclass(slots=True)
class Client:
    """A connection on which something was asked; `has_answer` does not wait for it."""

    connection: http.client.HTTPConnection

    @classmethod
    def asks(cls, port: int, path: str, token: str) -> Client:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        return cls(connection)

    @property
    def has_answer(self) -> bool:
        sock = self.connection.sock
        sock.setblocking(False)
        try:
            return bool(sock.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            sock.settimeout(60)

    def answer(self) -> tuple[http.client.HTTPResponse, Any]:
        response = self.connection.getresponse()
        body = json.loads(response.read())
        self.connection.close()
        assert response.status == 200, body
        return response, body


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


def manager(desk: Desk, name: str) -> User:
    user = User.objects.create(username=name)
    Membership.objects.create(workspace=desk.numbers[LIMA].workspace, user=user, role=Role.MANAGER)
    return user


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Callable[[], None]]]:
    """The server as it is in production: its port, and how to stop it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setattr(settings, "PORT", port)
    with running(webserver.command("--log-level", "warning")) as server:
        assert comes_true(lambda: answers(port)), server.poll()
        yield port, server.terminate


def ask(port: int, path: str, token: str) -> Any:
    return Client.asks(port, path, token).answer()[1]


def wait(port: int, text: str, count: int) -> list[Client]:
    cursor = ask(port, "/api/v1/changes/", text)["next_cursor"]
    return [Client.asks(port, f"/api/v1/changes/?wait=25&cursor={cursor}", text) for _ in range(count)]


def test_nobody_waits_for_those_who_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [tokens.issue(manager(desk, f"{number}"), "program")[1] for number in range(10)]
    with serving(monkeypatch) as (port, _):
        kapso = Kapso(f"http://127.0.0.1:{port}")
        clients = [client for text in texts for client in wait(port, text, MORE_THAN_MAY // len(texts))]

        # For some there is no room: they are told so at once.
        assert comes_true(lambda: sum(client.has_answer for client in clients) >= 16)
        # Webhooks and pages go on, more of them than would be at work at once. (Those who wait see nothing of Sao Paulo.)
        for number in range(20):
            told = message(f"there-{number}", number=SAOPAULO, phone=f"5511900000{number:03}")
            assert kapso.post(told, event=RECEIVED).status == 200
            assert "results" in ask(port, "/api/v1/changes/", texts[0])
        sent_away = [client for client in clients if client.has_answer]
        inside = [client for client in clients if client not in sent_away]
        for client in sent_away:
            response, body = client.answer()
            assert (response.headers["Retry-After"], body["results"]) == ("5", [])
        assert inside

        # What they wait for comes to all of them.
        assert kapso.post(message("here"), event=RECEIVED).status == 200
        row = desk.row("here")
        for client in inside:
            _, body = client.answer()
            found = {told["kind"]: told["data"] for told in body["results"]}
            assert found["message"]["id"] == row.pk
            assert found["contact"]["id"] == row.contact_id


def test_a_server_that_stops_sends_them_home(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    user = manager(desk, "program")
    texts = [tokens.issue(user, f"program {number}")[1] for number in range(6)]
    with serving(monkeypatch) as (port, stop):
        cursor = ask(port, "/api/v1/changes/", texts[0])["next_cursor"]
        path = f"/api/v1/changes/?wait=25&cursor={cursor}"
        clients = [Client.asks(port, path, text) for text in texts[1:]]
        assert comes_true(lambda: not Token.objects.filter(last_used_at=None).exists())  # all have come in
        stop()
        for client in clients:
            assert client.answer()[1]["results"] == []
