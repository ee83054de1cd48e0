"""The leads that were active last, page after page, out of several workspaces: the index has one after the other.

However far a page is from the first one, and however many workspaces there are, it reads as many rows of each as it
has: the leads of a workspace by their index, from where the page before ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import Q
from django.db.models.expressions import RawSQL

from contacts.lead_views import NEWEST_FIRST, Leads
from contacts.models import Contact

# A lead that never was active comes last; its time is None.
Place = tuple[datetime | None, int]

# Both arms stop after so many rows; the index has each in this order.
NEWEST = """
SELECT newest.id FROM unnest(%s::bigint[]) AS mine(workspace_id) CROSS JOIN LATERAL ({arms}) AS newest(id, at)
ORDER BY newest.at DESC NULLS LAST, newest.id DESC LIMIT %s
"""


def newest(leads: Leads, workspaces: Sequence[int], *, after: Place | None, count: int) -> Leads:
    """So many of these leads, in the order of `NEWEST_FIRST`, behind that place."""
    here = leads.filter(workspace=RawSQL("mine.workspace_id", []))
    arms = [_sql(arm, count) for arm in _arms(here, after)]
    known = [arm for arm in arms if arm is not None]
    if not known:
        return Contact.objects.none()
    texts, parameters = zip(*known, strict=True)
    sql = NEWEST.format(arms=" UNION ALL ".join(f"({text})" for text in texts))
    given = [list(workspaces), *(value for several in parameters for value in several), count]
    return Contact.objects.filter(pk__in=RawSQL(sql, given)).order_by(*NEWEST_FIRST)  # noqa: S611 - the ORM's own SQL


def _arms(leads: Leads, after: Place | None) -> list[Leads]:
    """Those that were active ever, and those that never were."""
    active, never = leads.filter(last_activity_at__isnull=False), leads.filter(last_activity_at=None)
    if after is None:
        return [active, never]
    at, last = after
    if at is None:
        return [never.filter(pk__lt=last)]
    behind = Q(last_activity_at__lt=at) | Q(pk__lt=last)
    return [active.filter(behind, last_activity_at__lte=at), never]


def _sql(leads: Leads, count: int) -> tuple[str, Sequence[Any]] | None:
    """None where there can be none, as for somebody who is in no workspace."""
    rows = leads.order_by(*NEWEST_FIRST).values_list("pk", "last_activity_at")[:count]
    try:
        return rows.query.sql_with_params()
    except EmptyResultSet:
        return None
