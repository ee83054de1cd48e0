"""Who comes in by a token, how often, and what is noted of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.urls import path
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from api import tokens
from api.models import Scope, Token
from api.views.base import ApiView
from tests.api import Program

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Who(ApiView):
    def get(self, request: Request) -> Response:
        return Response({"user": request.user.pk, "places": sorted(self.rights.places)})

    def post(self, request: Request) -> Response:
        return Response(request.data, status=201)


urlpatterns = [path("api/v1/who/", Who.as_view())]


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana")


def test_a_good_token_brings_its_user_and_their_rights(ana: User) -> None:
    answer = Program.of(ana).get("/api/v1/who/")
    assert (answer.status_code, answer.json()) == (200, {"user": ana.pk, "places": []})


def test_only_the_digest_of_a_token_is_stored(ana: User) -> None:
    token, text = tokens.issue(ana, "sheet")
    row = Token.objects.filter(pk=token.pk).values_list().get()
    assert text.startswith("lcrm_")
    assert len(text) == 48
    assert not [value for value in row if isinstance(value, str) and text in value]
    assert text.startswith(token.prefix)


def test_a_request_costs_one_statement_for_the_token_and_one_for_the_rights(
    ana: User, django_assert_num_queries: Any
) -> None:
    program = Program.of(ana)
    with django_assert_num_queries(2):
        program.get("/api/v1/who/")


def test_a_browsers_session_beside_it_is_not_even_looked_at(
    ana: User, django_assert_num_queries: Any
) -> None:
    program = Program.of(ana)
    program.client.force_login(ana)
    with django_assert_num_queries(2):
        program.get("/api/v1/who/")


def test_every_use_is_noted(ana: User) -> None:
    program = Program.of(ana)
    before = timezone.now() - timedelta(seconds=5)
    program.get("/api/v1/who/")
    token = Token.objects.get()
    assert token.last_used_at is not None
    assert token.last_used_at > before
    assert token.used_in_minute == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"revoked_at": timezone.now()}, "revoked"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expired"),
    ],
)
def test_a_dead_token_is_refused_and_its_holder_told_why(
    ana: User, change: dict[str, Any], said: str
) -> None:
    program = Program.of(ana)
    Token.objects.update(**change)
    answer = program.get("/api/v1/who/")
    assert answer.status_code == 401
    assert said in answer.json()["detail"]
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]
    assert Token.objects.get().last_used_at is None


def test_the_tokens_of_who_cannot_log_in_any_more_are_dead(ana: User) -> None:
    program = Program.of(ana)
    User.objects.update(is_active=False)
    assert program.get("/api/v1/who/").status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic YW5hOmFuYQ==",
        "Bearer lcrm_" + 43 * "a",
        "Bearer \u00e9" + 47 * "a",
    ],
)
def test_without_a_good_token_nobody_comes_in(ana: User, header: str) -> None:
    answer = Client().get("/api/v1/who/", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer ")
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:leadcrm:problem:not-authenticated"


def test_a_browsers_session_is_no_token(ana: User) -> None:
    client = Client()
    client.force_login(ana)
    assert client.get("/api/v1/who/").status_code == 401


def test_a_token_that_reads_changes_nothing(ana: User) -> None:
    answer = Program.of(ana, scope=Scope.READ).post("/api/v1/who/", {"a": 1})
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:leadcrm:problem:insufficient-scope"
    assert answer.json()["scope"] == "write"
    assert 'scope="write"' in answer["WWW-Authenticate"]


@override_settings(API_REQUESTS_PER_MINUTE=3)
def test_who_comes_too_often_waits_until_the_minute_is_over(ana: User) -> None:
    program = Program.of(ana)
    program.get("/api/v1/who/")
    # The test is in one minute, whenever it runs.
    Token.objects.update(used_in_minute=2)
    answers = [program.get("/api/v1/who/") for _ in range(3)]
    if len({answer["RateLimit"].rpartition("t=")[2] > "55" for answer in answers}) > 1:
        pytest.skip("the minute ended meanwhile")
    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert answers[0]["RateLimit-Policy"] == '"token";q=3;w=60'
    assert answers[0]["RateLimit"].startswith('"token";r=0;t=')
    assert 1 <= int(answers[1]["Retry-After"]) <= 60
    assert answers[1].json()["type"] == "urn:leadcrm:problem:too-many-requests"


def test_a_new_minute_begins_anew(ana: User) -> None:
    program = Program.of(ana)
    Token.objects.update(used_in_minute=9999, last_used_at=timezone.now() - timedelta(seconds=61))
    assert program.get("/api/v1/who/").status_code == 200
    assert Token.objects.get().used_in_minute == 1


@pytest.mark.django_db(transaction=True)
def test_who_comes_many_times_at_once_is_counted_each_time(ana: User) -> None:
    program = Program.of(ana)

    def come(_: int) -> int:
        try:
            return int(program.get("/api/v1/who/").status_code)
        finally:
            connection.close()

    tokens.use(program.text)
    before = Token.objects.get()
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(come, range(40))) == {200}
    after = Token.objects.get()
    assert before.last_used_at is not None
    assert after.last_used_at is not None
    if before.last_used_at.minute != after.last_used_at.minute:
        pytest.skip("the minute ended meanwhile")
    assert after.used_in_minute == 41


def test_a_token_is_revoked_once(ana: User) -> None:
    token, _ = tokens.issue(ana, "sheet")
    assert tokens.revoke(token)
    assert not tokens.revoke(token)
