"""Clients that wait for news. Each has a thread and nothing else: no database connection, and nobody's turn.

While anybody waits, one thread of the process looks twice a second at what the log of changes has that is new, with one
small statement for all of them. (Webhooks could say that there is news: but then each of them would pay for it, and
wait for the others with it.)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from threading import Condition, Thread

from django.db import connection
from django.http import HttpRequest
from rest_framework.request import Request

from contacts import news
from contacts.news import Position
from contacts.rights import Rights

logger = logging.getLogger(__name__)

# Per process: as many threads again are for those who do not wait (leadcrm.webserver).
MOST_WAITING = 32
MOST_OF_ONE_USER = 8  # so that no program takes all of it
LONGEST_WAIT = 25  # seconds: proxies give up after 30 or 60
LOOKS_EVERY = 0.5  # seconds

# Where the server says how to step aside for others (leadcrm.turns).
ASIDE = "leadcrm.aside"


class NoRoom(Exception):  # noqa: N818 - said to clients, not raised by a fault
    """As many wait already as may, of all or of this user; or the server is about to stop."""


class _Waiter:
    def __init__(self, rights: Rights, after: Position) -> None:
        self.user = rights.user_id
        self.workspaces = rights.places.keys()
        self.after = after
        self.is_called = False


class Room:
    def __init__(self, most: int = MOST_WAITING, most_of_one: int = MOST_OF_ONE_USER) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._waiters: set[_Waiter] = set()
        self._is_open = True
        self._has_lookout = False
        self._changed = Condition()

    def __len__(self) -> int:
        return len(self._waiters)

    def wait(self, rights: Rights, after: Position, seconds: float) -> bool:
        """Until their workspaces have something after this position, and returns True; or for so long.

        Raises `NoRoom`.
        """
        waiter = _Waiter(rights, after)
        deadline = time.monotonic() + seconds
        with self._changed:
            of_theirs = sum(other.user == waiter.user for other in self._waiters)
            if not self._is_open or len(self._waiters) >= self._most or of_theirs >= self._most_of_one:
                raise NoRoom
            self._waiters.add(waiter)
            try:
                self._post_a_lookout()
                self._changed.wait_for(
                    lambda: waiter.is_called or not self._is_open, deadline - time.monotonic()
                )
            finally:
                self._waiters.discard(waiter)
                self._changed.notify_all()
        return waiter.is_called

    def close(self) -> None:
        """Everybody goes, and nobody comes in any more."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def _post_a_lookout(self) -> None:
        if not self._has_lookout:
            self._has_lookout = True
            Thread(target=self._look_out, name="lookout for news", daemon=True).start()

    def _look_out(self) -> None:
        """As long as there is anybody to call; then its connection is closed."""
        try:
            while waiters := self._those_who_wait():
                self._call(waiters, _newest({pk for waiter in waiters for pk in waiter.workspaces}))
        finally:
            connection.close()

    def _those_who_wait(self) -> list[_Waiter]:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiters, LOOKS_EVERY)
            waiting = [waiter for waiter in self._waiters if not waiter.is_called]
            self._has_lookout = bool(waiting) and self._is_open
            return waiting if self._has_lookout else []

    def _call(self, waiters: list[_Waiter], newest: dict[int, Position] | None) -> None:
        with self._changed:
            for waiter in waiters:
                waiter.is_called = newest is None or any(
                    pk in newest and newest[pk] > waiter.after for pk in waiter.workspaces
                )
            self._changed.notify_all()


def _newest(workspaces: Collection[int]) -> dict[int, Position] | None:
    """None where that cannot be told: each looks for itself then, and says so."""
    try:
        return news.newest(workspaces)
    except Exception:  # the database is away; whatever it is, nobody waits for a thread that has died
        logger.exception("What is new could not be read: those who wait are called to look for themselves.")
        connection.close()
        return None


room = Room()


def wait_for_news(request: Request | HttpRequest, rights: Rights, after: Position, seconds: float) -> bool:
    """As `Room.wait`, aside from those at work: meanwhile the request has no database connection."""
    seconds = min(seconds, LONGEST_WAIT)
    aside: Callable[[], AbstractContextManager[None]] | None = request.META.get(ASIDE)
    if aside is None:  # a server that knows no turns: the thread has a connection of its own
        connection.close()
        return room.wait(rights, after, seconds)
    with aside():
        return room.wait(rights, after, seconds)
