"""When a replica may answer, by fakes of it; tests/prove/test_replica.py has a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import MiddlewareNotUsed
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import resolve

from api.models import Token
from contacts.models import Contact, Membership
from leadcrm import replica
from leadcrm.replica import JUST_WROTE, LEAVE_ALONE, MOST_BEHIND, Lag, ReadsFromReplica, Router

LEADS = "/admin/contacts/contact/"
STALE = {"Cache-Control": "max-stale"}


class Servers:
    """A primary and a replica, told how far each has come, and the time."""

    def __init__(self) -> None:
        self.written, self.applied, self.now = 100, 100, 1000.0
        self.is_there, self.is_replica, self.looks = True, True, 0
        self.lag = Lag(lambda: self.written, self.position, lambda: self.now)

    def position(self) -> int | None:
        self.looks += 1
        if not self.is_there:
            raise OperationalError
        return self.applied if self.is_replica else None

    def after(self, seconds: float) -> float:
        self.now += seconds
        return self.lag.seconds()


@pytest.fixture
def servers() -> Servers:
    return Servers()


def test_one_that_has_everything_is_not_behind(servers: Servers) -> None:
    assert servers.after(0) == 0
    servers.written = servers.applied = 200
    assert servers.after(60) == 0


def test_nothing_is_known_until_it_has_caught_up_once(servers: Servers) -> None:
    servers.applied = 50
    assert servers.after(0) == float("inf")
    assert servers.after(60) == float("inf")
    servers.applied = 100
    assert servers.after(1) <= 1


def test_it_falls_behind_with_the_first_thing_that_it_lacks(servers: Servers) -> None:
    servers.after(0)
    for _ in range(5):
        servers.written += 10
        lag = servers.after(1)
    assert lag == 5
    servers.applied = servers.written
    assert servers.after(1) == 0


def test_in_between_nobody_looks(servers: Servers) -> None:
    servers.after(0)
    assert servers.after(0.2) == pytest.approx(0.2)
    assert servers.looks == 1


def test_one_that_is_away_is_left_alone_for_a_while(servers: Servers) -> None:
    servers.after(0)
    servers.is_there = False
    assert servers.after(1) == float("inf")
    servers.is_there = True
    assert servers.after(LEAVE_ALONE / 2) == float("inf")
    assert servers.looks == 2
    assert servers.after(LEAVE_ALONE) == 0


def test_one_that_became_a_primary_is_none(servers: Servers) -> None:
    servers.is_replica = False
    assert servers.after(0) == float("inf")


# Which request


@pytest.fixture
def with_replica(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How far it is behind, which a test may change."""
    behind = [0.0]
    settings.DATABASE_ROUTERS = ["leadcrm.replica.Router"]
    monkeypatch.setattr(replica.lag, "seconds", lambda: behind[0])
    return behind


def answered_by(request: HttpRequest, model: Any = Contact) -> str:
    """Which database a view's read of this model goes to."""
    return str(asked(request, lambda: Router().db_for_read(model)).content.decode())


def asked(request: HttpRequest, view: Callable[[], str]) -> HttpResponse:
    def respond(request: HttpRequest) -> HttpResponse:
        request.resolver_match = resolve(request.path_info)
        middleware.process_view(request)
        return HttpResponse(view())

    middleware = ReadsFromReplica(respond)
    return middleware(request)


get, post = RequestFactory().get, RequestFactory().post


def test_without_one_there_is_no_middleware() -> None:
    with pytest.raises(MiddlewareNotUsed):
        ReadsFromReplica(lambda _: HttpResponse())


@pytest.mark.parametrize("path", [LEADS, "/admin/reports/", "/admin/reports/behind/"])
def test_lists_and_reports_are_answered_there(with_replica: list[float], path: str) -> None:
    assert answered_by(get(path)) == "replica"
    assert Router().db_for_read(Contact) == "default"


@pytest.mark.parametrize("path", ["/admin/", f"{LEADS}live/", f"{LEADS}7/change/", "/api/v1/contacts/"])
def test_others_are_not(with_replica: list[float], path: str) -> None:
    assert answered_by(get(path)) == "default"


def test_nor_is_what_writes(with_replica: list[float]) -> None:
    assert answered_by(post(LEADS)) == "default"
    assert Router().db_for_write(Contact) == "default"


@pytest.mark.parametrize("model", [User, Token, Membership])
def test_who_asks_is_never_read_there(with_replica: list[float], model: Any) -> None:
    assert answered_by(get(LEADS), model) == "default"


@pytest.mark.django_db
def test_nor_is_anything_within_a_transaction(with_replica: list[float]) -> None:
    def view() -> str:
        with transaction.atomic():
            return Router().db_for_read(Contact)

    assert asked(get(LEADS), view).content == b"default"


def test_programs_say_how_old_an_answer_may_be(with_replica: list[float]) -> None:
    path = "/api/v1/contacts/"
    assert answered_by(get(path, headers=STALE)) == "replica"
    assert answered_by(get("/api/v1/changes/", headers=STALE)) == "default"
    with_replica[0] = 2
    assert answered_by(get(path, headers={"Cache-Control": "max-stale=2"})) == "replica"
    assert answered_by(get(path, headers={"Cache-Control": "no-transform, max-stale=1"})) == "default"
    with_replica[0] = MOST_BEHIND + 1
    assert answered_by(get(path, headers={"Cache-Control": "max-stale=600"})) == "default"


@pytest.mark.parametrize("told", ["max-stale=x", "max-stale=-1", "x-max-stale=5", "max-stale=" + "9" * 99])
def test_odd_words_allow_nothing(with_replica: list[float], told: str) -> None:
    assert answered_by(get("/api/v1/contacts/", headers={"Cache-Control": told})) == "default"


def test_one_that_is_too_far_behind_is_not_asked(with_replica: list[float]) -> None:
    with_replica[0] = MOST_BEHIND + 0.1
    assert answered_by(get(LEADS)) == "default"


@pytest.mark.parametrize("request_", [post(LEADS), get(f"{LEADS}7/change/")])
def test_who_wrote_reads_what_they_wrote(with_replica: list[float], request_: HttpRequest) -> None:
    """To look at a lead is to have read it. The cookie outlasts what the replica may be behind."""
    told = asked(request_, str).cookies[JUST_WROTE]
    assert int(told["max-age"]) > MOST_BEHIND
    back = get(LEADS)
    back.COOKIES[JUST_WROTE] = told.value
    assert answered_by(back) == "default"
    assert JUST_WROTE not in asked(get(LEADS), str).cookies


def test_what_failed_there_is_answered_by_the_primary(
    with_replica: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost:
        errors_occurred = True

    monkeypatch.setattr(replica, "connections", {"replica": Lost()})
    tried: list[str] = []

    def respond(request: HttpRequest) -> HttpResponse:
        request.resolver_match = resolve(request.path_info)
        middleware.process_view(request)
        tried.append(Router().db_for_read(Contact))
        return HttpResponse(status=500 if tried[-1] == "replica" else 200)

    middleware = ReadsFromReplica(respond)
    assert middleware(get(LEADS)).status_code == 200
    assert tried == ["replica", "default"]
