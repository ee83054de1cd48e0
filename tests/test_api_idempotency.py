"""A write that is repeated with its Idempotency-Key happens once, however often and at once it comes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.client import encode_multipart
from django.urls import path
from django.utils import timezone
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from api import idempotency
from api.models import KeptAnswer
from api.problems import conflict
from api.tasks import forget_kept_answers
from api.views.base import ApiView
from contacts.models import Workspace
from tests.api import Program

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

ADDRESS = "/api/v1/made/"


class Made(ApiView):
    """Makes a workspace each time: how often it was asked to is in the table."""

    more_parameters = ("p",)
    at_work: Event | None = None
    go_on: Event | None = None

    def post(self, request: Request) -> Response:
        asked: dict[str, str] = request.data  # type: ignore[assignment]
        if "refuse" in asked:
            raise conflict("Not now.")
        made = Workspace.objects.create(name=asked["name"], slug=uuid4().hex)
        if self.at_work and self.go_on:
            self.at_work.set()
            assert self.go_on.wait(10)
        return Response({"id": made.pk, "name": made.name}, status=201, headers={"ETag": f'"{made.pk}"'})

    def delete(self, _: Request) -> Response:
        Workspace.objects.create(name="deleted", slug=uuid4().hex)
        return Response(status=204)


class Files(Made):
    parser_classes = (MultiPartParser,)


urlpatterns = [
    path("api/v1/made/", Made.as_view()),
    path("api/v1/also/", Made.as_view()),
    path("api/v1/files/", Files.as_view()),
]


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def program(user: User) -> Program:
    return Program.of(user)


def test_without_a_key_each_request_counts(program: Program) -> None:
    for _ in range(2):
        assert program.post(ADDRESS, {"name": "A"}).status_code == 201
    assert Workspace.objects.count() == 2
    assert not KeptAnswer.objects.exists()


def test_the_same_again_is_answered_the_same_and_happens_once(program: Program) -> None:
    first, again = (program.post(ADDRESS, {"name": "Ñandú"}, Idempotency_Key="k-1") for _ in range(2))
    assert Workspace.objects.count() == 1
    assert (first.status_code, first.content) == (again.status_code, again.content)
    for header in ("ETag", "Content-Type", "Cache-Control"):
        assert first[header] == again[header]
    assert ("Idempotency-Replayed" in first, again["Idempotency-Replayed"]) == (False, "true")
    assert "RateLimit" in again


def test_an_answer_without_a_body_is_given_again_without_one(program: Program) -> None:
    first, again = (program.delete(ADDRESS, Idempotency_Key="k-1") for _ in range(2))
    assert (first.status_code, again.status_code, again.content) == (204, 204, b"")
    assert "Content-Type" not in again
    assert Workspace.objects.count() == 1


@pytest.mark.parametrize(
    ("method", "address", "body"),
    [
        ("POST", ADDRESS, {"name": "B"}),
        ("POST", "/api/v1/also/", {"name": "A"}),
        ("POST", f"{ADDRESS}?p=1", {"name": "A"}),
        ("DELETE", ADDRESS, {"name": "A"}),
    ],
)
def test_another_request_with_the_same_key_is_refused(
    program: Program, method: str, address: str, body: Any
) -> None:
    program.post(ADDRESS, {"name": "A"}, Idempotency_Key="k-1")
    answer = program.send(method, address, body, Idempotency_Key="k-1")
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:leadcrm:problem:idempotency-key-reused"
    assert Workspace.objects.count() == 1


def _upload(program: Program, content: bytes, boundary: str) -> Any:
    body = encode_multipart(boundary, {"name": "A", "file": SimpleUploadedFile("a.csv", content)})
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return program.send("POST", "/api/v1/files/", body, Idempotency_Key="k-1", **kind)


def test_a_file_that_is_sent_again_is_the_same_whatever_its_boundary(program: Program) -> None:
    assert _upload(program, b"one", "first").status_code == 201
    assert "Idempotency-Replayed" in _upload(program, b"one", "second")
    assert _upload(program, b"two", "second").status_code == 422
    assert Workspace.objects.count() == 1


def test_keys_are_of_a_token(program: Program, user: User) -> None:
    program.post(ADDRESS, {"name": "A"}, Idempotency_Key="k-1")
    other = Program.of(user).post(ADDRESS, {"name": "B"}, Idempotency_Key="k-1")
    assert (other.status_code, Workspace.objects.count()) == (201, 2)


def test_what_was_refused_is_looked_at_anew(program: Program) -> None:
    assert program.post(ADDRESS, {"refuse": 1}, Idempotency_Key="k-1").status_code == 409
    assert not KeptAnswer.objects.exists()
    assert program.post(ADDRESS, {"name": "A"}, Idempotency_Key="k-1").status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ñ"])
def test_a_key_that_is_none_is_refused(program: Program, key: str) -> None:
    answer = program.post(ADDRESS, {"name": "A"}, Idempotency_Key=key)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert not Workspace.objects.exists()


def test_what_is_kept_is_for_the_token_alone_to_read(program: Program) -> None:
    program.post(ADDRESS, {"name": "Somebody who is erased"}, Idempotency_Key="k-1")
    kept = KeptAnswer.objects.get()
    assert b"Somebody" not in bytes(kept.sealed_body)
    assert "Somebody" not in str(kept.headers)


def test_a_day_later_a_key_is_forgotten(program: Program) -> None:
    program.post(ADDRESS, {"name": "A"}, Idempotency_Key="old")
    program.post(ADDRESS, {"name": "A"}, Idempotency_Key="new")
    KeptAnswer.objects.filter(key="old").update(at=timezone.now() - timedelta(hours=24, seconds=1))
    assert program.post(ADDRESS, {"name": "B"}, Idempotency_Key="old").json()["name"] == "B"
    KeptAnswer.objects.filter(key="old").update(at=timezone.now() - timedelta(hours=24, seconds=1))
    forget_kept_answers(0)
    assert KeptAnswer.objects.get().key == "new"


def test_a_key_costs_two_statements(program: Program, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(7):  # token, rights, savepoint, claim, workspace, answer, release
        program.post(ADDRESS, {"name": "A"}, Idempotency_Key="k-1")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, Event]]:
    """The first write waits within its transaction until it is told to go on."""
    at_work, go_on = Event(), Event()
    monkeypatch.setattr(Made, "at_work", at_work)
    monkeypatch.setattr(Made, "go_on", go_on)
    yield at_work, go_on
    go_on.set()


def _post(program: Program, name: str = "A") -> Any:
    try:
        return program.post(ADDRESS, {"name": name}, Idempotency_Key="k-1")
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_who_comes_while_the_first_is_at_work_waits_and_is_answered_the_same(
    program: Program, slow: tuple[Event, Event]
) -> None:
    at_work, go_on = slow
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(_post, program)
        assert at_work.wait(10)
        second = threads.submit(_post, program)
        _until_somebody_waits()
        assert not second.done()
        go_on.set()
        answers = [first.result(10), second.result(10)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert ["Idempotency-Replayed" in answer for answer in answers] == [False, True]
    assert Workspace.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_where_the_first_is_refused_the_second_is_done(
    program: Program, slow: tuple[Event, Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that waited finds nothing kept, and has the key for itself."""
    at_work, go_on = slow
    original = idempotency.Claim.keep

    def refuse_the_first(claim: idempotency.Claim, response: Response) -> None:
        monkeypatch.setattr(idempotency.Claim, "keep", original)
        raise conflict("At the last moment.")

    monkeypatch.setattr(idempotency.Claim, "keep", refuse_the_first)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(_post, program)
        assert at_work.wait(10)
        second = threads.submit(_post, program)
        _until_somebody_waits()
        go_on.set()
        assert [first.result(10).status_code, second.result(10).status_code] == [409, 201]
    assert Workspace.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_eight_at_once_one_is_done(program: Program) -> None:
    start = Barrier(8)

    def come(_: int) -> Any:
        start.wait(10)
        return _post(program)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(come, range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer for answer in answers) == 7
    assert Workspace.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_who_waits_too_long_is_told_to_try_again(program: Program, slow: tuple[Event, Event]) -> None:
    at_work, go_on = slow
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(_post, program)
        assert at_work.wait(10)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        answer = program.post(ADDRESS, {"name": "A"}, Idempotency_Key="k-1")
        connection.close()
        go_on.set()
        assert first.result(10).status_code == 201
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert answer.json()["type"] == "urn:leadcrm:problem:busy"


def _until_somebody_waits() -> None:
    """For a transaction to end, as PostgreSQL has it."""
    with connection.cursor() as cursor:
        for _ in range(500):
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
            if cursor.fetchone()[0]:
                return
            cursor.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("nobody waits")
