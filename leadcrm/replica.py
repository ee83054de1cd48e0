"""Reads that may be a moment old, from a replica: lists and reports of the admin, and what programs allow to be so.

Which these are is decided once for a request (`ReadsFromReplica`); everything else has no replica: webhooks, whatever
writes, jobs and commands, sessions and tokens, the feed of changes. Whoever has just written reads from the primary
until the replica has what they wrote, and so does everybody while it is away or too far behind.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from threading import Lock
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)

REPLICA = "replica"
# No answer is further behind than that, in seconds.
MOST_BEHIND = 3.0
# How often a process looks how far the replica is, and how long it leaves alone one that was away.
LOOK_EVERY, LEAVE_ALONE = 0.5, 10.0

PAGES = {"admin:contacts_contact_changelist", "reports", "reports-behind"}
# Who may see what is asked of the primary: somebody who was sent away is gone at once.
PRIMARY_ONLY = {"membership", "preferences"}
# Says in the browser, for as long as the replica may lag, that this person has just changed something.
JUST_WROTE = "just_wrote"
SAFE = ("GET", "HEAD", "OPTIONS")
# Who looks at a lead has read it.
SEEING_WRITES = "admin:contacts_contact_change"

_allows: ContextVar[bool] = ContextVar("allows the replica", default=False)


class Lag:
    """Up to which moment the replica has everything, by the positions in the log of primary and replica.

    Clocks of other machines do not matter, a primary where nothing happens is no lag, and a replica that lost its
    connection falls behind whatever it says. A process knows it for itself: a look is two statements.
    """

    def __init__(
        self,
        primary: Callable[[], int],
        replica: Callable[[], int | None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary, self._replica, self._now = primary, replica, now
        self._lock = Lock()
        self._marks: deque[tuple[float, int]] = deque()
        self._complete_at = self._look_at = float("-inf")

    def seconds(self) -> float:
        """How far behind it is at most, as of now."""
        if self._now() >= self._look_at and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._now() - self._complete_at

    def _look(self) -> None:
        now = self._now()
        self._look_at = now + LOOK_EVERY
        self._marks.append((now, self._primary()))
        try:
            reached = self._replica()
        except Error as error:
            logger.warning("the replica is away: %s", type(error).__name__)
            reached = None
        if reached is None:
            self.lose()
            return
        while self._marks and self._marks[0][1] <= reached:
            self._complete_at = self._marks.popleft()[0]

    def lose(self) -> None:
        """It is away: the primary answers, and for a while nobody waits for it."""
        self._complete_at, self._look_at = float("-inf"), self._now() + LEAVE_ALONE
        self._marks.clear()


def _position(alias: str, function: str) -> int | None:
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {function}() - '0/0'::pg_lsn")
        (position,) = cursor.fetchone()
    return None if position is None else int(position)


# A commit that somebody can see is flushed: leadcrm never turns synchronous_commit off.
lag = Lag(
    primary=lambda: _position(DEFAULT_DB_ALIAS, "pg_current_wal_flush_lsn") or 0,
    replica=lambda: _position(REPLICA, "pg_last_wal_replay_lsn"),  # NULL: it is none, or no longer
)


class Router:
    """Django's: which database a query goes to."""

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
    """Middleware: decides for each request whether it may be answered from the replica."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not settings.DATABASE_ROUTERS:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = _allows.set(False)
        try:
            response = self.get_response(request)
            if _allows.get() and response.status_code >= 500 and connections[REPLICA].errors_occurred:
                # It went away meanwhile, or had to forget rows that a long report was reading.
                lag.lose()
                _allows.set(False)
                request.only_primary = True  # type: ignore[attr-defined]
                response = self.get_response(request)
        finally:
            _allows.reset(token)
        if _wrote(request):
            response.set_cookie(
                JUST_WROTE,
                "1",
                max_age=int(MOST_BEHIND) + 2,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        if not getattr(request, "only_primary", False):
            seconds = _may_be_behind(request)
            _allows.set(seconds > 0 and lag.seconds() <= seconds)


def _may_be_behind(request: HttpRequest) -> float:
    """By how many seconds the answer may be behind; 0 where it must not be."""
    if request.method not in SAFE or request.resolver_match is None:
        return 0
    if _is_api(request):
        return _max_stale(request) if request.resolver_match.view_name != "api-changes" else 0
    is_listed = request.resolver_match.view_name in PAGES
    return MOST_BEHIND if is_listed and JUST_WROTE not in request.COOKIES else 0


def _wrote(request: HttpRequest) -> bool:
    """Of people; programs say themselves what they allow."""
    if _is_api(request):
        return False
    match = request.resolver_match
    return request.method not in SAFE or (match is not None and match.view_name == SEEING_WRITES)


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _max_stale(request: HttpRequest) -> float:
    """`Cache-Control: max-stale=3` (RFC 9111) allows it: who follows the changes must not, or would miss some."""
    told = re.search(
        r"(?:^|[\s,])max-stale(?:=(\d{1,9}))?\s*(?:,|$)", request.headers.get("Cache-Control", "")
    )
    if told is None:
        return 0
    return min(MOST_BEHIND, float(told[1])) if told[1] else MOST_BEHIND
