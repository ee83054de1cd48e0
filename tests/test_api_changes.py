"""`GET /api/v1/changes/`: what changed, to whom it is told, and what is said of cursors that lead nowhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from api import tokens, waiting
from contacts import old_news
from contacts.models import Change, Contact, Conversation, Membership, Role, Workspace
from tests.api import Program
from tests.builders import ANA, BEA, LIMA, Desk, message
from tests.test_worker import comes_true

CHANGES = "/api/v1/changes/"

# Transactions of whatever else runs in the same PostgreSQL hold the log back, as they should.
pytestmark = pytest.mark.alone


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def manager(desk: Desk) -> Program:
    return member(desk, "manager", Role.MANAGER)


def member(desk: Desk, name: str, role: Role) -> Program:
    user = User.objects.create(username=name, is_staff=True)
    Membership.objects.create(workspace=desk.numbers[LIMA].workspace, user=user, role=role)
    return Program.of(user)


def now(program: Program) -> str:
    answer = program.get(CHANGES)
    assert answer.status_code == 200, answer.content
    assert (answer.json()["results"], answer.json()["has_more"]) == ([], False)
    return str(answer.json()["next_cursor"])


def page(program: Program, cursor: str, **parameters: Any) -> dict[str, Any]:
    answer = program.get(CHANGES, cursor=cursor, **parameters)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def problem(program: Program, **parameters: Any) -> tuple[int, str]:
    answer = program.get(CHANGES, **parameters)
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def test_a_message_is_told_as_what_it_made(desk: Desk, manager: Program) -> None:
    cursor = now(manager)
    desk.told(message("m1", text="Hola"))
    found = page(manager, cursor)
    assert {(told["kind"], told["deleted"]) for told in found["results"]} == {
        ("contact", False),
        ("conversation", False),
        ("message", False),
    }
    told = {told["kind"]: told for told in found["results"]}
    assert told["message"]["id"] == told["message"]["data"]["id"] == desk.row("m1").pk
    assert told["message"]["data"]["content"] == "Hola"
    assert told["contact"]["data"]["phone"] == ANA
    assert told["conversation"]["data"]["contact"] == told["contact"]["id"] == desk.only_lead.pk
    assert page(manager, found["next_cursor"])["results"] == []


def test_pages_follow_each_other(desk: Desk, manager: Program) -> None:
    cursor = now(manager)
    desk.told(*(message(f"m{n}") for n in range(4)))
    seen, has_more = [], True
    while has_more:
        found = page(manager, cursor, limit=2)
        assert len(found["results"]) <= 2
        seen += [(told["kind"], told["id"]) for told in found["results"]]
        cursor, has_more = found["next_cursor"], found["has_more"]
    assert {key for key in seen if key[0] == "message"} == {
        ("message", desk.row(f"m{n}").pk) for n in range(4)
    }


def test_what_is_gone_or_merged_is_deleted(desk: Desk, manager: Program) -> None:
    desk.told(message("m1"), message("m2", phone=BEA))
    cursor = now(manager)
    Contact.objects.filter(pk=desk.lead(BEA).pk).update(merged_into=desk.lead(ANA))
    row = desk.row("m1")
    key = row.pk
    row.delete()
    told = {(told["kind"], told["id"]): told for told in page(manager, cursor)["results"]}
    assert told["message", key] == {"kind": "message", "id": key, "deleted": True, "data": None}
    assert sorted((one["kind"], one["deleted"]) for one in told.values()) == [
        ("contact", False),
        ("contact", True),
        ("message", True),
    ]


def test_an_agent_is_told_what_comes_and_goes_with_an_owner(desk: Desk, manager: Program) -> None:
    Workspace.objects.update(agents_see_all=False)
    agent = member(desk, "agent", Role.AGENT)
    desk.told(message("m1"))
    cursor = now(agent)
    Contact.objects.update(owner=manager.token.user)
    found = page(agent, cursor)
    assert {(told["kind"], told["deleted"]) for told in found["results"]} == {
        ("contact", True),
        ("conversation", True),
        ("message", True),
    }
    Contact.objects.update(owner=agent.token.user)
    back = page(agent, found["next_cursor"])
    assert {(told["kind"], told["deleted"]) for told in back["results"]} == {
        ("contact", False),
        ("conversation", False),
        ("message", False),
    }


def test_a_stranger_is_told_nothing(desk: Desk) -> None:
    stranger = Program.of(User.objects.create(username="stranger"))
    cursor = now(stranger)
    desk.told(message("m1"))
    assert page(stranger, cursor)["results"] == []


def test_a_page_takes_as_many_statements_whatever_is_in_it(
    desk: Desk, manager: Program, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    cursor = now(manager)
    for number in range(20):
        desk.told(message(f"m{number}", phone=f"519000000{number:02}"))
        if number in (0, 19):
            # Who it is, their rights, the log, and one for each kind.
            with django_assert_num_queries(6):
                page(manager, cursor, limit=200)


@pytest.mark.parametrize(
    "parameters",
    [
        {"cursor": "x"},
        {"cursor": ""},
        {"cursor": "WzEsMiwzXQ"},
        {"limit": 0},
        {"limit": 201},
        {"limit": "٣"},
        {"wait": 26},
        {"wait": "-1"},
        {"page": 1},
    ],
)
def test_what_cannot_be_is_refused(manager: Program, parameters: dict[str, Any]) -> None:
    assert problem(manager, **parameters) == (400, "invalid-parameter")


def test_other_rights_take_another_cursor(desk: Desk, manager: Program) -> None:
    cursor = now(manager)
    assert problem(member(desk, "other", Role.MANAGER), cursor=cursor) == (410, "rights-changed")
    Membership.objects.filter(user=manager.token.user).update(role=Role.OWNER)
    assert page(manager, cursor)["results"] == []  # sees the same
    Membership.objects.filter(user=manager.token.user).update(role=Role.AGENT)
    assert page(manager, cursor)["results"] == []
    Workspace.objects.update(agents_see_all=False)
    assert problem(manager, cursor=cursor) == (410, "rights-changed")


def test_a_cursor_that_is_too_old_takes_a_new_copy(desk: Desk, manager: Program) -> None:
    cursor = now(manager)
    desk.told(message("m1"))
    Change.objects.update(at=timezone.now() - timedelta(days=9))
    assert old_news.forget(timezone.now())
    assert problem(manager, cursor=cursor) == (410, "cursor-too-old")


def waits(program: Program, cursor: str) -> Any:
    """Asks in a thread of its own, and is inside by the time that this returns."""
    pool = ThreadPoolExecutor(1)

    def ask() -> Any:
        try:
            return program.get(CHANGES, cursor=cursor, wait=25)
        finally:
            connections.close_all()

    before = len(waiting.room)
    asked = pool.submit(ask)
    pool.shutdown(wait=False)
    assert comes_true(lambda: len(waiting.room) > before or asked.done())
    return asked


def test_who_waits_is_told_at_once(desk: Desk, manager: Program) -> None:
    asked = waits(manager, now(manager))
    assert not asked.done()
    desk.told(message("m1"))
    found = asked.result(60).json()
    assert {told["kind"] for told in found["results"]} == {"contact", "conversation", "message"}


@pytest.mark.parametrize("change", ["token", "rights", "user"])
def test_who_may_not_any_more_is_not_told_what_they_waited_for(
    desk: Desk, manager: Program, change: str
) -> None:
    asked = waits(manager, now(manager))
    if change == "token":
        tokens.revoke(manager.token)
    elif change == "rights":
        Membership.objects.all().delete()
    else:
        User.objects.update(is_active=False)
    desk.told(message("m1"))
    answer = asked.result(60)
    assert answer.status_code == (410 if change == "rights" else 401)
    assert "results" not in answer.json()


def test_where_there_is_no_room_nobody_waits(
    desk: Desk, manager: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting.room, "_most", 1)
    cursor = now(manager)
    first = waits(manager, cursor)
    answer = manager.get(CHANGES, cursor=cursor, wait=25)
    assert (answer.status_code, answer["Retry-After"]) == (200, "5")
    assert not first.done()
    Conversation.objects.all().delete()
    desk.told(message("m1"))
    assert first.result(60).json()["results"]
