"""The worker of background jobs, in production: waits for the schema, then is procrastinate's own worker."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection, connections
from django.db.migrations.executor import MigrationExecutor

from leadcrm.advice import unreachable

WORKER = (sys.executable, str(settings.BASE_DIR / "manage.py"), "procrastinate", "worker")


class Command(BaseCommand):
    help = (
        "Do background jobs (retries, retention) until told to stop. One process is enough; more do no harm."
    )

    def handle(self, *_: Any, **__: Any) -> None:
        if settings.PGBOUNCER:
            raise CommandError(
                "Set WORKER_DATABASE_URL to the database itself: PgBouncer tells no worker of its jobs."
            )
        try:
            connection.ensure_connection()
        except OperationalError as error:
            raise CommandError(unreachable(error)) from error
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise CommandError("The database lacks migrations: start the web server first, or run migrate.")
        connections.close_all()
        os.execv(WORKER[0], WORKER)  # noqa: S606 - no shell is wanted
