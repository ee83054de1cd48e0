"""Clear the bodies of old deliveries: what the nightly job does, by hand."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management import CommandError
from django.core.management.base import BaseCommand, CommandParser

from kapso_sync.management.progress import progress
from kapso_sync.patience import TooBusy
from kapso_sync.retention import PATIENCE, Retention


class Command(BaseCommand):
    help = (
        "Clear the bodies of deliveries that are older than RETENTION_DAYS. Keys, hashes and outcomes stay, and so "
        f"does everything in the CRM. Those that still need something are kept {PATIENCE} times as long."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")
        parser.add_argument(
            "--older-than", type=_days, metavar="DAYS", help="instead of RETENTION_DAYS", dest="days"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        retention = Retention.of_today(options["days"])
        if not retention.days:
            self.stdout.write(
                "RETENTION_DAYS is 0: bodies are kept for ever. --older-than clears all the same."
            )
            return
        due, waiting = retention.due.count(), retention.given_time.count()
        if options["dry_run"]:
            self.stdout.write(f"{_bodies(due)} older than {retention.days} days would be cleared.")
        else:
            try:
                with progress(self.stderr, due) as bar:
                    cleared = retention.clear(on_batch=bar.advance)
            except TooBusy as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"Cleared {_bodies(cleared)} older than {retention.days} days.")
        if waiting:
            self.stdout.write(
                f"{_bodies(waiting)} as old still need something (failed, or for a number that is not registered or "
                f"not active): they are kept for {retention.days * PATIENCE} days."
            )


def _days(value: str) -> int:
    if value.isascii() and value.isdecimal() and 0 < len(value) < 7 and int(value):
        return int(value)
    raise argparse.ArgumentTypeError(f"{value!r} is no number of days: write a whole number, at least 1.")


def _bodies(count: int) -> str:
    return f"{count} bod{'y' if count == 1 else 'ies'}"
