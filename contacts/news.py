"""What changed: the log of changes (contacts.models.change), read in an order that leaves nothing out.

A transaction's entries are seen when it commits, which is not the order in which it wrote them. So the log is read in
the order of the transactions' ids, and only as far as every transaction has ended: what commits later comes later.
Whoever keeps a copy takes the present `position`, then all rows, and then follows with `read`, taking each time the
rows as they are by then.

A transaction that writes and does not end holds everything back that began after it, news included.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import QuerySet

from contacts.models import Change, ChangesKept
from contacts.statements.read_changes import NEWEST, NOW, READ

Kind = Change.Kind

# How many entries are looked at for each that is given: a lead that is busy has many, and is given once.
LOOKED_AT = 5
# Between the last that a transaction writes and its end. (Of what it wrote long before, all is taken with the last.)
UNTIL_ITS_END = timedelta(minutes=1)


class TooOld(ValueError):  # noqa: N818 - said to clients, not raised by a fault
    """The log does not reach back so far: the copy has to be made anew."""


class Position(NamedTuple):
    """A place in the log: after this entry of this transaction, and after all of earlier ones."""

    xid: int
    entry: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A row that was made, changed or deleted."""

    kind: Kind
    row_id: int


@dataclass(frozen=True, slots=True)
class News:
    """Each row once, the one that changed last at the end. `position` is where to go on."""

    changed: list[Changed]
    position: Position
    is_all: bool


def position() -> Position:
    """Where the log is now: all that commits from here on comes after it, all before can be seen."""
    return Position(_one(NOW)[0], 0)


def horizon() -> Position:
    """Beyond all that can be seen now, for `read_until`."""
    return Position(_one(NOW)[1], 0)


def read(after: Position, *, workspaces: Collection[int], limit: int) -> News:
    """At most `limit` rows that changed in these workspaces; one statement. Raises `TooOld`."""
    return _read(after, None, workspaces, tuple(Kind), limit)


def read_until(
    end: Position, after: Position, *, kind: Kind, workspaces: Collection[int], limit: int
) -> News:
    """Rows of one kind that changed between the two, whoever is still writing; one statement. Raises `TooOld`.

    For a walk through rows that change places meanwhile: began at a `position`, it has missed none once it has also
    been through these, up to the `horizon` at which it came to its end. A row may come several times.
    """
    return _read(after, end, workspaces, (kind,), limit)


def newest(workspaces: Collection[int]) -> dict[int, Position]:
    """The newest entry of each that `read` would find; one statement."""
    rows = _rows(NEWEST, {"workspaces": sorted(workspaces)})
    return {workspace: Position(xid, entry) for workspace, xid, entry in rows}


def changed_since(moment: datetime, *, kind: Kind, workspaces: Collection[int]) -> QuerySet[Change, int]:
    """The ids of the rows that changed since (for a condition), perhaps with some of shortly before. Raises `TooOld`.

    Two small statements.
    """
    start = position_at(moment, workspaces=workspaces)
    entries = Change.objects.filter(workspace__in=workspaces, kind=kind, xid__gte=start.xid)
    return entries.order_by().values_list("row_id", flat=True)


def position_at(moment: datetime, *, workspaces: Collection[int]) -> Position:
    """A position after which everything comes that was committed since the moment. Raises `TooOld`."""
    kept = ChangesKept.objects.values_list("since", flat=True).first()
    if kept is not None and moment < kept:
        raise TooOld(f"The log of changes begins at {kept.isoformat()}.")
    # A transaction that takes long has entries of long before it ends: they all come after its id.
    written = Change.objects.filter(workspace__in=workspaces, at__gte=moment - UNTIL_ITS_END)
    first = written.order_by("xid").values_list("xid", flat=True).first()
    return position() if first is None else Position(first, 0)


def _read(
    after: Position, end: Position | None, workspaces: Collection[int], kinds: Sequence[Kind], limit: int
) -> News:
    most = limit * LOOKED_AT
    rows = _rows(
        READ,
        {
            "workspaces": sorted(workspaces),
            "xid": after.xid,
            "entry": after.entry,
            "until": end.xid if end else None,
            "kinds": [int(kind) for kind in kinds],
            "most": most,
        },
    )
    settled, ahead, kept = rows[0][:3]
    _check(after, ahead, kept)
    entries = [row[3:] for row in rows if row[3] is not None]
    changed: dict[Changed, None] = {}
    for index, (xid, entry, kind, row_id) in enumerate(entries):
        row = Changed(Kind(kind), row_id)
        if row not in changed and len(changed) == limit:
            return News(list(changed), Position(*entries[index - 1][:2]), is_all=False)
        changed.pop(row, None)  # it goes to the end
        changed[row] = None
        after = Position(xid, entry)
    if len(entries) == most:
        return News(list(changed), after, is_all=False)
    # Nobody's position grows old because nothing happened.
    return News(list(changed), max(after, end or Position(settled, 0)), is_all=True)


def _check(after: Position, ahead: int, kept: int) -> None:
    if after.xid < kept:
        raise TooOld("The log of changes does not reach back so far.")
    if after.xid > ahead:  # the database was put back to an earlier state
        raise TooOld("The log of changes has begun anew.")


def _one(statement: str) -> tuple[Any, ...]:
    return _rows(statement)[0]


def _rows(statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    with connections[Change.objects.db].cursor() as cursor:  # where the rows are read that it tells of
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
