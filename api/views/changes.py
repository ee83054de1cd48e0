"""`GET /api/v1/changes/`: what changed since, for whoever keeps a copy (api.feed); waits for news if asked to."""

from __future__ import annotations

import re

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import feed, tokens, waiting
from api.authentication import not_authenticated
from api.cursors import LONGEST, Unreadable
from api.models import Token
from api.pagination import DEFAULT_LIMIT, HIGHEST_LIMIT
from api.problems import Problem, invalid_parameter
from api.serializers.changes import ChangesPage
from api.views.base import ApiView
from contacts import news
from contacts.news import News, Position, TooOld
from contacts.rights import Rights

# Where as many wait as may: seconds after which it is worth coming again.
COME_AGAIN = 5

ABOUT = """
To keep a copy of all that you see:

1. Ask without `cursor`: there are no results, and `next_cursor` is where things stand.
2. List `/contacts/?ordering=id`, `/conversations/` and `/messages/`: these two have no other order.
3. Ask here with that cursor, and then with each `next_cursor`; put each result's `data` in the place of what you have
   of that `kind` and `id`, or drop it where it is `deleted`. Ask again at once where `has_more`, else with `wait`.

Nothing is left out, whatever was written at the same time. Rows come as they are when you ask, so some come twice, and
a row may be `deleted` that you never had. `data` says what the row's own resource says; what follows the clock
(`window_open`, `awaiting_reply`, `needs_follow_up`, `snoozed_until`) is as of the answer.

Begin again at 1. on 410: when you did not ask for seven days, and when your rights have changed.

`wait` keeps the request until there is something, for so many seconds at most. An answer with `Retry-After` did not
wait: as many do as may.
"""
PARAMETERS = [
    OpenApiParameter(
        "cursor",
        {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[A-Za-z0-9_-]+$"},
        description="Where to go on: `next_cursor` of the answer before.",
    ),
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": HIGHEST_LIMIT, "default": DEFAULT_LIMIT},
        description="How many results there are at most.",
    ),
    OpenApiParameter(
        "wait",
        {"type": "integer", "minimum": 0, "maximum": waiting.LONGEST_WAIT, "default": 0},
        description="For how many seconds to wait where there is nothing yet.",
    ),
]
EXAMPLE = OpenApiExample(
    "A message was erased",
    value={
        "results": [{"kind": "message", "id": 48213, "deleted": True, "data": None}],
        "next_cursor": "WyI4ZjE0ZTQ1ZmNlZWExNjdhIiw3NzE2MDEsMF0",
        "has_more": False,
    },
    response_only=True,
    status_codes=["200"],
)


class ChangesView(ApiView):
    more_parameters = ("cursor", "limit", "wait")

    @extend_schema(
        operation_id="changes_list",
        summary="Follow what changes",
        description=ABOUT.strip(),
        tags=["Changes"],
        parameters=PARAMETERS,
        responses=ChangesPage,
        examples=[EXAMPLE],
    )
    def get(self, request: Request) -> Response:
        limit = self._number("limit", 1, HIGHEST_LIMIT, DEFAULT_LIMIT)
        seconds = self._number("wait", 0, waiting.LONGEST_WAIT, 0)
        if "cursor" not in request.query_params:
            return self._page(News([], news.position(), is_all=True))
        found = self._look(self._position(request.query_params["cursor"]), limit)
        if found.changed or not found.is_all or not seconds:
            return self._page(found)
        try:
            waiting.wait_for_news(request, self.rights, found.position, seconds)
        except waiting.NoRoom:
            return self._page(found, {"Retry-After": str(COME_AGAIN)})
        self._check_again(request)
        return self._page(self._look(found.position, limit))

    def _number(self, name: str, low: int, high: int, default: int) -> int:
        text = self.request.query_params.get(name, str(default))
        if not re.fullmatch("[0-9]{1,4}", text, re.ASCII) or not low <= int(text) <= high:
            raise invalid_parameter(name, f"Give a whole number from {low} to {high}.")
        return int(text)

    def _position(self, cursor: str) -> Position:
        try:
            return feed.position_of(self.rights, cursor)
        except Unreadable as error:
            said = "This cursor is none of this feed. Take `next_cursor` of the answer before as it is."
            raise invalid_parameter("cursor", said, code="invalid_cursor") from error
        except feed.RightsChanged as error:
            raise rights_changed() from error

    def _look(self, after: Position, limit: int) -> News:
        try:
            return feed.look(self.rights, after, limit)
        except TooOld as error:
            said = (
                "What changed since then is not kept any more: take a new cursor and list everything again."
            )
            raise Problem("cursor-too-old", said) from error

    def _check_again(self, request: Request) -> None:
        """Meanwhile the token may have been revoked, or its user have got other rights."""
        if not isinstance(request.auth, Token) or not tokens.is_still_good(request.auth):
            raise not_authenticated("This token is not good any more.", error="invalid_token")
        if Rights.of(request.user) != self.rights:
            raise rights_changed()

    def _page(self, found: News, headers: dict[str, str] | None = None) -> Response:
        page = {
            "results": feed.entries(self.rights, found.changed, timezone.now()),
            "next_cursor": feed.cursor_of(self.rights, found.position),
            "has_more": not found.is_all,
        }
        return Response(page, headers=headers)


def rights_changed() -> Problem:
    said = "You see something else than when this cursor was given: take a new one and list everything again."
    return Problem("rights-changed", said)
