"""Rebuild the CRM from the stored deliveries, and swap it in."""

from __future__ import annotations

from typing import Any

from django.core.management import CommandError
from django.core.management.base import BaseCommand, CommandParser

from kapso_sync.forgotten import drop_forgotten_shadows
from kapso_sync.management import building
from kapso_sync.management.differences import write_differences
from kapso_sync.rebuilding import Outdated, Rebuild

# As measured with receipts, on two cores; other rows take longer.
ROWS_A_SECOND = 100_000
# The seconds of waiting that are worth a word before.
TOLD_FROM = 1


class Command(BaseCommand):
    help = (
        "Build leads, conversations and messages from the stored deliveries, beside the live ones, and write what "
        "differs. Ids, what people typed, notes and merges stay, and so do rows whose deliveries are emptied. "
        "Interrupted, it goes on where it was; nothing is half swapped in."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        building.add_arguments(parser)
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change for each lead, and write nothing"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        drop_forgotten_shadows()
        for workspace in building.workspaces(options["workspace"]):
            with building.built(self, workspace, restart=options["restart"]) as rebuild:
                self._finish(rebuild, dry_run=options["dry_run"])

    def _finish(self, rebuild: Rebuild, *, dry_run: bool) -> None:
        for attempt in range(building.TRIES):
            try:
                return self._compare_and_swap(rebuild, dry_run=dry_run)
            except Outdated as error:
                if attempt == building.TRIES - 1:
                    raise CommandError(building.KEEPS_CHANGING) from error
                building.build(self, rebuild, restart=False)
        raise AssertionError

    def _compare_and_swap(self, rebuild: Rebuild, *, dry_run: bool) -> None:
        with rebuild.compared() as differences:
            count = write_differences(self.stdout, differences)
        if dry_run:
            self.stdout.write(f"{rebuild.workspace}: {_leads(count)} would change. Nothing was written.")
            return
        if count:
            self._foretell_the_wait(rebuild.count_differing())
            done, seconds = rebuild.swap()
            self.stdout.write(
                f"{rebuild.workspace}: {_leads(count)} put right; {done.added} rows added, {done.changed} changed, "
                f"{done.removed} removed. Webhooks waited for {seconds:.1f} seconds."
            )
            if done.kept:
                self.stdout.write(
                    f"{done.kept} messages that no stored delivery tells are kept, and marked as such."
                )
            self._check(rebuild)
        else:
            self.stdout.write(f"{rebuild.workspace}: no difference.")
        building.say_what_rests(self, rebuild)

    def _foretell_the_wait(self, rows: int) -> None:
        """All or nothing is written, so webhooks wait for all; with few rows for no time worth telling."""
        seconds = rows / ROWS_A_SECOND
        if seconds >= TOLD_FROM:
            self.stdout.write(
                f"{rows} rows differ: webhooks wait for {seconds:.0f} seconds or more while they are written. Those "
                "that wait longer than 3 seconds are stored, and tried again by themselves."
            )

    def _check(self, rebuild: Rebuild) -> None:
        """What was swapped in is compared once more, by now with nobody waiting."""
        with rebuild.compared() as differences:
            left = write_differences(self.stderr, differences)
        if left:
            raise CommandError(f"{_leads(left)} still differ: please report it, with the lines above.")


def _leads(count: int) -> str:
    return f"{count} lead{'' if count == 1 else 's'}"
