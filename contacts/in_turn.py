"""New leads are given out in turn among the agents who are on, where the workspace wants it.

What is to be given out stands in the tables (contacts.statements.in_turn), so a crash loses no turn and two who give
out at once give each lead once. It happens when a webhook has been answered, never inside it, and again and again in
the background: what came in while nobody was on waits for the first who is.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from contacts import notifying, reasons
from contacts.models import Contact
from contacts.statements import in_turn as sql
from contacts.statements import run

# At a time, so that the rows are not locked for long.
MOST = 500


def give_out(workspaces: Collection[int] | None = None) -> int:
    """Give out the new leads of these workspaces, or of all; returns how many. One statement where there are none."""
    where = {"workspaces": None if workspaces is None else sorted(workspaces)}
    due = [row[0] for row in run(sql.WHERE_DUE, where)]
    return _give(due) if due else 0


@transaction.atomic
def _give(workspaces: list[int]) -> int:
    locked = [row[0] for row in run(sql.LOCK, {"workspaces": workspaces})]
    given = run(sql.GIVE, {"workspaces": locked, "most": MOST, "reason": reasons.IN_TURN})
    notifying.leads_assigned(Contact.objects.filter(pk__in=[row[0] for row in given]), by=None)
    return len(given)
