"""The production server: checked, migrated, then replaced by granian, which gets the signals itself."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection, connections

from leadcrm import webserver
from leadcrm.advice import unreachable
from leadcrm.checks import without_any_secret


class Command(BaseCommand):
    help = "Check, migrate, and serve leadcrm on 127.0.0.1:PORT behind a proxy that speaks HTTPS."
    requires_system_checks = []  # the deploy checks below include them

    def handle(self, *_: Any, **__: Any) -> None:
        if settings.TRYING_OUT:
            raise CommandError("Set DATABASE_URL, e.g. postgresql://leadcrm@db/leadcrm. To try out: make run")
        try:
            connection.ensure_connection()
        except OperationalError as error:
            raise CommandError(unreachable(error)) from error
        call_command("check", deploy=True, fail_level="WARNING", databases=["default"])
        call_command("migrate", interactive=False, verbosity=1)
        if problem := without_any_secret():
            raise CommandError(problem)
        call_command("collectstatic", interactive=False, verbosity=0)
        connections.close_all()
        server = webserver.command()
        os.execv(server[0], server)  # noqa: S606 - no shell is wanted
