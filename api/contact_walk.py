"""How a client pages through the leads: by id, each exactly once; or by activity, the newest first.

While somebody pages by activity, leads jump ahead to where they have been already. So such a walk of more than one page
has a second lap, over the leads that changed since it began, as the log of changes has them (contacts.news). A lead that
did not move is found in the first lap, any other in the second: none is missed, and some come twice.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from api import cursors
from api.cursors import Unreadable
from api.pagination import ById, ids, moment_and_id
from api.problems import Problem
from contacts import news
from contacts.newest_first import newest
from contacts.news import Position

ACTIVITY, ID = "-last_activity_at", "id"
FIRST_LAP, SECOND_LAP = 1, 2


class ContactWalk(ById):
    orderings = (ACTIVITY, ID)
    about_orderings = (
        "By `id` each contact comes exactly once, whatever changes meanwhile. By `-last_activity_at` (newest first) "
        "contacts that changed while you paged may come a second time at the end, so that none is missed; pages may "
        "have fewer rows than `limit`, or none: go on until `next` is null."
    )

    def page(self, rows: QuerySet[Any], ordering: str, after: list[Any] | None, view: Any) -> list[Any]:
        if ordering == ID:
            return super().page(rows, ordering, after, view)
        if after is None:
            return self._begin(rows, view)
        lap, *rest = after or [None]
        if lap == FIRST_LAP and rest:
            began, *place = rest
            return self._first_lap(rows, place, ids([began], 1)[0], view)
        if lap == SECOND_LAP:
            return self._second_lap(rows, ids(rest, 3), view)
        raise Unreadable

    def _begin(self, rows: QuerySet[Any], view: Any) -> list[Any]:
        began = news.position().xid  # before the first page: what it does not show is news
        found = self._newest(rows, None, view)
        if len(found) > self.limit:
            return self._with_next_place(found, began)
        self.next_cursor = None  # it was one look at everything
        return found

    def _first_lap(self, rows: QuerySet[Any], place: list[Any], began: int, view: Any) -> list[Any]:
        found = self._newest(rows, moment_and_id(place), view)
        if len(found) > self.limit:
            return self._with_next_place(found, began)
        self.next_cursor = cursors.write(ACTIVITY, SECOND_LAP, began, 0, 0)
        return found

    def _second_lap(self, rows: QuerySet[Any], place: list[int], view: Any) -> list[Any]:
        """Over what changed until the first lap ended: so it comes to an end, whatever else changes."""
        xid, entry, until = place
        end = Position(until, 0) if until else news.horizon()
        try:
            changes = news.read_until(
                end,
                Position(xid, entry),
                kind=news.Kind.CONTACT,
                workspaces=view.workspaces,
                limit=self.limit,
            )
        except news.TooOld as error:
            said = "This walk began too long ago: what changed since is not kept any more. Begin without a cursor."
            raise Problem("cursor-too-old", said) from error
        at = changes.position
        self.next_cursor = (
            None if changes.is_all else cursors.write(ACTIVITY, SECOND_LAP, at.xid, at.entry, end.xid)
        )
        moved = rows.filter(pk__in=[change.row_id for change in changes.changed])
        return list(view.dressed(moved.order_by("pk")))

    def _newest(self, rows: QuerySet[Any], after: Any, view: Any) -> list[Any]:
        return list(view.dressed(newest(rows, view.workspaces, after=after, count=self.limit + 1)))

    def _with_next_place(self, found: list[Any], began: int) -> list[Any]:
        last = found[self.limit - 1]
        at = cursors.number_of(last.last_activity_at)
        self.next_cursor = cursors.write(ACTIVITY, FIRST_LAP, began, at, last.pk)
        return found[: self.limit]
