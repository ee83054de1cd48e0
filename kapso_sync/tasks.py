"""Background jobs (procrastinate): PostgreSQL is the queue."""

from __future__ import annotations

from procrastinate.contrib.django import app

from kapso_sync.retention import clear_old_bodies


@app.periodic(cron="17 3 * * *")
@app.task(queueing_lock="clear-old-bodies")
def clear_bodies(timestamp: int) -> None:  # noqa: ARG001 - procrastinate says when it was due
    clear_old_bodies()
