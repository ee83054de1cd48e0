"""Waiting for news: called when there are some, sent away when there is no room, and nobody's connection is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import enumerate as all_threads
from typing import Any

import pytest
from django.db import DatabaseError
from django.http import HttpRequest

from api import waiting
from api.waiting import NoRoom, Room, wait_for_news
from contacts import news
from contacts.models import Contact, Role, Workspace
from contacts.news import Position
from contacts.rights import Place, Rights
from tests.test_worker import comes_true

LONG = 60.0


@pytest.fixture
def lima(transactional_db: None) -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room(most=3, most_of_one=3)
    yield room
    room.close()
    assert comes_true(lambda: not lookouts(), 10)


def lookouts() -> list[Any]:
    return [thread for thread in all_threads() if thread.name == "lookout for news"]


def sees(user: int, *workspaces: Workspace) -> Rights:
    places = {one.pk: Place(one.pk, one.name, Role.AGENT, agents_see_all=True) for one in workspaces}
    return Rights(user, places)


@pytest.fixture
def wait(room: Room) -> Iterator[Callable[..., Future[bool]]]:
    """Somebody comes in and waits, in a thread of their own."""
    with ThreadPoolExecutor(5) as pool:

        def wait(
            after: Position, *workspaces: Workspace, seconds: float = LONG, user: int = 1
        ) -> Future[bool]:
            before = len(room)
            waiting = pool.submit(room.wait, sees(user, *workspaces), after, seconds)
            assert comes_true(lambda: len(room) > before or waiting.done(), 10)
            return waiting

        yield wait
        room.close()


def test_who_waits_is_called_when_there_is_something(
    lima: Workspace, room: Room, wait: Callable[..., Future[bool]]
) -> None:
    other = Workspace.objects.create(name="Other", slug="other")
    here, elsewhere = wait(news.position(), lima, other), wait(news.position(), other)
    Contact.objects.create(workspace=lima)
    assert here.result(LONG) is True
    assert not elsewhere.done()
    room.close()
    assert elsewhere.result(LONG) is False


def test_what_came_before_they_came_in_calls_them_too(
    lima: Workspace, wait: Callable[..., Future[bool]]
) -> None:
    after = news.position()
    Contact.objects.create(workspace=lima)
    assert wait(after, lima).result(LONG) is True


def test_who_has_waited_long_enough_goes(lima: Workspace, wait: Callable[..., Future[bool]]) -> None:
    assert wait(news.position(), lima, seconds=0.01).result(LONG) is False


def test_there_is_room_for_so_many(lima: Workspace, room: Room, wait: Callable[..., Future[bool]]) -> None:
    after = news.position()
    inside = [wait(after, lima) for _ in range(3)]
    with pytest.raises(NoRoom):
        wait(after, lima).result(LONG)
    Contact.objects.create(workspace=lima)
    assert [one.result(LONG) for one in inside] == [True] * 3
    assert len(room) == 0


def test_nobody_takes_all_of_it(lima: Workspace, room: Room, wait: Callable[..., Future[bool]]) -> None:
    room._most_of_one = 2
    after = news.position()
    inside = [wait(after, lima, user=1) for _ in range(2)]
    with pytest.raises(NoRoom):
        wait(after, lima, user=1).result(LONG)
    inside.append(wait(after, lima, user=2))
    Contact.objects.create(workspace=lima)
    assert [one.result(LONG) for one in inside] == [True] * 3


def test_one_looks_out_for_all_and_only_as_long_as_somebody_waits(
    lima: Workspace, wait: Callable[..., Future[bool]]
) -> None:
    for _ in range(2):
        after = news.position()
        inside = [wait(after, lima) for _ in range(3)]
        assert len(lookouts()) == 1
        Contact.objects.create(workspace=lima)
        assert [one.result(LONG) for one in inside] == [True] * 3
        assert comes_true(lambda: not lookouts(), 10)


def test_nobody_waits_for_a_database_that_is_away(
    lima: Workspace, wait: Callable[..., Future[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Any) -> Any:
        raise DatabaseError

    after = news.position()
    monkeypatch.setattr(news, "newest", away)
    assert wait(after, lima).result(LONG) is True


def test_a_closed_room_takes_nobody(lima: Workspace, room: Room) -> None:
    room.close()
    with pytest.raises(NoRoom):
        room.wait(sees(1, lima), news.position(), LONG)


def test_the_longest_wait_is_bounded(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> None:
    told: list[float] = []

    def wait(_: Rights, __: Position, seconds: float) -> bool:
        told.append(seconds)
        return False

    monkeypatch.setattr(waiting.room, "wait", wait)
    wait_for_news(HttpRequest(), sees(1), Position(0, 0), 10**6)
    assert told == [waiting.LONGEST_WAIT]
