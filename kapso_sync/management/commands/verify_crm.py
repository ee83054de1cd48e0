"""Compare the CRM with what the stored deliveries make of it."""

from __future__ import annotations

from typing import Any

from django.core.management import CommandError
from django.core.management.base import BaseCommand, CommandParser

from kapso_sync.forgotten import drop_forgotten_shadows
from kapso_sync.management import building
from kapso_sync.management.differences import write_differences
from kapso_sync.rebuilding import Outdated


class Command(BaseCommand):
    help = (
        "Build leads, conversations and messages from the stored deliveries, beside the live ones, and print where "
        "the two differ. Changes nothing, and webhooks do not wait for it. Ends with status 1 if anything differs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        building.add_arguments(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        drop_forgotten_shadows()
        differing = 0
        for workspace in building.workspaces(options["workspace"]):
            with building.built(self, workspace, restart=options["restart"]) as rebuild:
                try:
                    with rebuild.compared() as differences:
                        count = write_differences(self.stdout, differences)
                except Outdated as error:
                    raise CommandError(
                        "Numbers, code, bodies or erased people changed meanwhile: run it again."
                    ) from error
                building.say_what_rests(self, rebuild)
                if not count:
                    self.stdout.write(f"{workspace}: no difference.")
                differing += count
        if differing:
            leads = "1 lead differs" if differing == 1 else f"{differing} leads differ"
            raise CommandError(f"{leads}: manage.py rebuild_crm repairs it.")
