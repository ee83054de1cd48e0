"""Reads from a replica that has all that they must show; the primary answers whenever it has not.

A list, or an answer of the API, may come from it when it has everything that was committed when the request came: so
nobody ever sees less than on the primary, neither what they have just written nor what a webhook has. Reports and
exports may lack the last seconds. Which these are is decided once for a request (`ReadsFromReplica`); everything else
has no replica: webhooks, whatever writes, jobs and commands, sessions and tokens, a lead's page, the feed of changes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

logger = logging.getLogger(__name__)

REPLICA = "replica"
NOW = timedelta(0)
# How old an answer may be: a page by its name.
PAGES = {
    "admin:contacts_contact_changelist": NOW,
    "admin:contacts_contact_export": timedelta(seconds=3),
    "reports": timedelta(seconds=3),
    "reports-behind": timedelta(seconds=3),
}
# Of the API all that only reads, but for the feed of changes, which waits for what comes.
NOT_OF_API = {"api-changes"}
# Who may see what is asked of the primary: somebody who was sent away is gone at once.
PRIMARY_ONLY = {"membership"}

# What comes in all the time is in the replica some milliseconds later: a request waits for so many seconds, and looks
# so often. Where that was in vain, nobody waits for a while, nor asks one that was away. All in seconds.
PATIENCE, PAUSE = 0.05, 0.005
HURRY, LEAVE_ALONE = 0.25, 10.0

_allows: ContextVar[bool] = ContextVar("allows the replica", default=False)


class Point(NamedTuple):
    """A place in the primary's log, and when that was by the primary's clock: no other clock is asked."""

    position: int
    at: datetime | None


class Standby:
    """Whether the replica may answer, as this process knows it."""

    def __init__(
        self,
        primary: Callable[[], Point],
        replica: Callable[[], Point | None],
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._primary, self._replica, self._now, self._sleep = primary, replica, now, sleep
        self._hurry_until = self._away_until = float("-inf")

    def has_caught_up(self, may_lack: timedelta) -> bool:
        """Whether it has everything that is committed by now, apart from the last `may_lack`."""
        if self._now() < self._away_until:
            return False
        wanted = self._primary()
        try:
            return self._reaches(wanted, may_lack)
        except Error as error:
            logger.warning("the replica is away: %s", type(error).__name__)
            self.leave_alone()
            return False

    def _reaches(self, wanted: Point, may_lack: timedelta) -> bool:
        end = self._now() + (PATIENCE if self._now() >= self._hurry_until else 0)
        while True:
            reached = self._replica()
            if reached is None:
                self.leave_alone()
                return False
            if reached.position >= wanted.position or _lag(reached, wanted) <= may_lack:
                return True
            if self._now() >= end:
                self._hurry_until = self._now() + HURRY
                return False
            self._sleep(PAUSE)

    def leave_alone(self) -> None:
        """It is away: the primary answers, and for a while nobody waits for it."""
        self._away_until = self._now() + LEAVE_ALONE


def _lag(reached: Point, wanted: Point) -> timedelta:
    """At most, and never nothing: the last commit that is there may be long ago, and another one the first to lack."""
    if reached.at is None or wanted.at is None:
        return timedelta.max
    return max(wanted.at - reached.at, timedelta.resolution)


# A commit that somebody can see is flushed: leadcrm never turns synchronous_commit off.
_PRIMARY = "SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn, clock_timestamp()"
# NULL: it is none, or no longer. The time is that of the newest commit that it has, as the primary wrote it.
_REPLICA = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END, pg_last_xact_replay_timestamp()
"""


def _point(alias: str, statement: str) -> Point | None:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)
        position, at = cursor.fetchone()
    return None if position is None else Point(int(position), at)


def _point_of_primary() -> Point:
    point = _point(DEFAULT_DB_ALIAS, _PRIMARY)
    assert point is not None  # noqa: S101 - a primary has one
    return point


standby = Standby(_point_of_primary, lambda: _point(REPLICA, _REPLICA))


class Router:
    """Django's: which database a query goes to. Statements of our own ask it by `Model.objects.db`."""

    def db_for_read(self, model: Any, **_: Any) -> str:
        """Never left to Django, which would go on where an object came from."""
        if not _allows.get() or model._meta.app_label not in ("contacts", "kapso_sync"):  # noqa: SLF001
            return DEFAULT_DB_ALIAS
        if model._meta.model_name in PRIMARY_ONLY or transaction.get_connection().in_atomic_block:  # noqa: SLF001
            return DEFAULT_DB_ALIAS
        return REPLICA

    def db_for_write(self, *_: Any, **__: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, *_: Any, **__: Any) -> bool:
        return True

    def allow_migrate(self, db: str, *_: Any, **__: Any) -> bool:
        return db == DEFAULT_DB_ALIAS


class ReadsFromReplica:
    """Middleware: decides for each request whether it is answered from the replica."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.DATABASE_ROUTERS:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        token = _allows.set(False)
        try:
            response = self.get_response(request)
            if _allows.get() and response.status_code >= 500 and connections[REPLICA].errors_occurred:
                # It went away meanwhile, or had to forget rows that a long report was reading.
                standby.leave_alone()
                _allows.set(False)
                request.only_primary = True  # type: ignore[attr-defined]
                response = self.get_response(request)
            return response
        finally:
            _allows.reset(token)

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        may_lack = _may_lack(request)
        if may_lack is not None and not getattr(request, "only_primary", False):
            _allows.set(standby.has_caught_up(may_lack))


def _may_lack(request: HttpRequest) -> timedelta | None:
    """How old the answer may be; None for what the primary answers."""
    if request.method not in ("GET", "HEAD") or request.resolver_match is None:
        return None
    name = request.resolver_match.view_name
    if request.path_info.startswith("/api/v1/"):
        return None if name in NOT_OF_API else NOW
    return PAGES.get(name)
