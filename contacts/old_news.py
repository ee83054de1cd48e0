"""The log of changes does not grow for ever: what is older than anybody is promised is dropped (contacts.news)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from contacts.statements.read_changes import DROP_OLD, SAY_WHAT_IS_KEPT

# Whoever comes again within this time has missed nothing.
PROMISED = timedelta(days=7)
# Entries are as old as they were written. A position may be younger than they, by as long as a transaction takes.
LONGEST_TRANSACTION = timedelta(days=1)
BATCH_SIZE = 10_000


def forget(now: datetime) -> int:
    """Drop what is too old, in small batches; returns how many entries that were. May be stopped at any time."""
    before = now - PROMISED - LONGEST_TRANSACTION
    # First it is said from where on the log is complete, and then the rest goes: whoever reads meanwhile is told so.
    _run(SAY_WHAT_IS_KEPT, {"before": before})
    dropped = 0
    while some := _run(DROP_OLD, {"before": before, "size": BATCH_SIZE}):
        dropped += some
    return dropped


def _run(statement: str, parameters: dict[str, Any]) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)
