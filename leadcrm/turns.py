"""Whose turn it is: so many requests are at work at a time, each with a database connection, however many threads wait.

Where there is a replica, a turn has a connection to that, too, made when it is first used.

A request that waits for something of its own accord (api.waiting) has a thread, because WSGI has no other way, and
steps aside meanwhile: it keeps no connection and nobody's turn, and goes on when it is its turn again. So there may be
many more threads than connections, and those who wait are in nobody's way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import LifoQueue
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# By the names of their databases.
Connections = dict[str, BaseDatabaseWrapper]

# Where a request finds how to step aside: a context manager.
ASIDE = "leadcrm.aside"


class Turns:
    """A WSGI application that lets `at_once` requests at a time through to another."""

    def __init__(self, application: WSGIApplication, at_once: int) -> None:
        self._application = application
        # The last one to come back is the next to go: what PostgreSQL prepared for it is still warm.
        self._free: LifoQueue[Connections] = LifoQueue()
        for _ in range(at_once):
            mine = {alias: connections.create_connection(alias) for alias in connections}
            for connection in mine.values():
                connection.inc_thread_sharing()  # one thread at a time, but not always the same
            self._free.put(mine)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        turn = _Turn(self._free)
        environ[ASIDE] = turn.aside
        turn.take()
        try:
            return _Answer(self._application(environ, start_response), turn)
        except BaseException:
            turn.give_back()
            raise


class _Turn:
    def __init__(self, free: LifoQueue[Connections]) -> None:
        self._free = free
        self._mine: Connections | None = None

    @property
    def is_held(self) -> bool:
        return self._mine is not None

    def take(self) -> None:
        self._mine = self._free.get()
        for alias, connection in self._mine.items():
            connections[alias] = connection

    def give_back(self) -> None:
        if (mine := self._mine) is not None:
            self._mine = None
            for alias, connection in mine.items():
                if connections[alias] is connection:  # what is let go of may be so in any thread
                    del connections[alias]
            self._free.put(mine)

    @contextmanager
    def aside(self) -> Iterator[None]:
        self.give_back()
        try:
            yield
        finally:
            self.take()


class _Answer:
    """The answer's parts. The turn ends when the server has sent and closed it, or let go of it otherwise."""

    def __init__(self, parts: Iterable[bytes], turn: _Turn) -> None:
        self._parts = parts
        self._turn = turn

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        close: Callable[[], Any] | None = getattr(self._parts, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._turn.give_back()

    def __del__(self) -> None:
        if self._turn.is_held:
            self.close()
