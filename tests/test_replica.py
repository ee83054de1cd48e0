"""When a replica may answer, by fakes of it; tests/prove/test_replica.py has a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import MiddlewareNotUsed
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import resolve

from api.models import Token
from contacts import lead_export
from contacts.models import Contact, Membership
from leadcrm import replica
from leadcrm.replica import HURRY, LEAVE_ALONE, NOW, PATIENCE, Point, ReadsFromReplica, Router, Standby

LEADS = "/admin/contacts/contact/"
CONTACTS = "/api/v1/contacts/"
SECONDS = timedelta(seconds=3)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Servers:
    """A primary and a replica, told how far each has come, and the time."""

    def __init__(self) -> None:
        self.written, self.applied, self.now = 100, 100, 1000.0
        self.newest: datetime | None = BEGIN
        self.is_there, self.is_replica, self.looks = True, True, 0
        self.applies_when_looked_at: list[int] = []
        self.standby = Standby(self.primary, self.replica, lambda: self.now, self.sleep)

    def primary(self) -> Point:
        return Point(self.written, BEGIN + timedelta(seconds=self.now - 1000))

    def replica(self) -> Point | None:
        self.looks += 1
        if not self.is_there:
            raise OperationalError
        if self.applies_when_looked_at:
            self.applied = self.applies_when_looked_at.pop(0)
        return Point(self.applied, self.newest) if self.is_replica else None

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def have_caught_up(self, after: float = 0, may_lack: timedelta = NOW) -> bool:
        self.now += after
        return self.standby.has_caught_up(may_lack)


@pytest.fixture
def servers() -> Servers:
    return Servers()


def test_one_that_has_everything_answers_however_long_ago_that_was(servers: Servers) -> None:
    assert servers.have_caught_up()
    assert servers.have_caught_up(after=3600)
    assert servers.looks == 2


def test_one_that_lacks_anything_does_not(servers: Servers) -> None:
    """What was just written, by whomever, is shown."""
    servers.written = 101
    assert not servers.have_caught_up()
    servers.applied = 101
    assert servers.have_caught_up()


def test_it_is_given_a_moment(servers: Servers) -> None:
    servers.written = 120
    servers.applies_when_looked_at = [105, 110, 120]
    assert servers.have_caught_up()
    assert 1000 < servers.now < 1000 + PATIENCE


def test_where_that_is_in_vain_nobody_waits_for_a_while(servers: Servers) -> None:
    servers.written = 120
    assert not servers.have_caught_up()
    assert servers.now == pytest.approx(1000 + PATIENCE, abs=0.01)
    looks = servers.looks
    assert not servers.have_caught_up(after=HURRY / 2)
    assert servers.looks == looks + 1
    servers.applied = 120
    assert servers.have_caught_up()


def test_reports_may_lack_the_last_seconds(servers: Servers) -> None:
    servers.written = 120
    assert servers.have_caught_up(after=2, may_lack=SECONDS)
    assert not servers.have_caught_up(may_lack=NOW)
    assert not servers.have_caught_up(after=2, may_lack=SECONDS)


def test_clocks_that_were_put_back_make_nothing_of_something(servers: Servers) -> None:
    servers.written, servers.newest = 120, BEGIN + timedelta(hours=1)
    assert not servers.have_caught_up()


def test_one_that_just_started_and_says_no_time_is_taken_by_its_place(servers: Servers) -> None:
    servers.newest = None
    assert servers.have_caught_up()
    servers.written = 120
    assert not servers.have_caught_up(may_lack=SECONDS)


def test_one_that_is_away_is_left_alone_for_a_while(servers: Servers) -> None:
    servers.is_there = False
    assert not servers.have_caught_up()
    servers.is_there = True
    assert not servers.have_caught_up(after=LEAVE_ALONE / 2)
    assert servers.looks == 1
    assert servers.have_caught_up(after=LEAVE_ALONE)


def test_one_that_became_a_primary_is_none(servers: Servers) -> None:
    servers.is_replica = False
    assert not servers.have_caught_up()


# Which request


@pytest.fixture
def asked_for(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """What requests allowed it to lack; it has everything."""
    found: list[timedelta] = []

    def has_caught_up(may_lack: timedelta) -> bool:
        found.append(may_lack)
        return True

    settings.DATABASE_ROUTERS = ["leadcrm.replica.Router"]
    monkeypatch.setattr(replica.standby, "has_caught_up", has_caught_up)
    return found


def answered_by(request: HttpRequest, model: Any = Contact) -> str:
    """Which database a view's read of this model goes to."""
    return str(asked(request, lambda: Router().db_for_read(model)).content.decode())


def asked(request: HttpRequest, view: Callable[[], str]) -> HttpResponse:
    def respond(request: HttpRequest) -> HttpResponse:
        request.resolver_match = resolve(request.path_info)
        middleware.process_view(request)
        return HttpResponse(view())

    middleware = ReadsFromReplica(respond)
    answer = middleware(request)
    assert isinstance(answer, HttpResponse)
    return answer


get, post = RequestFactory().get, RequestFactory().post


def test_without_one_there_is_no_middleware() -> None:
    with pytest.raises(MiddlewareNotUsed):
        ReadsFromReplica(lambda _: HttpResponse())


@pytest.mark.parametrize("path", [LEADS, f"{LEADS}?q=ana", CONTACTS, f"{CONTACTS}7/", "/api/v1/messages/"])
def test_lists_and_programs_are_answered_there_by_all_there_is(asked_for: list[timedelta], path: str) -> None:
    assert answered_by(get(path)) == "replica"
    assert asked_for == [NOW]
    assert Router().db_for_read(Contact) == "default"


@pytest.mark.parametrize(
    "path", ["/admin/reports/", "/admin/reports/behind/", f"{LEADS}export/csv/", f"{LEADS}export/xlsx/"]
)
def test_reports_and_exports_are_by_what_may_be_seconds_old(asked_for: list[timedelta], path: str) -> None:
    assert answered_by(get(path)) == "replica"
    assert asked_for == [SECONDS]


@pytest.mark.parametrize(
    "path",
    ["/admin/", f"{LEADS}live/", f"{LEADS}7/change/", "/api/v1/changes/", "/api/schema/", "/metrics"],
)
def test_others_are_not(asked_for: list[timedelta], path: str) -> None:
    assert answered_by(get(path)) == "default"
    assert asked_for == []


@pytest.mark.parametrize("path", [LEADS, CONTACTS])
def test_nor_is_what_writes(asked_for: list[timedelta], path: str) -> None:
    assert answered_by(post(path)) == "default"
    assert Router().db_for_write(Contact) == "default"


@pytest.mark.parametrize("model", [User, Token, Membership])
def test_who_asks_is_never_read_there(asked_for: list[timedelta], model: Any) -> None:
    assert answered_by(get(LEADS), model) == "default"


@pytest.mark.django_db
def test_nor_is_anything_within_a_transaction(asked_for: list[timedelta]) -> None:
    def view() -> str:
        with transaction.atomic():
            return Router().db_for_read(Contact)

    assert asked(get(LEADS), view).content == b"default"


def test_one_that_lacks_something_is_not_asked(
    asked_for: list[timedelta], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica.standby, "has_caught_up", lambda _: False)
    assert answered_by(get(LEADS)) == "default"


def test_an_export_stays_where_it_began(asked_for: list[timedelta], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pieces are read when the request is done with."""

    def stream(leads: Any, *_: Any, **__: Any) -> Iterator[bytes]:
        yield leads.db.encode()

    monkeypatch.setattr(lead_export, "stream", stream)
    answers: list[Any] = []

    def view() -> str:
        answers.append(lead_export.response(Contact.objects.all(), "csv", workspaces=[]))
        return ""

    asked(get(f"{LEADS}export/csv/"), view)
    assert list(answers.pop()) == [b"replica"]


def test_what_failed_there_is_answered_by_the_primary(
    asked_for: list[timedelta], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost:
        errors_occurred = True

    left_alone: list[bool] = []
    monkeypatch.setattr(replica, "connections", {"replica": Lost()})
    monkeypatch.setattr(replica.standby, "leave_alone", lambda: left_alone.append(True))
    tried: list[str] = []

    def respond(request: HttpRequest) -> HttpResponse:
        request.resolver_match = resolve(request.path_info)
        middleware.process_view(request)
        tried.append(Router().db_for_read(Contact))
        return HttpResponse(status=500 if tried[-1] == "replica" else 200)

    middleware = ReadsFromReplica(respond)
    assert middleware(get(LEADS)).status_code == 200
    assert (tried, left_alone) == (["replica", "default"], [True])
